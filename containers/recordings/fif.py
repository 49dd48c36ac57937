"""FIF: a row of tags in nested blocks; the copy holds the tags that a rule names.

Sample buffers are copied byte for byte; directories and free space are not copied, so nothing
stays in them. Machine addresses and times in the identifiers of files are zeros.
"""

from __future__ import annotations

import html
import json
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from containers.recordings import fif_tags as tags
from containers.recordings.copying import copy_range
from containers.recordings.model import (
    IdentityStrings,
    Recording,
    RecordingPolicy,
    RefusedRecordingError,
    ScrubReport,
    TextRule,
)
from containers.recordings.texts import EventTexts, is_channel_name, is_safe_label, is_vocabulary

_HEADER = struct.Struct(">iIii")
_INT, _DOUBLE, _STRING, _ID = 3, 5, 10, 31
_ID_BYTES = 20
_CH_INFO_BYTES, _CH_NAME_BYTES = 96, 16
_LONGEST_TEXT_BYTES = 1 << 24
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_JULIAN_OF_1970 = 2440588
_MATRIX_BITS = 0xFFFF0000
_COLON = "{COLON}"


@dataclass(frozen=True, slots=True)
class _Tag:
    kind: int
    type: int
    size_bytes: int
    offset: int
    """Where its value begins."""
    blocks: tuple[int, ...]
    """The blocks around it, the outermost first; for the begin and end of one, with it."""


def sniff(first_bytes: bytes) -> bool:
    """Tell by the first bytes of a file whether it is FIF: it begins with a file identifier."""
    return first_bytes[:12] == struct.pack(">iIi", tags.FILE_ID, _ID, _ID_BYTES)


def _refused(what: str) -> RefusedRecordingError:
    return RefusedRecordingError(f"Cannot read a FIF recording: {what}.")


def walk(file: BinaryIO) -> Iterator[_Tag]:
    """Give the tags of a file in their order.

    Raises
    ------
    RefusedRecordingError
        The chain of tags or the nesting of blocks is broken, or the file ends too early.
    """
    size_bytes = file.seek(0, 2)
    position = 0
    blocks: tuple[int, ...] = ()
    while position < size_bytes:
        file.seek(position)
        header = file.read(_HEADER.size)
        if len(header) != _HEADER.size:
            raise _refused("it is cut off within a tag; send it again")
        kind, type_, length, following = _HEADER.unpack(header)
        offset = position + _HEADER.size
        if length < 0 or offset + length > size_bytes:
            raise _refused("it is cut off or damaged; send it again")
        block = struct.unpack(">i", file.read(4))[0] if _is_block(kind, length) else 0
        if kind == tags.BLOCK_START:
            blocks = (*blocks, block)
        yield _Tag(kind, type_, length, offset, blocks)
        if kind == tags.BLOCK_END:
            if not blocks or blocks[-1] != block:
                raise _refused("its blocks are not nested; it is damaged")
            blocks = blocks[:-1]
        if following == -1:
            break
        if following != 0 and following <= position:
            raise _refused("its tags do not follow each other; it is damaged")
        position = following if following > 0 else offset + length
    if blocks:
        raise _refused("it ends within a block: it is cut off; send it again")


def _is_block(kind: int, length: int) -> bool:
    if kind not in {tags.BLOCK_START, tags.BLOCK_END}:
        return False
    if length != struct.calcsize(">i"):
        raise _refused("the mark of a block has another length than the format gives it")
    return True


def _value(file: BinaryIO, tag: _Tag) -> bytes:
    if tag.size_bytes > _LONGEST_TEXT_BYTES:
        raise _refused("a text or number in it is longer than any such value is")
    file.seek(tag.offset)
    return file.read(tag.size_bytes)


def _text(file: BinaryIO, tag: _Tag) -> str:
    # Latin 1 by the standard; what is written by later programs is often UTF-8.
    value = _value(file, tag).split(b"\x00")[0]
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return html.unescape(text)


def check_raw(path: Path) -> str | None:
    """Return why a FIF file is no raw recording (a sentence), None if it is one.

    Raises
    ------
    RefusedRecordingError
        It is damaged.
    """
    with path.open("rb") as file:
        blocks = {tag.blocks[-1] for tag in walk(file) if tag.kind == tags.BLOCK_START}
    if blocks & tags.OTHER_KINDS_BLOCKS or not blocks & tags.RAW_BLOCKS:
        return "It is a FIF file, but no raw recording: only raw recordings are read."
    return None


def following_file(path: Path) -> str | None:
    """Return the name of the file in which a split recording goes on."""
    role = name = None
    with path.open("rb") as file:
        for tag in walk(file):
            if tag.blocks[-1:] != (tags.REF_BLOCK,):
                continue
            if tag.kind == tags.REF_ROLE:
                role = int.from_bytes(_value(file, tag)[:4], "big")
            elif tag.kind == tags.REF_FILE_NAME and role == tags.ROLE_NEXT_FILE:
                name = _text(file, tag)
    return name


