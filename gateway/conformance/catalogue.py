"""All requirements, in the order in which they are told."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from gateway.conformance import (
    access_tokens,
    callback,
    card_mapping,
    check_refusals,
    check_sale,
    connections,
    error_bodies,
    error_codes,
    initiate_bounds,
    initiate_sale,
    races,
    signatures,
)
from gateway.conformance.requirements import Requirement, Subject

SUBJECTS: Sequence[Subject] = tuple(
    module.SUBJECT
    for module in (
        signatures,
        access_tokens,
        initiate_sale,
        initiate_bounds,
        check_sale,
        check_refusals,
        card_mapping,
        callback,
        error_bodies,
        error_codes,
        races,
        connections,
    )
)
REQUIREMENTS: Sequence[Requirement] = tuple(each for subject in SUBJECTS for each in subject.requirements)


class UnknownName(ValueError):
    """No requirement is named so."""


def chosen(only: Sequence[str], skip: Sequence[str]) -> Sequence[Requirement]:
    """Return the requirements that are to be tested.

    Args:
        only: ids, groups or patterns of ids such as `check.tampered-*`; all where there is none.
        skip: the same, of those that are not.

    Raises:
        UnknownName: nothing is named so.
    """
    for name in (*only, *skip):
        if not any(_is_named(each, name) for each in REQUIREMENTS):
            raise UnknownName(name)
    return [
        each
        for each in REQUIREMENTS
        if (not only or any(_is_named(each, name) for name in only)) and not any(_is_named(each, name) for name in skip)
    ]


def _is_named(requirement: Requirement, name: str) -> bool:
    return name in {requirement.id, requirement.group} or fnmatchcase(requirement.id, name)
