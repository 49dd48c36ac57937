"""The manifest: every file of a release with size and SHA-256; its own SHA-256 is the release.

Works offline and with the standard library alone, so that anybody can verify a copy. Same files,
same bytes: sorted by path, no times, owners or hosts. Not here: what stands in the files.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST_NAME = "manifest.json"
SUMS_NAME = "manifest.sha256"
OWN_NAMES = frozenset({MANIFEST_NAME, SUMS_NAME})
SIGNATURE_NAME = "manifest.sig.json"
"""Beside the manifest and not listed in it; see ``signature``."""
FORMAT = "winxnat-release-manifest"
FORMAT_VERSION = 1
_ALLOWED_DOTTED = frozenset({".bidsignore"})
_ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9]+)")
_HEX = re.compile(r"[0-9a-f]{64}")
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]|[. ]\Z')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_LONGEST_PATH = 500
_MEDIA_TYPES = {
    ".nii.gz": "application/gzip", ".json": "application/json", ".md": "text/markdown",
    ".tsv": "text/tab-separated-values", ".cff": "application/yaml", ".bval": "text/plain",
    ".bvec": "text/plain",
}  # fmt: skip
_BLOCK_BYTES = 1 << 20


class ManifestError(Exception):
    """The folder cannot be a release; the message says which rule it breaks, and where."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file as the manifest has it; ``path`` is relative, with ``/``, in Unicode form C."""

    path: str
    size_bytes: int
    sha256: str
    md5: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a copy; ``path`` is empty where it is wrong as a whole."""

    what: str
    path: str = ""


def record_files(root: Path) -> list[FileRecord]:
    """Return all files of a release folder but the manifest's own, sorted by path.

    Raises
    ------
    ManifestError
        A link, a hard link, or a name that not every system can hold.
    """
    found = []
    folded: dict[str, str] = {}
    for path in root.rglob("*"):
        relative = path.relative_to(root).as_posix()
        name = unicodedata.normalize("NFC", relative)
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise ManifestError(f"{name} is a link or no ordinary file.")
        if folded.setdefault(name.casefold(), relative) != relative:
            raise ManifestError(f"{name} differs from another name only in upper and lower case.")
        if path.is_dir() or name in OWN_NAMES or name == SIGNATURE_NAME:
            continue
        _check_name(name)
        if path.stat().st_nlink != 1:
            raise ManifestError(f"{name} is a hard link.")
        found.append(_record(path, name))
    return sorted(found, key=lambda each: each.path.encode())


def _check_name(name: str) -> None:
    parts = name.split("/")
    is_bad = (
        len(name) > _LONGEST_PATH
        or any(_NOT_ON_WINDOWS.search(part) or _RESERVED.fullmatch(part) for part in parts)
        or any(part.startswith(".") and part not in _ALLOWED_DOTTED for part in parts)
    )
    if is_bad:
        raise ManifestError(f"{name} is a name that not every system can hold.")


def _record(path: Path, name: str) -> FileRecord:
    size, sha256, md5 = digests_of(path)
    return FileRecord(name, size, sha256, md5)


def digests_of(path: Path) -> tuple[int, str, str]:
    """Return size, SHA-256 and MD5 of a file, from one reading."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            sha256.update(block)
            md5.update(block)
            size += len(block)
    return size, sha256.hexdigest(), md5.hexdigest()