def identity(recording: Recording) -> IdentityStrings:
    """Return names, identifiers, places, paths and dates of all files."""
    texts: list[str] = []
    births: list[date | None] = []
    measured: list[date | None] = []
    for path in recording.files:
        with path.open("rb") as file:
            for tag in walk(file):
                is_described = tag.kind == tags.COMMENT and tag.blocks[-1:] == (101,)
                if tag.type == _STRING and (tag.kind in tags.IDENTIFYING_TEXTS or is_described):
                    texts.append(_text(file, tag))
                elif tag.kind == tags.SUBJECT_BIRTHDAY and tag.size_bytes:
                    births.append(_birthday(_value(file, tag)))
                elif tag.kind == tags.MEAS_DATE:
                    measured.append(_moment(_value(file, tag), tag.type))
    return IdentityStrings.of(texts, births, measured)


def _birthday(value: bytes) -> date | None:
    number = int.from_bytes(value[:4], "big", signed=True)
    try:
        return date(1970, 1, 1) + timedelta(days=number - _JULIAN_OF_1970)
    except OverflowError:
        # No day of any calendar; the tag goes all the same.
        return None


def _moment(value: bytes, type_: int) -> datetime | None:
    try:
        if type_ == _INT:
            seconds, micros = (*struct.unpack(f">{len(value) // 4}i", value), 0, 0)[:2]
            return _EPOCH + timedelta(seconds=seconds, microseconds=micros)
        if type_ == _DOUBLE:
            seconds_f, micros_f = (*struct.unpack(f">{len(value) // 8}d", value), 0.0, 0.0)[:2]
            return _EPOCH + timedelta(seconds=seconds_f, microseconds=micros_f)
    except (struct.error, OverflowError, ValueError):
        return None
    return None


def split_names(stem: str, count: int) -> list[str]:
    """Return the names of the files of a recording: those of BIDS if it is split."""
    if count == 1:
        return [f"{stem}.fif"]
    before, found, suffix = stem.rpartition("_")
    if not found:
        return [f"{stem}_split-{number:02}.fif" for number in range(1, count + 1)]
    return [f"{before}_split-{number:02}_{suffix}.fif" for number in range(1, count + 1)]


def scrub(
    recording: Recording, folder: Path, stem: str, policy: RecordingPolicy, known: IdentityStrings
) -> ScrubReport:
    """Write all files of the recording again, tag by tag.

    Raises
    ------
    RefusedRecordingError
        A file is damaged, or its structure is not that of a raw recording.
    """
    names = split_names(stem, len(recording.files))
    changes: Counter[str] = Counter()
    for number, path in enumerate(recording.files):
        following = names[number + 1] if number + 1 < len(names) else None
        with path.open("rb") as source, (folder / names[number]).open("xb") as target:
            _Rewriter(source, target, policy, known, changes, following).run()
    outputs = tuple(folder / name for name in names)
    return ScrubReport(outputs[0], outputs, changes)


