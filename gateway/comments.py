"""The comments of the proto as readers of JSON know what they name: an error by its code, not by its name over gRPC."""

import re
from collections.abc import Mapping

from connectingparty import comments
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason

_PREFIX = "ERROR_REASON_"

ERROR_TITLES: Mapping[str, str] = {
    name: f"{number} {name.removeprefix(_PREFIX)}" for name, number in ErrorReason.items() if number
}
"""By its name in the proto, what an error is called: `1004 PATH_NOT_FOUND`."""
# Between backticks stands what gRPC writes, to the letter.
_NAME = re.compile(rf"(?<!`)\b(?:{'|'.join(ERROR_TITLES)})\b(?!`)")


def in_json(comment: str) -> str:
    """Return a comment with each error called by its code.

    Args:
        comment: from the proto.
    """
    return _NAME.sub(lambda found: ERROR_TITLES[found[0]], comment)


COMMENTS: Mapping[str, str] = {name: in_json(comment) for name, comment in comments.COMMENTS.items()}
"""By the full name of what they are about."""
