"""What reads requests takes any bytes at all: what is not read is refused, and what is read is read again alike."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.proof.corpus import read_corpus
from tests.proof.parser_targets import TARGETS

MAX_LENGTH = 4096


@pytest.mark.parametrize("name", TARGETS)
def test_what_the_fuzzer_has_found_interesting_is_read_or_refused(name: str) -> None:
    with TARGETS[name]() as target:
        for data in read_corpus(name):
            target(data)


@pytest.mark.skipif(find_spec("atheris") is None, reason="there is no wheel of atheris for this platform")
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("json", 2_000),
        pytest.param("json", 60_000_000, marks=pytest.mark.long),
        pytest.param("query", 35_000_000, marks=pytest.mark.long),
        pytest.param("transcoding", 5_000_000, marks=pytest.mark.long),
    ],
)
def test_the_fuzzer_finds_no_input_that_is_neither_read_nor_refused(tmp_path: Path, name: str, count: int) -> None:
    (tmp_path / "found").mkdir()
    options = [f"-runs={count}", f"-max_len={MAX_LENGTH}", f"-artifact_prefix={tmp_path}/", str(tmp_path / "found")]
    command = [sys.executable, "-m", "tests.proof.parser_fuzz", name, *options]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    done = re.search(r"^Done (\d+) runs", run.stderr, re.MULTILINE)

    assert run.returncode == 0, (run.stdout + run.stderr)[-4000:]
    assert done is not None, run.stderr[-4000:]
    print(f"\n{name}: {int(done[1]):,} executions, 0 crashes, {len(list((tmp_path / 'found').iterdir()))} inputs kept")
    assert int(done[1]) >= count
