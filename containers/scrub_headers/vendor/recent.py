"""The last few cleaned blocks, since a series repeats them in each of its files."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from containers.scrub_headers.vendor.values import Known


class RecentBlocks:
    """Remembers the last results of a cleaner by the block's whole content.

    The protocol text of a series (100 kB) is the same in every file. Comparing it with the last
    ones costs microseconds, far less than hashing or cleaning it.

    Parameters
    ----------
    clean
        From a block and the known identities to the cleaned block, or None to remove it.
    length
        How many blocks are remembered.
    """

    def __init__(self, clean: Callable[[bytes, Known], bytes | None], length: int = 8) -> None:
        self._clean = clean
        self._blocks: deque[tuple[bytes, Known, bytes | None]] = deque(maxlen=length)

    def __call__(self, block: bytes, known: Known) -> bytes | None:
        """Return the cleaned block, from memory where the same was met with the same ``known``."""
        for source, whom, result in self._blocks:
            if whom is known and source == block:
                return result
        result = self._clean(block, known)
        self._blocks.append((block, known, result))
        return result
