"""Unique values to be hidden in files, and the search for them in what a tool wrote.

A token is made so that no ordinary file holds it: eight rare capitals, or a number, date, or UID
from a range of its own. The search knows nothing of DICOM rules: bytes, encodings, inflated
streams, and what pydicom reads.
"""

from __future__ import annotations

import base64
import io
import itertools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import pydicom
from pydicom import config
from pydicom.dataset import Dataset

_LETTERS = "BCDFGHJKLMPQRSTVWXZ"
ENCODINGS = (
    "utf-8",
    "utf-16-le",
    "utf-16-be",
    "utf-32-le",
    "latin-1",
    "iso2022_jp",
    "shift_jis",
    "euc_kr",
    "gb18030",
    "iso8859_5",
    "iso8859_7",
)
_LARGEST_STREAM = 20_000_000
_SHORTEST_FORM = 4


class Tokens:
    """Hands out values that occur nowhere else, in a fixed order.

    Parameters
    ----------
    start
        Number of the first token; different corpora take different ranges.
    """

    def __init__(self, start: int = 0) -> None:
        self._numbers = itertools.count(start)

    def word(self) -> str:
        """Return eight capitals, as ``ZQXBBBCD``."""
        number, letters = next(self._numbers), []
        for _ in range(5):
            number, rest = divmod(number, len(_LETTERS))
            letters.append(_LETTERS[rest])
        return "ZQX" + "".join(reversed(letters))

    def number(self) -> str:
        """Return nine digits, as a hospital number."""
        return f"81{next(self._numbers):07d}"

    def uid(self) -> str:
        """Return a UID under a manufacturer's root with a date and a serial number in it."""
        return f"1.3.12.2.1107.5.2.43.66{next(self._numbers):06d}.20190307.1"

    def date(self) -> str:
        """Return a day of the twentieth century."""
        number = next(self._numbers)
        return f"{1931 + number // 336 % 60}{1 + number // 28 % 12:02d}{1 + number % 28:02d}"

    def for_vr(self, vr: str) -> str:
        """Return a token that is valid for a value representation."""
        if vr in {"IS", "DS"}:
            return self.number()
        if vr == "UI":
            return self.uid()
        if vr == "DA":
            return self.date()
        if vr == "DT":
            return self.date() + "102233"
        return self.word()


@dataclass
class PlantedFile:
    """A file with tokens in it.

    Attributes
    ----------
    kind
        The kind of hiding place.
    name
        File name, unique in the corpus.
    data
        Content.
    tokens
        From the place, in words, to the token that stands there.
    """

    kind: str
    name: str
    data: bytes
    tokens: dict[str, str] = field(default_factory=dict)


def leaks(planted: PlantedFile, output: bytes) -> list[str]:
    """Return the places of which the token can be read in an output."""
    streams = [output, *_inflated(output)]
    parsed = " ".join(_parsed_texts(streams)).upper()
    # The digits of a new UID hold any eight digits by chance, sooner or later.
    plain = _NEW_UID.sub(b"", b"\n".join(_readable(stream) for stream in streams))
    parsed = re.sub(_NEW_UID.pattern.decode(), "", parsed)
    found = []
    for place, token in planted.tokens.items():
        upper = token.upper()
        if (
            upper in parsed
            or (upper.isascii() and any(form in plain for form in _plain_forms(upper)))
            or (not upper.isascii() and _is_encoded_in(upper, streams))
        ):
            found.append(place)
    return found


# Tokens of ASCII can only stand in runs of it, in one, two, or four bytes a character; looking
# at the runs alone spares searching the pixels for each token again.
_NEW_UID = re.compile(rb"(?<![\d.])2\.25\.\d{20,39}")
_RUNS = re.compile(rb"[ -~]{4,}")
_WIDE_RUNS = tuple(
    re.compile(pattern)
    for pattern in (
        rb"(?:[ -~]\0){6,}",
        rb"(?:\0[ -~]){6,}",
        rb"(?:[ -~]\0\0\0){6,}",
        rb"(?:\0\0\0[ -~]){6,}",
    )
)


def _readable(stream: bytes) -> bytes:
    wide = [run.replace(b"\0", b"") for runs in _WIDE_RUNS for run in runs.findall(stream)]
    return b"\n".join([*_RUNS.findall(stream), *wide]).upper()


def _plain_forms(token: str) -> Iterator[bytes]:
    """Yield a token in capitals, and the part of its base64 code that does not vary."""
    yield token.encode("ascii")
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + token.encode())
        form = coded[4 * bool(shift) : -4].upper()
        if len(form) >= _SHORTEST_FORM:
            yield form


def _is_encoded_in(token: str, streams: list[bytes]) -> bool:
    for encoding in ENCODINGS:
        try:
            form = token.encode(encoding)
        except UnicodeEncodeError:
            continue
        if len(form) >= _SHORTEST_FORM and any(form in stream for stream in streams):
            return True
    return False


def _inflated(data: bytes) -> Iterator[bytes]:
    """Yield the content of every gzip, zlib, and raw deflate stream that begins in the data."""
    places = {
        at
        for mark in (b"\x1f\x8b\x08", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
        for at in _occurrences(data, mark)
    }
    for at in sorted(places):
        stream = _try_inflate(data[at:], 47)
        if stream:
            yield stream
        if data[at : at + 3] == b"\x1f\x8b\x08":
            yield data[at + 10 : at + 200]
    if data[128:132] == b"DICM" and b"1.2.840.10008.1.2.1.99" in data[:1000]:
        length = int.from_bytes(data[140:144], "little")
        stream = _try_inflate(data[144 + length :], -15)
        if stream:
            yield stream


def _occurrences(data: bytes, mark: bytes) -> Iterator[int]:
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)


def _try_inflate(data: bytes, bits: int) -> bytes:
    try:
        return zlib.decompressobj(bits).decompress(data, _LARGEST_STREAM)
    except zlib.error:
        return b""


def _parsed_texts(streams: list[bytes]) -> Iterator[str]:
    try:
        dataset = pydicom.dcmread(io.BytesIO(streams[0]), force=True)
        yield from _texts(dataset)
    except Exception:  # noqa: BLE001 - the byte search has seen what pydicom cannot read
        return


def _texts(dataset: Dataset) -> Iterator[str]:
    mode = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    try:
        for element in dataset:
            if element.VR == "SQ":
                for item in element.value:
                    yield from _texts(item)
            elif not isinstance(element.value, bytes):
                yield str(element.value)
    finally:
        config.settings.reading_validation_mode = mode