class _Rewriter:
    """One file's tags, read and written in one pass."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a rewrite needs, set once
        self,
        source: BinaryIO,
        target: BinaryIO,
        policy: RecordingPolicy,
        known: IdentityStrings,
        changes: Counter[str],
        following: str | None,
    ) -> None:
        self._source = source
        self._target = target
        self._policy = policy
        self._known = known.texts
        self._changes = changes
        self._following = following
        self._channels: dict[str, str] = {}

    def run(self) -> None:
        for tag in walk(self._source):
            kept = all(block in tags.KEPT_BLOCKS for block in tag.blocks)
            # The last file of a split recording names none, whatever the source says.
            if not kept or (tags.REF_BLOCK in tag.blocks and self._following is None):
                if tag.kind not in tags.PLUMBING:
                    self._changes["FIF tags in blocks that are left out"] += 1
            else:
                self._rewrite(tag)
        self._put(tags.NOP, 0, b"", following=-1)

    def _rewrite(self, tag: _Tag) -> None:  # noqa: PLR0911 - one rule a line
        base = tag.type & ~_MATRIX_BITS
        if tag.kind in tags.PLUMBING:
            # The directory is optional: readers follow the tags without one.
            if tag.kind == tags.DIR_POINTER:
                self._put(tags.DIR_POINTER, _INT, struct.pack(">i", -1))
            return None
        if tag.kind in {tags.BLOCK_START, tags.BLOCK_END}:
            return self._put(tag.kind, _INT, struct.pack(">i", tag.blocks[-1]))
        if tag.kind in tags.IDS and tag.type == _ID and tag.size_bytes == _ID_BYTES:
            version = _value(self._source, tag)[:4]
            return self._put(tag.kind, _ID, version.ljust(_ID_BYTES, b"\x00"))
        if tag.kind == tags.CH_INFO:
            return self._channel(tag)
        if tags.SUBJECT_BLOCK in tag.blocks:
            return self._subject(tag)
        if tag.kind == tags.MEAS_DATE:
            return self._date(tag)
        if tag.type == _STRING:
            return self._string(tag)
        if tag.kind in tags.NUMBERS and base in tags.NUMBER_TYPES:
            self._target.write(_HEADER.pack(tag.kind, tag.type, tag.size_bytes, 0))
            self._source.seek(tag.offset)
            return copy_range(self._source, self._target, tag.size_bytes)
        self._changes[f"FIF tag {tag.kind}"] += 1
        return None

    def _put(self, kind: int, type_: int, value: bytes, following: int = 0) -> None:
        self._target.write(_HEADER.pack(kind, type_, len(value), following) + value)

    def _channel_name(self, name: str) -> str:
        if name not in self._channels:
            safe = is_channel_name(name, self._known)
            self._channels[name] = name if safe else f"channel-{len(self._channels) + 1}"
            self._changes["FIF channel names"] += not safe
        return self._channels[name]

    def _channel(self, tag: _Tag) -> None:
        value = _value(self._source, tag)
        if len(value) != _CH_INFO_BYTES:
            raise _refused("the description of a channel has another length than the format says")
        name = value[-_CH_NAME_BYTES:].split(b"\x00")[0].decode("latin-1")
        new = self._channel_name(name).encode("latin-1")[: _CH_NAME_BYTES - 1]
        self._put(tag.kind, tag.type, value[:-_CH_NAME_BYTES] + new.ljust(_CH_NAME_BYTES, b"\x00"))

    def _subject(self, tag: _Tag) -> None:
        wanted = {
            tags.SUBJECT_SEX: self._policy.keep_sex,
            tags.SUBJECT_HAND: self._policy.keep_handedness,
        }
        if wanted.get(tag.kind) and tag.type == _INT and tag.size_bytes == 4:  # noqa: PLR2004 - bytes of one number
            self._put(tag.kind, tag.type, _value(self._source, tag))
        else:
            self._changes["FIF subject information"] += 1

    def _date(self, tag: _Tag) -> None:
        was = _moment(_value(self._source, tag), tag.type)
        # Dates of programs' runs (MaxFilter, HPI) tell the day as well; nobody computes with them.
        is_measured = tag.blocks[-1] in {101, tags.ANNOTATIONS_BLOCK}
        moment = self._policy.moved(was) if is_measured else None
        try:
            seconds = (moment - _EPOCH) // timedelta(seconds=1) if moment else 0
            value = struct.pack(">ii", seconds, moment.microsecond) if moment else b""
        except struct.error:
            value = b""
        self._changes["FIF dates"] += moment != was or not value
        if not value:
            return
        if tag.type == _DOUBLE and moment:
            value = struct.pack(">dd", seconds, moment.microsecond)
        self._put(tag.kind, tag.type, value)

    def _string(self, tag: _Tag) -> None:
        text = _text(self._source, tag)
        new = self._new_text(tag, text)
        if new is None:
            self._changes[f"FIF tag {tag.kind}"] += 1
        else:
            self._put(tag.kind, _STRING, new.encode("latin-1", "xmlcharrefreplace"))

    def _new_text(self, tag: _Tag, text: str) -> str | None:
        if tag.kind == tags.REF_FILE_NAME:
            return self._following
        if tag.kind == tags.CH_NAME:
            return self._channel_name(text)
        if tag.kind in tags.NAME_LISTS:
            return ":".join(self._channel_name(name) for name in text.split(":"))
        if tag.blocks[-1] == tags.ANNOTATIONS_BLOCK:
            return self._annotations(tag.kind, text)
        if tag.blocks[-1] == 314 and tag.kind in {tags.NAME, tags.COMMENT}:  # noqa: PLR2004 - an item of a projection (FIFFB_PROJ_ITEM)
            # A projection needs a name.
            ok = is_vocabulary(text) and is_safe_label(text, self._known)
            self._changes["FIF names of projections"] += not ok
            return text if ok else "projection"
        return None

    def _annotations(self, kind: int, text: str) -> str | None:
        if kind == tags.COMMENT:
            labels = text.split(":") if text else []
            spoken = [label.replace(_COLON, ":") for label in labels]
            texts = EventTexts(
                spoken, self._known, keep_checked=self._policy.texts is TextRule.CHECKED
            )
            self._changes["FIF annotations"] += texts.replaced_count
            return ":".join(texts[label].replace(":", _COLON) for label in spoken)
        if kind == tags.ANNOTATION_CHANNELS:
            try:
                lists = json.loads(text)
                named = [[self._channel_name(str(name)) for name in names] for names in lists]
            except (json.JSONDecodeError, TypeError) as error:
                raise _refused("the channels of its annotations are not written as JSON") from error
            return json.dumps(named)
        return None
