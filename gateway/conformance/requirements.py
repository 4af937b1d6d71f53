"""What a requirement is, and how the modules of the subjects list theirs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from gateway.conformance.trade import Trade

Test = Callable[[Trade], Awaitable[object]]

INITIATE_DOCUMENT = "Initiate sale document (000-003)"
CHECK_DOCUMENT = "Check sale document (004)"
FIELD = "field practice"
OURS = "ours"


class Severity(StrEnum):
    """How much a requirement counts."""

    MUST = "MUST"
    """Without it a payment gateway or an app can't work with the server, or a sale is not safe."""
    SHOULD = "SHOULD"
    """This project's own choice where the documents are silent: another server could choose otherwise."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What must hold of a server, and how that is found out."""

    id: str
    """Stable: subject and name."""
    sentence: str
    severity: Severity
    source: str
    """Where it comes from."""
    test: Test
    """Returns where it holds.

    Raises:
        Fault: it does not.
        Faults: it does not in several cases.
        NotTested: something else has to hold first.
    """
    needs_key: bool = False
    """Whether it takes the endpoint's control key to tell."""
    waits: bool = False
    """Whether it waits more than it works, and is tested beside the others: for answers to what looks like a guess of
    secrets, which a careful server holds back, or as a slow client does."""
    last: bool = False
    """Whether it is about all that was seen before."""

    @property
    def group(self) -> str:
        """The first part of the id."""
        return self.id.partition(".")[0]


class Subject:
    """The requirements about one subject, in the order in which they are told.

    Args:
        group: the first part of their ids.
        title: of the subject.
        source: where they come from, where they don't tell.
    """

    def __init__(self, group: str, title: str, source: str) -> None:
        self.group = group
        self.title = title
        self.requirements: list[Requirement] = []
        self._source = source

    def must(
        self,
        name: str,
        sentence: str,
        source: str = "",
        *,
        needs_key: bool = False,
        waits: bool = False,
        last: bool = False,
    ) -> Callable[[Test], Test]:
        """Make a test that of a requirement which every server has to meet; arguments as of `Requirement`."""
        return self._listing(Severity.MUST, name, sentence, source or self._source, needs_key, waits, last)

    def should(
        self,
        name: str,
        sentence: str,
        source: str = OURS,
        *,
        needs_key: bool = False,
        waits: bool = False,
        last: bool = False,
    ) -> Callable[[Test], Test]:
        """Make a test that of a requirement which a server could choose otherwise; see `must`."""
        return self._listing(Severity.SHOULD, name, sentence, source, needs_key, waits, last)

    def _listing(
        self, severity: Severity, name: str, sentence: str, source: str, needs_key: bool, waits: bool, last: bool
    ) -> Callable[[Test], Test]:
        def list_it(test: Test) -> Test:
            self.requirements.append(
                Requirement(f"{self.group}.{name}", sentence, severity, source, test, needs_key, waits, last)
            )
            return test

        return list_it
