"""Tells what a file is, by its content, with the name only to choose between texts.

Not here: reading the kinds (one module each).
"""

from __future__ import annotations

import struct
from enum import StrEnum
from pathlib import PurePath

HEAD_BYTES = 4096


class Kind(StrEnum):
    """Kinds of files that are understood."""

    DICOM = "DICOM"
    NIFTI = "NIfTI"
    JSON = "JSON"
    TABLE = "table"
    TEXT = "text"
    HTML = "HTML or XML"
    PNG = "PNG"
    PDF = "PDF"
    EDF = "EDF or BDF"
    BRAINVISION = "BrainVision header"
    SIGNALS = "BrainVision signals"
    FIF = "FIF"
    CTF = "CTF"
    CTF_TEXT = "CTF helper file"
    KIT = "KIT"
    EEGLAB = "EEGLAB"


_SUFFIX_NAMES = """
.txt .md .rst .bval .bvec .bvals .bvecs .csv .log .cff .yaml .yml .mat .bidsignore .err .out
.pos .elp .hsp .eve .hist .infods .acq .config .bad .cls
"""
_TEXT_SUFFIXES = frozenset(_SUFFIX_NAMES.split())
_TEXT_NAMES = frozenset({"README", "CHANGES", "LICENSE", "LICENCE", ".bidsignore", "COPYING"})
_NIFTI_MAGICS = {b"n+1\0", b"ni1\0", b"n+2\0", b"ni2\0"}
_ANALYZE_SIZES = {struct.pack(order + "i", size) for order in "<>" for size in (348, 540)}
_FIF_START = struct.pack(">i", 100)
_CTF_TEXT_SUFFIXES = frozenset({".hc", ".mrk", ".segments"})
_KIT_SUFFIXES = frozenset({".con", ".sqd", ".mrk"})


def kind_of(name: str, head: bytes) -> Kind | None:
    """Return the kind of a file from its name and first bytes; None where it is not understood."""
    by_content = _by_content(head)
    if by_content is not None:
        return by_content
    suffix = PurePath(name).suffix.lower()
    if suffix in {".res4", ".meg4", ".hc", ".eeg"} and head[:4] in {b"MEG4", b"MEG3"}:
        return Kind.CTF
    if suffix in _KIT_SUFFIXES and not _is_text(head):
        return Kind.KIT
    if suffix in {".eeg", ".dat", ".fdt"} and not _is_text(head):
        return Kind.SIGNALS
    if not _is_text(head):
        return None
    return _text_kind(name, suffix, head)


def _by_content(head: bytes) -> Kind | None:  # noqa: PLR0911 - one for each kind
    if head[128:132] == b"DICM":
        return Kind.DICOM
    if head[:4] in _ANALYZE_SIZES and (
        head[344:348] in _NIFTI_MAGICS or head[4:8] in _NIFTI_MAGICS
    ):
        return Kind.NIFTI
    starts = (
        (b"\x89PNG\r\n\x1a\n", Kind.PNG),
        (b"%PDF-", Kind.PDF),
        (b"\xffBIOSEMI", Kind.EDF),
        (b"MATLAB 5.0 MAT-file", Kind.EEGLAB),
        (b"MEG41RS\0", Kind.CTF),
        (b"MEG42RS\0", Kind.CTF),
        (b"MEG43RS\0", Kind.CTF),
    )
    found = next((kind for start, kind in starts if head.startswith(start)), None)
    if found is not None:
        return found
    if head[:4] == _FIF_START and head[4:8] == struct.pack(">i", 31):
        return Kind.FIF
    if head[:8] == b"0       " and _is_text(head[:256]):
        return Kind.EDF
    # Old DICOM without preamble: (0008,0000) to (0008,0018) first, little or big endian.
    if head[:2] in {b"\x08\0", b"\x02\0"} and head[3:4] == b"\0" and len(head) > 8:  # noqa: PLR2004 - an element
        return Kind.DICOM
    return None


def _text_kind(name: str, suffix: str, head: bytes) -> Kind | None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64]
    if suffix == ".json" or (start[:1] in {b"{", b"["} and suffix == ""):
        return Kind.JSON
    if suffix in {".tsv", ".csv"}:
        return Kind.TABLE
    if start.startswith(b"Brain Vision") or suffix in {".vhdr", ".vmrk", ".amrk"}:
        return Kind.BRAINVISION
    if start[:1] == b"<" or suffix in {".html", ".htm", ".xml", ".svg"}:
        return Kind.HTML
    if suffix in _CTF_TEXT_SUFFIXES or name == "BadChannels":
        return Kind.CTF_TEXT
    is_named = suffix in _TEXT_SUFFIXES or PurePath(name).stem in _TEXT_NAMES or name in _TEXT_NAMES
    return Kind.TEXT if is_named else None


def _is_text(head: bytes) -> bool:
    """Return whether bytes are text: no control characters but those of lines."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    controls = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head[:HEAD_BYTES])  # noqa: PLR2004 - ASCII
    return controls == 0
