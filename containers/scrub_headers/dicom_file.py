"""Copies one DICOM file without its identities: header rewritten, pixels passed on untouched.

The header alone is parsed; the bytes of the pixel data go from file to file inside the kernel,
so memory does not grow with them. Whatever cannot be parsed to its end is refused, and the
result appears whole under its name or not at all. Not here: single elements (``dataset``).

References
----------
DICOM PS3.10 section 7 (file format), PS3.5 annex A (transfer syntaxes), PS3.15 annex E.
"""

from __future__ import annotations

import mmap
import os
import secrets
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydicom.uid import AllTransferSyntaxes

from containers.scrub_headers.compressed import check_fragments
from containers.scrub_headers.context import CleanContext
from containers.scrub_headers.dataset import DatasetCleaner, Walk
from containers.scrub_headers.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    LONG_VRS,
    SHORT_VRS,
    Encoding,
)
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.image_policy import (
    check_kind,
    check_length,
    check_pixels,
    image_facts,
)
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.marks import file_start, marks
from containers.scrub_headers.profile import Profile
from containers.scrub_headers.pseudonyms import SECRET_BYTES, Pseudonyms
from containers.scrub_headers.runs import Data
from containers.scrub_headers.table import keyword_of

_IMPLICIT, _EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
_DEFLATED, _BIG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
_SYNTAXES = frozenset(str(each) for each in AllTransferSyntaxes)
_DICOMDIR = "1.2.840.10008.1.3.10"
_PREAMBLE = 128
_READ_WHOLE_BYTES = 1 << 20
"""Smaller files are read at once, which is quicker than to map them."""
LARGEST_INFLATED_BYTES = 256 << 20
"""A deflated file must be unpacked in memory; larger ones are refused."""
_COPY_BYTES = 1 << 26
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_SPECTRUM, _MR_SPECTROSCOPY = 0x56000020, "1.2.840.10008.5.1.4.1.1.4.2"
_OVERLAY_BIT_MASK, _OVERLAY_BIT = 0xFF00FFFF, 0x60000102


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file.

    Parameters
    ----------
    counts : Mapping[str, int]
        Elements by the rule that decided on them.
    warnings : tuple of str
        Doubts that a person should look at; no value of the file is in them.
    sop_class, transfer_syntax : str
        Registered UIDs.
    pixel_bytes : int
        Length of what was passed on untouched.
    """

    counts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()
    sop_class: str = ""
    transfer_syntax: str = ""
    pixel_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ElementDecision:
    """What would become of one element, for people.

    ``path`` holds the tags of the sequences around, ``tag`` is written (gggg,eeee), ``outcome``
    is one of ``kept``, ``changed``, ``emptied``, ``removed``, ``cleaned inside``, ``kept if an
    element of its block is``, ``refused``. The last decision of a file that is refused has no
    tag, and the reason as its rule.
    """

    path: tuple[str, ...]
    tag: str
    keyword: str
    vr: str
    action: str
    rule: str
    outcome: str


class Scrubber:
    """Scrubs the files of one participant; quicker with every file that resembles the last.

    Raises
    ------
    ValueError
        The patient's label cannot be written as a PatientID.
    """

    def __init__(self, profile: Profile, pseudonyms: Pseudonyms, known: KnownIdentities) -> None:
        self._profile = profile
        self._pseudonyms = pseudonyms
        context = CleanContext(pseudonyms, profile, known)
        self._cleaners = {
            encoding: DatasetCleaner(context, encoding)
            for encoding in (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
        }
        label = pseudonyms.patient_label
        self._marks = {each: marks(profile, label, each) for each in self._cleaners}

    def scrub(self, source: Path, target: Path) -> FileReport:
        """Write a clean copy; its name must be free, and nothing is written on refusal.

        Raises
        ------
        RefusedFileError
            The file cannot be vouched for.
        FileExistsError
            Something has the target's name.
        OSError
            Reading or writing fails.
        """
        if os.path.lexists(target):
            raise FileExistsError("the name of the clean copy is taken")
        with source.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= _READ_WHOLE_BYTES:
                return self._scrub(file.read(), file.fileno(), target)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return self._scrub(data, file.fileno(), target)

    def explain(self, source: Path) -> Iterator[ElementDecision]:
        """Return what would become of each element of a file.

        Raises
        ------
        RefusedFileError
            The file is no well-formed DICOM file, so nothing can be said of its elements.
        """
        with source.open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size <= _READ_WHOLE_BYTES:
                yield from self._explain(file.read())
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield from self._explain(data)

    def _explain(self, data: Data) -> Iterator[ElementDecision]:
        start, syntax = _find_dataset(data)
        if syntax == _DEFLATED:
            data, start = _inflate(data, start), 0
        encoding = _encoding(syntax)
        walk = Walk(marks=self._marks[encoding], trace=[])
        self._cleaners[encoding].clean(data, start, len(data), walk)
        for path, tag, vr, decision, outcome in walk.trace or ():
            yield ElementDecision(
                path=tuple(_written(each) for each in path),
                tag=_written(tag),
                keyword=keyword_of(tag),
                vr=vr,
                action=decision.action.name.lower(),
                rule=decision.rule,
                outcome=outcome,
            )
        if walk.pixels is not None:
            tag = walk.pixels[0]
            rule = "pixel data untouched"
            yield ElementDecision((), _written(tag), keyword_of(tag), "", "pixels", rule, "kept")
        try:
            self._check(data, walk, encoding, syntax)
        except RefusedFileError as refusal:
            yield ElementDecision((), "", "", "", "refuse", refusal.reason, "refused")

    def _scrub(self, data: Data, descriptor: int, target: Path) -> FileReport:
        start, syntax = _find_dataset(data)
        if syntax == _DEFLATED:
            data, start, descriptor = _inflate(data, start), 0, -1
        encoding = _encoding(syntax)
        cleaner = self._cleaners[encoding]
        walk = Walk(marks=self._marks[encoding])
        pieces, _ = cleaner.clean(data, start, len(data), walk)
        sop_class, warnings = self._check(data, walk, encoding, syntax)
        _, begin, end = walk.pixels or (0, 0, 0)
        instance = _text(walk.facts, _SOP_INSTANCE)
        if not self._profile.retain_uids:
            instance = self._pseudonyms.uid(instance)
        if end < len(data):
            warnings.append("Bytes after its pixel data were left out.")
        pixel_header = _pixel_header(data, walk, encoding)
        head = file_start(sop_class, instance, syntax)
        body = (walk.value_start, end)
        if syntax == _DEFLATED:
            packed = _deflate((*pieces, pixel_header, data[body[0] : body[1]]))
            _write(target, (head, packed), b"", -1, (0, 0))
        else:
            _write(target, (head, *pieces, pixel_header), data, descriptor, body)
        counts = {
            rule: number for rule, number in zip(cleaner.rules, walk.tally, strict=False) if number
        }
        return FileReport(counts, tuple(warnings), sop_class, syntax, end - begin)

    def _check(
        self, data: Data, walk: Walk, encoding: Encoding, syntax: str
    ) -> tuple[str, list[str]]:
        """Refuse what is no clean image; return its class and the doubts about it."""
        sop_class = _text(walk.facts, _SOP_CLASS)
        warnings = check_kind(walk.facts, sop_class, self._profile)
        if not _text(walk.facts, _SOP_INSTANCE):
            raise RefusedFileError("It has no SOP Instance UID.")
        if walk.pixels is None:
            raise RefusedFileError("It has no pixel data, or ends before them.")
        if walk.pixels[0] == _SPECTRUM:
            if sop_class != _MR_SPECTROSCOPY:
                raise RefusedFileError("It holds a spectrum, which an image does not.")
            return sop_class, warnings
        image = image_facts(walk.facts, big_endian=encoding.big_endian)
        if walk.pixels[0] != 0x7FE00010:  # noqa: PLR2004 - pixel data of another type of number
            check_length(image, walk.pixels[2] - walk.value_start)
            return sop_class, warnings
        if not walk.native:
            check_fragments(data, walk.value_start, walk.pixels[2], syntax)
            return sop_class, warnings
        if syntax not in {_IMPLICIT, _EXPLICIT, _DEFLATED, _BIG}:
            raise RefusedFileError("Its pixel data are not packed as its transfer syntax says.")
        check_length(image, walk.pixels[2] - walk.value_start)
        bits = tuple(
            int.from_bytes(value, "big" if encoding.big_endian else "little")
            for tag, value in walk.facts.items()
            if tag & _OVERLAY_BIT_MASK == _OVERLAY_BIT
        )
        warnings += check_pixels(
            data, walk.value_start, walk.pixels[2], image, self._profile,
            tuple(each for each in bits if each), big_endian=encoding.big_endian,
        )  # fmt: skip
        return sop_class, warnings


_latest: dict[tuple[int, int, int], tuple[tuple[object, ...], Scrubber]] = {}


def scrub_dicom(
    source: Path,
    target: Path,
    profile: Profile,
    pseudonyms: Pseudonyms,
    known: KnownIdentities,
) -> FileReport:
    """Write a clean copy of a DICOM file.

    Calls with the same profile, pseudonyms and known identities share what was learnt from the
    files before; keep these objects, and the work is several times quicker.

    Raises
    ------
    RefusedFileError
        The file cannot be vouched for; nothing was written.
    FileExistsError
        Something has the target's name.
    OSError
        Reading or writing fails; nothing was written.
    """
    key = (id(profile), id(pseudonyms), id(known))
    found = _latest.get(key)
    if found is None:
        # One participant at a time: what is remembered of the last one is let go. The objects
        # are held beside it, so that none of their numbers can be given to another object.
        _latest.clear()
        found = ((profile, pseudonyms, known), Scrubber(profile, pseudonyms, known))
        _latest[key] = found
    return found[1].scrub(source, target)


def explain_dicom(source: Path, profile: Profile) -> Iterator[ElementDecision]:
    """Return, element by element, what the profile would do with a file; nothing is written.

    Raises
    ------
    RefusedFileError
        The file is no well-formed DICOM file.
    """
    pseudonyms = Pseudonyms(secrets.token_bytes(SECRET_BYTES), "explained", "LABEL")
    return Scrubber(profile, pseudonyms, KnownIdentities()).explain(source)


def _find_dataset(data: Data) -> tuple[int, str]:
    """Return where the dataset begins, and its transfer syntax."""
    if data[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        return _read_meta(data, _PREAMBLE + 4)
    if data[:4] == b"\2\0\0\0":
        return _read_meta(data, 0)
    # Neither preamble nor meta information: the first element is in group 0008 (or 0000).
    if data[:2] in {b"\x08\0", b"\0\0"} and len(data) > 8:  # noqa: PLR2004 - an element's header
        explicit = data[4:6] in SHORT_VRS | LONG_VRS
        return 0, _EXPLICIT if explicit else _IMPLICIT
    raise RefusedFileError("It is not a DICOM file, or its beginning is missing.")


def _read_meta(data: Data, position: int) -> tuple[int, str]:
    """Walk through the meta information, of which only the transfer syntax is used."""
    syntax = sop_class = ""
    while data[position : position + 2] == b"\2\0":
        letters = data[position + 4 : position + 6]
        if letters in LONG_VRS:
            start = position + 12
            length = int.from_bytes(data[position + 8 : start], "little")
        elif letters in SHORT_VRS:
            start = position + 8
            length = int.from_bytes(data[position + 6 : start], "little")
        else:
            raise RefusedFileError("Its meta information is not well-formed.")
        value = data[start : start + length]
        if len(value) != length:
            raise RefusedFileError("It ends within its meta information.")
        if data[position + 2 : position + 4] == b"\x10\0":
            syntax = value.rstrip(b" \0").decode("ascii", "replace")
        elif data[position + 2 : position + 4] == b"\2\0":
            sop_class = value.rstrip(b" \0").decode("ascii", "replace")
        position = start + length
    if sop_class == _DICOMDIR:
        raise RefusedFileError("It is a DICOMDIR, whose records repeat all names and numbers.")
    return position, syntax


def _encoding(syntax: str) -> Encoding:
    if syntax not in _SYNTAXES:
        raise RefusedFileError("Its transfer syntax is missing or unknown.")
    if syntax == _IMPLICIT:
        return IMPLICIT_LITTLE
    return EXPLICIT_BIG if syntax == _BIG else EXPLICIT_LITTLE


def _inflate(data: Data, start: int) -> bytes:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        unpacked = unpacker.decompress(data[start:], LARGEST_INFLATED_BYTES)
    except zlib.error:
        raise RefusedFileError("Its deflated content is damaged.") from None
    if not unpacker.eof or unpacker.unused_data not in {b"", b"\0"}:
        raise RefusedFileError("Its deflated content is cut short, too large, or has a tail.")
    return unpacked


def _deflate(pieces: tuple[bytes, ...]) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = b"".join((*(packer.compress(each) for each in pieces), packer.flush()))
    return packed + b"\0" * (len(packed) % 2)


def _pixel_header(data: Data, walk: Walk, encoding: Encoding) -> bytes:
    """Return the header of the pixel data; two reserved bytes in it are written anew."""
    if walk.pixels is None:
        return b""
    header = data[walk.pixels[1] : walk.value_start]
    if encoding.explicit and header[4:6] in LONG_VRS:
        return header[:6] + b"\0\0" + header[8:]
    return header


def _write(
    target: Path, pieces: tuple[bytes, ...], data: Data, descriptor: int, body: tuple[int, int]
) -> None:
    """Write pieces and a part of the source under a temporary name, then give it its own."""
    name = os.fspath(target)
    partial = f"{os.path.dirname(name)}/.partial-{os.getpid()}-{os.path.basename(name)[:200]}"  # noqa: PTH119, PTH120 - pathlib takes longer than the copy
    if not name.startswith("/") and "/" not in name:
        partial = partial.removeprefix("/")
    out = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            start, stop = body
            if isinstance(data, bytes):
                _write_all(out, b"".join((*pieces, memoryview(data)[start:stop])))
            else:
                _write_all(out, b"".join(pieces))
                _copy_range(descriptor, out, start, stop)
        finally:
            os.close(out)
        os.rename(partial, name)  # noqa: PTH104 - as above
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(partial)  # noqa: PTH108 - as above
        raise


def _write_all(out: int, data: bytes) -> None:
    done = os.write(out, data)
    while done < len(data):
        done += os.write(out, data[done:])


def _copy_range(source: int, out: int, start: int, stop: int) -> None:
    """Copy bytes inside the kernel."""
    copy = _copy_file_range
    while start < stop:
        size = min(_COPY_BYTES, stop - start)
        try:
            done = copy(source, out, size, start)
        except OSError:
            if copy is not _copy_file_range:
                raise
            # Not between these file systems; nothing was copied by the call that failed.
            copy = _send
            continue
        if done == 0:
            raise OSError("the original became shorter while it was read")
        start += done


def _copy_file_range(source: int, out: int, size: int, start: int) -> int:
    return os.copy_file_range(source, out, size, offset_src=start)


def _send(source: int, out: int, size: int, start: int) -> int:
    return os.sendfile(out, source, start, size)


def _text(facts: Mapping[int, bytes], tag: int) -> str:
    return facts.get(tag, b"").rstrip(b" \0").decode("ascii", "replace")


def _written(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
