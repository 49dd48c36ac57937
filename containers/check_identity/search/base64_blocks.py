"""Finds what is written in base64 in the middle of a text.

Not here: what the bytes are (``inspector``), and known strings in base64 (``variants``).

References
----------
RFC 4648 sections 4 and 5.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/_-]{4,}(?:\\?[\r\n]|\\n)*){4,}={0,2}")
_FEWEST = 24
_IN_URLS = bytes.maketrans(b"-_", b"+/")


def base64_blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield offset and content of each block; line ends within, also of JSON, are left out."""
    for found in _BASE64.finditer(data):
        block = re.sub(rb"\\n|\s|\\", b"", found.group()).rstrip(b"=").translate(_IN_URLS)
        if len(block) < _FEWEST or block.isdigit():
            continue
        whole = len(block) // 4 * 4
        rest = block[whole:]
        try:
            decoded = base64.b64decode(block[:whole])
            if len(rest) > 1:
                decoded += base64.b64decode(rest + b"=" * (-len(rest) % 4))
        except (binascii.Error, ValueError):
            continue
        yield found.start(), decoded
