"""Checks of the host: its clock and what it lets a process have."""

import ctypes
import resource
import sys
from collections.abc import Iterator

from service.program.doctor.findings import Finding, Grade

_TIMEX_BYTES = 256
_CLOCK_ERROR = 5
"""What adjtimex(2) returns where nothing keeps the clock right."""
_OTHER_DESCRIPTORS = 128
_CLOCK_ADVICE = "Run chrony or systemd-timesyncd: sessions and tokens expire by this clock."


def check_clock() -> Iterator[Finding]:
    """Tell whether something keeps the host's clock right."""
    if not sys.platform.startswith("linux"):
        yield Finding("clock", Grade.OK, "not looked at: this system does not tell who keeps it")
        return
    # Whatever keeps it tells the kernel. With modes 0, the first field, nothing is set.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    yield clock_finding(state)


def clock_finding(state: int) -> Finding:
    """Return what a state of the clock comes to.

    Args:
        state: what adjtimex(2) has returned.
    """
    if state < 0:
        return Finding("clock", Grade.OK, "not looked at: the kernel does not tell who keeps it")
    if state == _CLOCK_ERROR:
        return Finding("clock", Grade.WARN, "nothing keeps it in step with other clocks", _CLOCK_ADVICE)
    return Finding("clock", Grade.OK, "is kept in step")


def check_descriptors(connections: int) -> Iterator[Finding]:
    """Tell whether a process may have as many open files as connections are configured.

    Args:
        connections: `http.limits.connections`.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OTHER_DESCRIPTORS
    if hard == resource.RLIM_INFINITY or hard >= needed:
        yield Finding("open files", Grade.OK, f"{needed} are needed and allowed")
    else:
        advice = f"Raise it (LimitNOFILE={needed}, ulimit -n), or lower http.limits.connections."
        yield Finding("open files", Grade.WARN, f"{hard} are allowed, {needed} needed: fewer connections", advice)
