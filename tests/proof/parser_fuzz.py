"""Coverage-guided fuzzing of what reads requests: `python -m tests.proof.parser_fuzz TARGET [options of libFuzzer]`.

Begins with the corpus of the target. Into a directory among the options goes what is found to be interesting.
"""

import json.decoder
import sys
import tempfile
import urllib.parse
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gateway", "starlette.routing"]):
    from tests.proof.parser_targets import TARGETS

from tests.proof.corpus import read_corpus

# These were imported long before.
for function in (
    json.decoder.JSONDecoder.decode,
    json.decoder.JSONDecoder.raw_decode,
    urllib.parse.parse_qsl,
    urllib.parse.unquote,
    urllib.parse.unquote_to_bytes,
):
    atheris.instrument_func(function)


def main() -> None:
    name, *options = sys.argv[1:]
    with TARGETS[name]() as target, tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        for number, data in enumerate(read_corpus(name)):
            (Path(folder) / f"{number:04}").write_bytes(data)
        # The first directory takes what is found.
        directories = [*(option for option in options if not option.startswith("-")), folder]
        atheris.Setup([sys.argv[0], *(option for option in options if option.startswith("-")), *directories], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
