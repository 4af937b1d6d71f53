"""Failed attempts: how late they are answered, for how long that is remembered, and what it may cost."""

import asyncio
import time
from datetime import timedelta

import pytest
import structlog

from service import guesses
from service.errors import ErrorReason, SaleError
from service.guesses import Guesses, Slowness

MS = timedelta(milliseconds=1)
SLOWNESS = Slowness(free=3, max_delay=200 * MS, max_held=50, floor=2 * MS)


class Seconds:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def slowed(seconds: Seconds) -> Guesses:
    return Guesses(SLOWNESS, clock=seconds)


def test_answers_leave_later_the_more_failures_there_were_up_to_a_bound(slowed: Guesses) -> None:
    assert [slowed.count([("addresses", "a")]) for _ in range(8)] == [0, 0, 0, 0.05, 0.1, 0.2, 0.2, 0.2]
    assert slowed.count([("addresses", "b")]) == 0


def test_each_subject_counts_and_the_worst_one_decides(slowed: Guesses) -> None:
    for number in range(3):
        slowed.count([("addresses", str(number)), ("invoices", "i")])

    assert slowed.count([("addresses", "another"), ("invoices", "i")]) == 0.05
    assert slowed.count([("addresses", "i"), ("invoices", "another")]) == 0


def test_failures_are_forgotten_one_after_the_other(slowed: Guesses, seconds: Seconds) -> None:
    for _ in range(100):
        slowed.count([("addresses", "a")])

    seconds.now += 20.0
    assert slowed.count([("addresses", "a")]) == 0.05  # however many there were
    seconds.now += 600.0
    assert slowed.count([("addresses", "a")]) == 0


def test_the_subjects_that_failed_last_are_remembered_of_each_kind(
    slowed: Guesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "MAX_REMEMBERED", 3)
    for _ in range(5):
        slowed.count([("addresses", "a")])
    for number in range(100):  # other kinds take no place of it
        slowed.count([("invoices", str(number))])
    assert slowed.count([("addresses", "a")]) > 0

    for number in range(3):
        slowed.count([("addresses", str(number))])
    assert slowed.count([("addresses", "a")]) == 0


def test_the_log_tells_that_it_began_but_not_of_whom(slowed: Guesses, seconds: Seconds) -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(20):
            slowed.count([("addresses", "192.0.2.1"), ("invoices", "secret")])
        for number in range(100):
            slowed.count([("addresses", f"198.51.100.{number % 2}")])
        seconds.now += 10.0
        slowed.count([("addresses", "192.0.2.2")])

    assert [line["event"] for line in lines] == ["guesses slowed"] * 2
    assert (lines[0]["addresses"], lines[0]["invoices"]) == (1, 1)
    assert (lines[1]["addresses"], "invoices" in lines[1]) == (2, False)
    assert "192.0.2.1" not in str(lines)
    assert "secret" not in str(lines)


@pytest.mark.anyio
async def test_even_the_first_answer_leaves_no_sooner_than_the_floor() -> None:
    slowed, began = Guesses(SLOWNESS, clock=time.monotonic), time.monotonic()

    await slowed.hold_back(began, [("addresses", "a")])

    assert time.monotonic() - began >= 0.002


@pytest.mark.anyio
async def test_what_takes_longer_than_the_floor_leaves_after_a_multiple_of_it() -> None:
    slowed = Guesses(Slowness(free=1000, max_delay=MS, max_held=50, floor=500 * MS), clock=time.monotonic)
    began = time.monotonic() - 0.6

    await slowed.hold_back(began, [])

    assert time.monotonic() - began >= 1.0


@pytest.mark.anyio
async def test_no_more_are_held_back_at_once_than_the_server_can_carry() -> None:
    slowed = Guesses(Slowness(free=0, max_delay=100 * MS, max_held=10, floor=2 * MS), clock=time.monotonic)
    outcomes = await asyncio.gather(
        *(slowed.hold_back(time.monotonic(), [("addresses", "a")]) for _ in range(15)), return_exceptions=True
    )

    refusals = [outcome for outcome in outcomes if isinstance(outcome, SaleError)]
    assert len(refusals) == 5
    assert {refusal.reason for refusal in refusals} == {ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE}
    assert {refusal.retry_after_seconds for refusal in refusals} == {1}
    await slowed.hold_back(time.monotonic(), [("addresses", "b")])  # there is room again


@pytest.mark.anyio
async def test_who_does_not_wait_for_the_answer_takes_up_no_room() -> None:
    long = timedelta(seconds=5)
    slowed = Guesses(Slowness(free=0, max_delay=long, max_held=1, floor=long), clock=time.monotonic)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slowed.hold_back(time.monotonic(), [("addresses", "a")]), 0.01)
