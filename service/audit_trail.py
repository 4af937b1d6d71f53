"""Reading the audit log: what is in it, and whether it is still what was written."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from service.store import ChainedEntry, Store
from service.store.audit_chain import FIRST_HASH, next_hash

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class SoundChain:
    """A chain in which nothing was changed, removed or moved."""

    count: int
    """How many entries are in it."""
    head: bytes
    """Its last hash, 32 bytes; kept elsewhere, it shows later that the end was not cut off."""
    waiting: int
    """How many entries are going to be in it soon."""


class ChainBroken(Exception):
    """The audit log is not what was written; the message tells where."""


async def verify_chain(store: Store, kept_head: bytes | None = None) -> SoundChain:
    """Compute the whole chain again.

    Args:
        store: where it is.
        kept_head: what was its last hash at some time; it has to be in it still.

    Raises:
        ChainBroken: an entry was changed, removed or moved, or the end was cut off.
    """
    position, head, has_kept_head = 0, FIRST_HASH, kept_head in (None, FIRST_HASH)
    async for link, entry in read_chain(store):
        if link.position != position + 1:
            raise ChainBroken(f"position {position + 1}: there is none")
        position = link.position
        if entry is None:
            raise ChainBroken(f"position {position}: its entry was removed")
        head = next_hash(head, entry)
        if head != link.hash:
            raise ChainBroken(f"position {position}: the entry, or one before it, is not the one that was written")
        has_kept_head = has_kept_head or head == kept_head
    unchained = await store.count_unchained_audit_entries()
    if unchained.lost:
        raise ChainBroken(f"position {position + 1}: cut off; {unchained.lost} entries have no place in the chain")
    if not has_kept_head:
        raise ChainBroken(f"position {position + 1}: the kept hash is not in the chain, which was cut off or made anew")
    return SoundChain(position, head, unchained.waiting)


async def read_chain(store: Store) -> AsyncIterator[ChainedEntry]:
    """Return all audit entries in the order of the chain."""
    after = 0
    while page := await store.list_audit_entries(after, _PAGE):
        for chained in page:
            yield chained
        after = page[-1].link.position
