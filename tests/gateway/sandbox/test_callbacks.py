"""A callback that is not taken is sent again, ever more rarely, and not for ever."""

from gateway.sandbox.callbacks import Schedule


def test_pauses_double_up_to_half_a_minute() -> None:
    pauses = list(Schedule(retry_seconds=0.5, retries=30).pauses())

    assert pauses[:8] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
    assert len(pauses) == 31
    assert max(pauses) == 30.0


def test_it_can_be_sent_once_only() -> None:
    assert list(Schedule(retries=0).pauses()) == [0.0]
