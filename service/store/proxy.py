"""A store with something around each of its methods."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from service.store import Store

Method = Callable[..., Awaitable[Any]]
"""One of a store, bound to it."""

_METHODS = tuple(name for name in vars(Store) if not name.startswith("_"))


class _StoreProxy:
    def __init__(self, store: Store, around: Callable[[str, Method], Method]) -> None:
        for name in _METHODS:
            setattr(self, name, around(name, getattr(store, name)))


def with_around(store: Store, around: Callable[[str, Method], Method]) -> Store:
    """Return a store that does what another one does, with something around it.

    Args:
        store: the other one.
        around: returns what is called in the place of a method; it is given the method's name, and the method.
    """
    return cast(Store, _StoreProxy(store, around))  # its methods are those of the Protocol, one by one