def document_of(family: str, version: str, files: Iterable[FileRecord]) -> dict[str, Any]:
    """Return the manifest of a release as a document."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "family": family,
        "version": version,
        "files": [_row(each) for each in files],
    }


def _row(each: FileRecord) -> dict[str, Any]:
    name = each.path.rpartition("/")[2]
    ending = next((end for end in _MEDIA_TYPES if name.endswith(end)), "")
    return {
        "path": each.path,
        "size_bytes": each.size_bytes,
        "sha256": each.sha256,
        "media_type": _MEDIA_TYPES.get(ending, "application/octet-stream"),
        "role": _role(each.path),
        "entities": dict(_ENTITY.findall(name)) if name.startswith("sub-") else {},
    }


def _role(path: str) -> str:
    top = path.partition("/")[0]
    if top.startswith("sub-"):
        return "data"
    return {"qc": "quality", "evidence": "evidence"}.get(top, "description")


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the one way to write a document: sorted keys, UTF-8, no spaces, one line end."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode() + b"\n"


def write(root: Path, family: str, version: str) -> tuple[str, list[FileRecord]]:
    """Write ``manifest.json`` and ``manifest.sha256``; return the release's digest, and its files.

    All files are read twice; the second ``record_files`` is ``verify``'s, by the caller.
    ``manifest.sha256`` is for ``sha256sum -c``, with the manifest's own line first.
    """
    files = record_files(root)
    data = canonical(document_of(family, version, files))
    digest = hashlib.sha256(data).hexdigest()
    (root / MANIFEST_NAME).write_bytes(data)
    lines = [f"{digest}  {MANIFEST_NAME}\n", *(f"{one.sha256}  {one.path}\n" for one in files)]
    (root / SUMS_NAME).write_text("".join(lines), encoding="utf-8", newline="\n")
    return digest, files


def verify(root: Path, expected: str = "") -> list[Problem]:
    """Compare a release folder with its manifest; return what is wrong, nothing if it is whole.

    Parameters
    ----------
    expected : str
        The release's digest, from wherever it was published; without it the manifest vouches
        for itself only.
    """
    try:
        data = (root / MANIFEST_NAME).read_bytes()
        listed, digest = _read(data), hashlib.sha256(data).hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        text = "cannot be read, or is no manifest of this form; name the folder of a release"
        return [Problem(text, MANIFEST_NAME)]
    problems = []
    if expected and digest != expected.strip().lower():
        problems.append(Problem("is not that of the release asked about", MANIFEST_NAME))
    problems += _check_sums(root, digest, listed)
    try:
        found = {each.path: each for each in record_files(root)}
    except ManifestError as error:
        return [*problems, Problem(str(error))]
    for path in sorted(set(listed) | set(found)):
        if path not in found:
            problems.append(Problem("is missing", path))
        elif path not in listed:
            problems.append(Problem("is not in the manifest", path))
        elif (found[path].size_bytes, found[path].sha256) != listed[path]:
            problems.append(Problem("was changed", path))
    return problems


def _read(data: bytes) -> dict[str, tuple[int, str]]:
    """Return path to size and SHA-256; raise ValueError for bytes that are not canonical."""
    document = json.loads(data)
    if canonical(document) != data or document["format"] != FORMAT:
        raise ValueError("not canonical")
    if document["format_version"] != FORMAT_VERSION:
        raise ValueError("of another version")
    listed = {}
    for row in document["files"]:
        path, size, sha256 = row["path"], row["size_bytes"], row["sha256"]
        if not isinstance(path, str) or not isinstance(size, int) or not _HEX.fullmatch(sha256):
            raise ValueError("a row of another form")
        listed[path] = (size, sha256)
    if list(listed) != sorted(listed, key=str.encode) or len(listed) != len(document["files"]):
        raise ValueError("not sorted, or a path twice")
    return listed


def _check_sums(root: Path, digest: str, listed: Mapping[str, tuple[int, str]]) -> list[Problem]:
    lines = [
        f"{digest}  {MANIFEST_NAME}\n",
        *(f"{sha}  {path}\n" for path, (_, sha) in listed.items()),
    ]
    try:
        is_equal = (root / SUMS_NAME).read_bytes() == "".join(lines).encode()
    except OSError:
        return [Problem("is missing", SUMS_NAME)]
    return [] if is_equal else [Problem("does not say what the manifest says", SUMS_NAME)]


@dataclass(frozen=True, slots=True)
class Difference:
    """What a newer version changed; paths, sorted."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    participants_before: int
    participants_after: int


def compare(before: Path, after: Path) -> Difference:
    """Return what two release folders' manifests differ in.

    Raises
    ------
    ManifestError
        One of the folders has no manifest of this form.
    """
    try:
        old, new = (_read((root / MANIFEST_NAME).read_bytes()) for root in (before, after))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"One of the folders has no {MANIFEST_NAME} of this form.") from error
    both = set(old) & set(new)
    return Difference(
        tuple(sorted(set(new) - both)),
        tuple(sorted(set(old) - both)),
        tuple(sorted(path for path in both if old[path] != new[path])),
        len(_subjects(old)),
        len(_subjects(new)),
    )


def _subjects(paths: Iterable[str]) -> set[str]:
    return {path.partition("/")[0] for path in paths if path.startswith("sub-") and "/" in path}
