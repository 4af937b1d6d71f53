"""Inputs that the fuzzer has found interesting, as text: a line each, written as Python writes bytes."""

import ast
from pathlib import Path

_FOLDER = Path(__file__).parent / "corpus"


def read_corpus(name: str) -> list[bytes]:
    """Return the inputs of a target."""
    return [ast.literal_eval(line) for line in (_FOLDER / f"{name}.txt").read_text().splitlines()]
