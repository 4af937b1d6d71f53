"""Tests requirements against a server, and says of each whether it holds."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.conformance.exchanges import Exchange
from gateway.conformance.faults import Fault, Faults, NotTested
from gateway.conformance.requirements import Requirement, Severity
from gateway.conformance.trade import AT_ONCE, Terms, Trade
from gateway.conformance.wire import Wire
from gateway.parties.receiving import printable

WITHOUT_KEY = "it needs the control key: give --control-key-file"
"""Why what takes the control key is skipped without one."""
_BESIDE = 16
"""How many requests of those that wait are under way at once."""


class Verdict(StrEnum):
    """What is known of a requirement."""

    HOLDS = "holds"
    FAILS = "fails"
    SKIPPED = "skipped"
    """It can't be told without something that was not given."""
    BLOCKED = "blocked"
    """It can't be told before another one holds."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about a requirement."""

    requirement: Requirement
    verdict: Verdict
    faults: Sequence[Fault] = ()
    reason: str = ""
    """Why it is not known."""
    blocking: Exchange | None = None
    """What kept it from being tested."""
    seconds: float = 0.0


def holds(findings: Sequence[Finding], *, strict: bool, no_skips: bool = False) -> bool:
    """Tell whether everything that counts holds.

    Args:
        findings: of a run.
        strict: whether SHOULD counts too.
        no_skips: whether what was skipped counts as what does not hold.
    """
    sound = {Verdict.HOLDS} if no_skips else {Verdict.HOLDS, Verdict.SKIPPED}
    counting = (each for each in findings if strict or each.requirement.severity is Severity.MUST)
    return all(each.verdict in sound for each in counting)


class Runner:
    """Tests requirements: one after the other, and beside them those that wait.

    Args:
        terms: how sales are made with the server.
        wire: to the server.
        on_finding: is told of each finding at once.
    """

    def __init__(self, terms: Terms, wire: Wire, on_finding: Callable[[Finding], None]) -> None:
        self._terms = terms
        self._wire = wire
        self._on_finding = on_finding
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._beside = asyncio.Semaphore(_BESIDE)
        self._refusals: list[Exchange] = []

    async def run(self, requirements: Sequence[Requirement]) -> list[Finding]:
        """Return what was found out, in the order of the requirements.

        Args:
            requirements: to test.
        """
        waiting = [each for each in requirements if each.waits and not each.last]
        others = [each for each in requirements if not (each.waits or each.last)]
        found = await asyncio.gather(self._in_turn(others), *(self._in_turn([each]) for each in waiting))
        found.append(await self._in_turn([each for each in requirements if each.last]))
        findings = {finding.requirement.id: finding for part in found for finding in part}
        return [findings[each.id] for each in requirements]

    async def _in_turn(self, requirements: Sequence[Requirement]) -> list[Finding]:
        return [await self._test(each) for each in requirements]

    async def _test(self, requirement: Requirement) -> Finding:
        began = time.monotonic()
        finding = await self._find(requirement)
        finding = replace(finding, seconds=time.monotonic() - began)
        self._on_finding(finding)
        return finding

    async def _find(self, requirement: Requirement) -> Finding:
        if requirement.needs_key and self._terms.control_key is None:
            return Finding(requirement, Verdict.SKIPPED, reason=WITHOUT_KEY)
        try:
            slots = self._beside if requirement.waits else self._slots
            await requirement.test(Trade(self._terms, self._wire, slots, self._refusals))
        except Fault as fault:
            return Finding(requirement, Verdict.FAILS, [fault])
        except Faults as several:
            return Finding(requirement, Verdict.FAILS, several.faults)
        except NotTested as untested:
            verdict = Verdict.SKIPPED if untested.exchange is None else Verdict.BLOCKED
            return Finding(requirement, verdict, reason=untested.reason, blocking=untested.exchange)
        except (UnicodeError, ValueError) as error:
            reason = f"what the server answered before can't be sent back to it: {printable(str(error))}"
            return Finding(requirement, Verdict.BLOCKED, reason=reason)
        return Finding(requirement, Verdict.HOLDS)
