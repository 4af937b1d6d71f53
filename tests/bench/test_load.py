"""A run counts only if every answer was a success."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.bench.contenders import ECHO, ONE_PROCESS, OVER_HTTP, Contender
from tests.bench.ground import Ground
from tests.bench.load import CONNECTIONS, Voided, run_pairs, wrk_is_missing
from tests.merchant import new_token

pytestmark = pytest.mark.skipif(wrk_is_missing(), reason="wrk is not installed")


def contender(name: str) -> Contender:
    (found,) = (contender for contender in OVER_HTTP if contender.name == name)
    return found


def test_one_token_that_nobody_issued_voids_a_run(tmp_path: Path) -> None:
    with ExitStack() as stack:
        ground = Ground(tmp_path, stack, tokens=9)
        served = stack.enter_context(contender(ONE_PROCESS).start(ground, tmp_path))
        load = run_pairs(served.address, ground.tokens, seconds=1, seed=1)
        assert load.initiates + load.checks == load.requests > 0
        with ground.tokens.open("a") as tokens:
            tokens.write(f"{new_token()}\n")
        with pytest.raises(Voided, match="401 code 1101"):
            run_pairs(served.address, ground.tokens, seconds=1, seed=2)


def test_a_pace_is_kept(tmp_path: Path) -> None:
    with ExitStack() as stack:
        ground = Ground(tmp_path, stack, tokens=1)
        served = stack.enter_context(contender(ECHO).start(ground, tmp_path))
        load = run_pairs(served.address, ground.tokens, seconds=1, seed=1, rate=400, echo=True)
        assert 200 < load.requests_per_second < 500
        assert abs(load.initiates - load.checks) <= CONNECTIONS
