"""What is shown of a simulation: nothing that a server says steers the terminal."""

from io import StringIO, TextIOWrapper
from typing import cast

import pytest

from gateway.parties.exchanges import Exchange
from gateway.simulation.reports import TerminalReport
from gateway.simulation.sales import Outcome, Step

HOSTILE = "\x1b[2J\x9b31m\x07\u202e\r\n[/bold]"


@pytest.fixture
def shown() -> StringIO:
    return StringIO()


def test_what_a_server_answers_is_shown_as_escapes(shown: StringIO) -> None:
    report = TerminalReport(cast(TextIOWrapper, shown), shows_secrets=False)

    report.step(Step(0, "initiate sale", Exchange("POST", "http://x", None, 200, {"invoiceId": HOSTILE}, 0.1)))
    report.outcome(Outcome(0, "APPROVED", ended=HOSTILE, fault=HOSTILE, client_card_id=HOSTILE))

    assert all(each.isprintable() or each == "\n" for each in shown.getvalue())
    assert shown.getvalue().count("[/bold]") == 4
