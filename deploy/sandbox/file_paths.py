"""Paths of files inside resources: which ones are taken. Not here: what is stored at them."""

from __future__ import annotations

import re

from deploy.sandbox.errors import bad_request
from deploy.sandbox.values import check_label

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 1024

# Beyond what a file system of Linux refuses: what Windows cannot unpack, and XNAT's wildcard.
_HOSTILE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\\ud800-\udfff]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE | re.DOTALL)


def check_file_path(path: str) -> str:
    """Return a path relative to a resource that is safe on every file system.

    Raises
    ------
    HttpError
        400.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise bad_request("A file path must be relative, without '.', '..' or empty parts.")
    if any(_is_hostile(part) for part in parts):
        raise bad_request(
            "A file name has characters or a form that not every file system can hold: "
            'none of < > : " | ? * \\, no control characters, no blank at either end, no dot at '
            "the end, no device name of Windows."
        )
    if len(path.encode()) > MAX_PATH_BYTES or any(len(p.encode()) > MAX_NAME_BYTES for p in parts):
        raise bad_request(
            f"A file name may have {MAX_NAME_BYTES} bytes and a path {MAX_PATH_BYTES} at most."
        )
    return path


def _is_hostile(name: str) -> bool:
    return (
        _HOSTILE.search(name) is not None
        or name != name.strip()
        or name.endswith(".")
        or _DEVICES.fullmatch(name) is not None
    )


def check_resource_label(label: str) -> str:
    """Return a label that is usable as a folder name and not to be mistaken for a number.

    Raises
    ------
    HttpError
        417 for unusable characters, 400 for a number or a name that XNAT's layout needs.
    """
    check_label("resource label", label)
    if label.isdigit():
        raise bad_request("A resource label must not be a number: numbers are resource IDs.")
    if label.lower() in {"in", "out"}:
        raise bad_request(f"A resource cannot be called '{label}': assessors keep folders so.")
    return label
