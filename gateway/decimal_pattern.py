"""Integers as decimal strings, as a regular expression that JSON Schema and every language have."""

from collections.abc import Iterator


def decimal_pattern(least: int, greatest: int) -> str:
    """Return a pattern of the decimal strings of the integers between two bounds.

    Without a plus sign and without leading zeros; minus zero is one of them where zero is.

    Args:
        least: the lower bound, inclusive; at most 1.
        greatest: the upper bound, inclusive; at least 1.

    Raises:
        ValueError: other bounds than these, for which nobody has asked yet.
    """
    if least > 1 or greatest < 1:
        raise ValueError(f"no pattern is known for integers from {least} to {greatest}")
    forms = list(_up_to(greatest))
    if least <= 0:
        forms.insert(0, "-?0")
    if least < 0:
        forms += [f"-{form}" for form in _up_to(-least)]
    return f"^(?:{'|'.join(forms)})$"


def _up_to(greatest: int) -> Iterator[str]:
    """Yield patterns of the strings from 1 to a number: the shorter ones, those that differ first here, the number."""
    number = str(greatest)
    if len(number) > 1:
        yield f"[1-9][0-9]{{0,{len(number) - 2}}}"
    for index, digit in enumerate(number):
        low = 1 if index == 0 else 0
        if int(digit) > low:
            rest = len(number) - index - 1
            yield f"{number[:index]}[{low}-{int(digit) - 1}]" + (f"[0-9]{{{rest}}}" if rest else "")
    yield number
