"""Tells whether a public label can be worked out from an old identifier.

PS3.15 E.1.1 discourages plain digests of identifiers: whoever guesses the identifier can repeat
them. Not here: searching for the identifiers themselves (``search``).
"""

from __future__ import annotations

import hashlib
import re
import zlib

from containers.check_identity.known import KnownStrings

_ALGORITHMS = ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b", "sha224", "sha384")
_MIN_DIGEST = 8
_MIN_OLD = 4


class DerivedLabels:
    """What labels made from known strings would be."""

    def __init__(self, known: KnownStrings) -> None:
        self._digests: set[str] = set()
        self._plain: set[str] = set()
        for each in known.strings:
            for text in {each.text, each.text.lower(), each.text.upper(), _letters(each.text)}:
                data = text.encode()
                for algorithm in _ALGORITHMS:
                    digest = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
                    self._digests.add(digest)
                self._digests.add(f"{zlib.crc32(data):08x}")
            plain = _letters(each.text).casefold()
            if len(plain) >= _MIN_OLD:
                self._plain |= {plain, plain[::-1]}
        self._starts = {each[:_MIN_DIGEST] for each in self._digests}

    def derivation_of(self, label: str) -> str:
        """Return how a label comes from a known string, or an empty text."""
        lowered = _letters(label).casefold()
        if any(old in lowered for old in self._plain):
            return "made of a part"
        for at in range(max(0, len(lowered) - _MIN_DIGEST + 1)):
            tail = lowered[at:]
            if tail[:_MIN_DIGEST] in self._starts and any(
                digest.startswith(tail) or tail.startswith(digest) for digest in self._digests
            ):
                return "an unkeyed digest"
        return ""


def _letters(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", text)
