"""What was found out, for people and for programs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.conformance.catalogue import SUBJECTS
from gateway.conformance.curl import curl_line
from gateway.conformance.exchanges import MAX_SHOWN
from gateway.conformance.faults import Fault, UnexplainedSignature
from gateway.conformance.requirements import Requirement, Severity
from gateway.conformance.runner import WITHOUT_KEY, Finding, Verdict, holds
from gateway.conformance.wire import Tls

_STYLES = {Verdict.HOLDS: "green", Verdict.FAILS: "bold red", Verdict.SKIPPED: "dim", Verdict.BLOCKED: "yellow"}
_SIGNS = {Verdict.HOLDS: "✓", Verdict.FAILS: "✗", Verdict.SKIPPED: "-", Verdict.BLOCKED: "?"}
_PLAIN_WIDTH = 120
_MAX_FAULTS = 3
_FOR_WANT = "for want of the control key"
_WIDTHS = {"id": 31, "counts": 6}


def console_for(*, stderr: bool = False) -> Console:
    """Return what to print to: in colour on a terminal, unless NO_COLOR is set, and plain elsewhere."""
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    return console


def print_list(console: Console, requirements: Sequence[Requirement]) -> None:
    """Print requirements without a test, by their subjects."""
    for title, part in _by_subject(requirements, lambda each: each):
        table = _table(title, "id", "counts", "what must hold", "source")
        for each in part:
            sentence = each.sentence + (" (with the control key)" if each.needs_key else "")
            table.add_row(each.id, each.severity, sentence, each.source)
        console.print(table)


def print_report(console: Console, findings: Sequence[Finding], tls: Tls, *, verbose: bool, last: Text) -> None:
    """Print what holds, and then what does not with the lines that show it.

    Args:
        console: to print to.
        findings: of a run.
        tls: how the server is known.
        verbose: whether to tell sources, times, and answers in full.
        last: the last line.
    """
    for title, part in _by_subject(findings, lambda each: each.requirement):
        table = _table(title, "", "id", "counts", "what must hold", *(("source", "s") if verbose else ()))
        for finding in part:
            table.add_row(*_row(finding, verbose=verbose))
        console.print(table)
    for finding in findings:
        if finding.verdict is Verdict.FAILS:
            _print_failure(console, finding, tls, verbose=verbose)
    _print_blocked(console, [finding for finding in findings if finding.verdict is Verdict.BLOCKED], tls)
    _print_suspicion(console, findings)
    console.print()
    console.print(last, soft_wrap=True)


def summary(findings: Sequence[Finding], *, strict: bool, no_skips: bool, seconds: float) -> Text:
    """Return the last line: how many hold, and what that means.

    Args:
        findings: of a run.
        strict: whether SHOULD counts too.
        no_skips: whether what was skipped counts as what does not hold.
        seconds: that it took.
    """
    counts = Counter(each.verdict for each in findings)
    skipped = _skipped(findings)
    told = ", ".join(f"{verdict} {counts[verdict]}" for verdict in Verdict if counts[verdict]) + skipped
    failed = Counter(each.requirement.severity for each in findings if each.verdict in {Verdict.FAILS, Verdict.BLOCKED})
    if not failed.total():
        is_sound = holds(findings, strict=strict, no_skips=no_skips)
        style = "bold green" if is_sound else "bold red"
        meaning = f"nothing{' of what was tested' if skipped else ''} is wrong"
        meaning += "" if is_sound else ", but --no-skips lets what was skipped count"
    elif not failed[Severity.MUST]:
        style = "bold red" if strict else "yellow"
        meaning = (
            f"all that MUST hold does, {failed[Severity.SHOULD]} that SHOULD hold {_do(failed[Severity.SHOULD])} not"
        )
    else:
        style = "bold red"
        parts = (f"{failed[each]} that {each} hold {_do(failed[each])} not" for each in Severity if failed[each])
        meaning = ", ".join(parts)
    return Text(f"{len(findings)} requirements in {seconds:.1f} s: {told}; {meaning}.", style=style)


def _skipped(findings: Sequence[Finding]) -> str:
    """Return why what was skipped was; empty if nothing was."""
    reasons = Counter(each.reason for each in findings if each.verdict is Verdict.SKIPPED)
    if set(reasons) == {WITHOUT_KEY}:
        return f" {_FOR_WANT}"
    told = (f"{count} {_FOR_WANT if reason == WITHOUT_KEY else f'as {reason}'}" for reason, count in reasons.items())
    return f" ({', '.join(told)})" if reasons else ""


def _do(count: int) -> str:
    return "does" if count == 1 else "do"


def as_document(finding: Finding, tls: Tls) -> dict[str, Any]:
    """Return a finding for programs.

    Args:
        finding: to tell.
        tls: how the server is known.
    """
    document: dict[str, Any] = {**as_entry(finding.requirement), "verdict": finding.verdict}
    if finding.reason:
        document["reason"] = finding.reason
    if finding.faults:
        document["faults"] = [_fault_document(fault, tls) for fault in finding.faults]
    return {**document, "seconds": round(finding.seconds, 3)}


def as_entry(requirement: Requirement) -> dict[str, Any]:
    """Return a requirement for programs."""
    return {
        "id": requirement.id,
        "severity": requirement.severity,
        "sentence": requirement.sentence,
        "source": requirement.source,
        "needsControlKey": requirement.needs_key,
    }


def _fault_document(fault: Fault, tls: Tls) -> dict[str, Any]:
    curl = [curl_line(exchange.request, tls) for exchange in fault.exchanges]
    sequence = {"sequence": fault.sequence} if fault.sequence else {}
    return {"expected": fault.expected, "got": fault.got, **sequence, "curl": curl}


def _by_subject(items: Sequence[Any], requirement_of: Any) -> Iterable[tuple[str, list[Any]]]:
    for subject in SUBJECTS:
        part = [each for each in items if requirement_of(each) in subject.requirements]
        if part:
            yield subject.title, part


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False)
    for column in columns:
        flexible = column in {"what must hold", "source"}
        table.add_column(column, no_wrap=not flexible, min_width=_WIDTHS.get(column))
    return table


def _row(finding: Finding, *, verbose: bool) -> list[Text | str]:
    requirement = finding.requirement
    sentence = Text(requirement.sentence)
    if finding.verdict is Verdict.SKIPPED:
        sentence.append(f"  [skipped: {finding.reason}]", style=_STYLES[finding.verdict])
    row: list[Text | str] = [
        Text(_SIGNS[finding.verdict], style=_STYLES[finding.verdict]),
        requirement.id,
        Text(requirement.severity, style="" if requirement.severity is Severity.MUST else "dim"),
        sentence,
    ]
    return [*row, requirement.source, f"{finding.seconds:.2f}"] if verbose else row


def _print_failure(console: Console, finding: Finding, tls: Tls, *, verbose: bool) -> None:
    requirement = finding.requirement
    console.print()
    console.print(Text(f"{_SIGNS[finding.verdict]} {requirement.id}", style=_STYLES[finding.verdict]), soft_wrap=True)
    console.print(f"  {requirement.severity}: {requirement.sentence} ({requirement.source})", soft_wrap=True)
    shown = finding.faults if verbose else finding.faults[:_MAX_FAULTS]
    for fault in shown:
        _print_fault(console, fault, tls, verbose=verbose)
    if len(shown) < len(finding.faults):
        console.print(f"  and {len(finding.faults) - len(shown)} more; -v shows them", soft_wrap=True)


def _print_suspicion(console: Console, findings: Sequence[Finding]) -> None:
    """Print what is the matter where every signature is wrong, and for no reason that is known."""
    signed = [each for each in findings if each.requirement.needs_key and "signature" in each.requirement.id]
    tested = [each.faults for each in signed if each.verdict in {Verdict.HOLDS, Verdict.FAILS}]
    unexplained = [[each for each in faults if isinstance(each, UnexplainedSignature)] for faults in tested]
    if len(tested) > 1 and all(unexplained):
        ids = ", ".join(sorted({each.endpoint_id for part in unexplained for each in part}))
        console.print()
        console.print(f"All signatures fail alike: is this the control key of endpoint {ids}?", soft_wrap=True)


def _print_blocked(console: Console, findings: Sequence[Finding], tls: Tls) -> None:
    """Print what could not be tested, once for each reason."""
    reasons: dict[str, list[Finding]] = {}
    for finding in findings:
        reasons.setdefault(finding.reason, []).append(finding)
    for reason, part in reasons.items():
        console.print()
        console.print(Text(f"? not tested: {reason}", style=_STYLES[Verdict.BLOCKED]), soft_wrap=True)
        console.print(f"  {', '.join(finding.requirement.id for finding in part)}", soft_wrap=True)
        if part[0].blocking is not None:
            console.print(f"  {curl_line(part[0].blocking.request, tls)}", soft_wrap=True)


def _print_fault(console: Console, fault: Fault, tls: Tls, *, verbose: bool) -> None:
    got = fault.got
    if verbose and fault.exchanges and got == fault.exchanges[-1].told(MAX_SHOWN):
        got = fault.exchanges[-1].told(None)
    console.print(Text.assemble(("  expected  ", "green"), fault.expected), soft_wrap=True)
    console.print(Text.assemble(("  got       ", "red"), got), soft_wrap=True)
    if fault.sequence:
        console.print(f"  again     {fault.sequence}", soft_wrap=True)
    for exchange in fault.exchanges:
        console.print(f"  {curl_line(exchange.request, tls)}", soft_wrap=True)
