"""The power is cut under load: nothing that was acknowledged before is lost."""

import faulthandler
import os
import random
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest

from service.errors import StoreUnavailable
from service.store.sqlite import SqliteStore
from service.store.sqlite import file as sqlite_file
from tests.proof.crashes import Crashes, crashes_on_sqlite
from tests.proof.disk import new_disk
from tests.proof.integrity import faults_of
from tests.proof.trading import Trade, applied_twice, lost, new_trades, trade
from tests.proof.volumes import KINDS, new_volume

# A connection that is let go of while the power is off complains of that in vain.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
CUTS = int(os.environ.get("SALE_TEST_CUTS", "500"))
"""How many of real file systems the long form is, of all kinds together."""
CUTS_OF_A_FILE = 20
"""After so many a new one is begun, which is cut while it is made too."""


@dataclass
class Outcome:
    cuts: int = 0
    acknowledged: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.cuts} cuts, {self.acknowledged} steps acknowledged, {len(self.wrong)} lost or made twice"


async def trade_until_cut(folder: Path, after: Path, chance: random.Random, synchronous: str) -> list[Trade]:
    """Trade on a file in a folder until the power is cut, and put what is there then into the other folder."""
    trades: list[Trade] = []
    with new_disk() as disk:
        disk.cut_power(chance.randint(1, 150))
        with suppress(StoreUnavailable, apsw.IOError):
            store = SqliteStore(folder / "sale.db")
            store._writer.pragma("synchronous", synchronous)
            while disk.failed is None:
                trades += new_trades(f"consumer-{chance.random()}")
                await trade(store, trades[-4:])
            await store.close()
        disk.restart(after, chance)
    return trades


async def cut_power(folder: Path, cuts: int, *, seed: int, synchronous: str = "FULL") -> Outcome:
    """Cut the power so many times, at any write and sync."""
    chance, outcome = random.Random(seed), Outcome()
    trades: list[Trade] = []
    before = folder / "0"
    before.mkdir()
    while outcome.cuts < cuts:
        outcome.cuts += 1
        after = folder / f"{outcome.cuts}"
        after.mkdir()
        trades += (latest := await trade_until_cut(before, after, chance, synchronous))
        outcome.acknowledged += sum(len(one.acknowledged) for one in latest)
        shutil.rmtree(before)
        try:
            store = SqliteStore(after / "sale.db")
        except StoreUnavailable as error:
            outcome.wrong.append(f"the file can't be opened: {error.__cause__!r}")
            break
        outcome.wrong += await lost(store, trades)
        if not outcome.wrong:
            outcome.wrong += await applied_twice(store, latest)
        await store.close()
        outcome.wrong += faults_of(after / "sale.db")
        if outcome.wrong:
            break
        before = after
        if outcome.cuts % CUTS_OF_A_FILE == 0:
            trades, before = [], folder / f"{outcome.cuts}-new"
            before.mkdir()
    return outcome


@pytest.mark.anyio
@pytest.mark.parametrize("cuts", [15, pytest.param(1_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("log_pages", [20, 1000])
async def test_a_disk_that_loses_what_was_not_synced_takes_nothing_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuts: int, log_pages: int
) -> None:
    """Of what was not synced it keeps all, nothing, some, or parts of some, in any order."""
    monkeypatch.setattr(sqlite_file, "_CHECKPOINT_PAGES", log_pages)
    outcome = await cut_power(tmp_path, cuts, seed=log_pages)
    print(outcome)
    assert outcome.wrong == []
    assert outcome.acknowledged > 5 * cuts


@pytest.mark.anyio
async def test_without_a_sync_for_each_commit_it_does(tmp_path: Path) -> None:
    """The control: a test that can't lose anything proves nothing."""
    outcome = await cut_power(tmp_path, 30, seed=3, synchronous="NORMAL")
    print(outcome)
    assert outcome.wrong


def cut_volume(folder: Path, kind: str, cuts: int, *command: str) -> Crashes:
    """Cut the power of a file system so many times below a server under load."""
    faulthandler.cancel_dump_traceback_later()  # the long form takes longer, and waits for nothing without an end
    with (
        new_volume(folder, kind) as volume,
        crashes_on_sqlite(folder, volume.folder / "sale.db", 6, command=command) as (crashes, node),
    ):

        def cut() -> str:
            crashes.pause()
            # What is synced while a file system is shut down, Linux may call a success and drop; a plain SQLite sees
            # that, too. Power that fails tells nobody anything from then on: what was answered before counts.
            with crashes.without_answers():
                volume.cut_power()
                node.kill()
            volume.unmount()
            volume.mount()
            assert node.start()
            return kind

        crashes.run(cuts, cut)
    return crashes


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_system_without_power_takes_nothing_along(tmp_path: Path, kind: str) -> None:
    crashes = cut_volume(tmp_path, kind, CUTS // len(KINDS))
    assert crashes.wrong == []
    assert crashes.acknowledged > CUTS


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_system_without_power_does_take_along_what_was_not_synced(tmp_path: Path, kind: str) -> None:
    """The control."""
    crashes = cut_volume(tmp_path, kind, 10, sys.executable, "-m", "tests.proof.careless_service")
    assert crashes.wrong
