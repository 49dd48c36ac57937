"""Hostile archives: each is refused as a whole and leaves nothing behind."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.archives import MIN_ALLOWED_BYTES
from deploy.sandbox.settings import Settings
from tests.builders.live_folders import paths_below


def _zip(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def _tar(*entries: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("good.txt"), io.BytesIO(b""))
        for info in entries:
            archive.addfile(info, io.BytesIO(b"x" * info.size))
    return buffer.getvalue()


def _zip_link() -> bytes:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return _zip(("good.txt", b"x"), (info, b"/etc/passwd"))


def _tar_member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return _tar(info)


def _bomb() -> bytes:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("zeros", "w") as entry,
    ):
        for _ in range(MIN_ALLOWED_BYTES // 2**20 + 1):
            entry.write(bytes(2**20))
    return buffer.getvalue()


def _twins() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return _zip(("a", b"1"), ("a", b"2"))


def _damaged() -> bytes:
    whole = bytearray(_zip(("good.txt", b"x"), ("bad.txt", bytes(range(256)) * 20)))
    place = whole.index(b"bad.txt") + 20
    whole[place : place + 4] = b"\xff\xff\xff\xff"
    return bytes(whole)


def _encrypted() -> bytes:
    whole = bytearray(_zip(("good.txt", b"x")))
    for magic, flag_at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        whole[whole.index(magic) + flag_at] |= 1
    return bytes(whole)


def _huge_header() -> bytes:
    """Return a small gzipped tar whose extended header says that it has 64 GiB."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 2**36
    return zlib.compress(info.tobuf(tarfile.GNU_FORMAT), wbits=31)


_HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zip: parent folder": ("x.zip", lambda: _zip(("good.txt", b"x"), ("../evil", b"x"))),
    "zip: absolute": ("x.zip", lambda: _zip(("good.txt", b"x"), ("/evil", b"x"))),
    "zip: drive": ("x.zip", lambda: _zip(("good.txt", b"x"), ("C:/evil", b"x"))),
    "zip: hidden dots": ("x.zip", lambda: _zip(("good.txt", b"x"), ("a/../../evil", b"x"))),
    "zip: device name": ("x.zip", lambda: _zip(("good.txt", b"x"), ("sub/NUL", b"x"))),
    "zip: link": ("x.zip", _zip_link),
    "zip: bomb": ("x.zip", _bomb),
    "zip: two of one name": ("x.zip", _twins),
    "zip: file and folder": ("x.zip", lambda: _zip(("a", b"x"), ("a/b", b"x"))),
    "zip: damaged": ("x.zip", _damaged),
    "zip: cut off": ("x.zip", lambda: _zip(("good.txt", b"x" * 5000))[:-30]),
    "zip: encrypted": ("x.zip", _encrypted),
    "zip: no zip": ("x.zip", lambda: b"this is no archive at all" * 50),
    "zip: lying directory": (
        "x.zip",
        lambda: b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, 2**31, 0, 0),
    ),
    "tar: parent folder": ("x.tar", lambda: _tar_member("../evil")),
    "tar: absolute": ("x.tar", lambda: _tar_member("/evil")),
    "tar: symbolic link": ("x.tar", lambda: _tar_member("l", tarfile.SYMTYPE, "/etc/passwd")),
    "tar: hard link": ("x.tar", lambda: _tar_member("l", tarfile.LNKTYPE, "good.txt")),
    "tar: device": ("x.tar", lambda: _tar_member("d", tarfile.CHRTYPE)),
    "tar: pipe": ("x.tar", lambda: _tar_member("p", tarfile.FIFOTYPE)),
    "tar: header that fills the memory": ("x.tar.gz", _huge_header),
    "tar: cut off": ("x.tgz", lambda: zlib.compress(_tar_member("a") * 20, wbits=31)[:-20]),
}


@pytest.mark.parametrize("case", sorted(_HOSTILE))
def test_hostile_archive_is_refused_as_a_whole(
    admin: Any, study: Any, sandbox: Any, case: str
) -> None:
    """The answer is 400 (409 where names clash), no file of the archive is stored anywhere."""
    name, make = _HOSTILE[case]
    path = f"{study.session_path}/resources/R1"
    admin.made(path)

    answer = admin.put(f"{path}/files/{name}", params={"extract": "true"}, data=make())

    assert answer.status_code == (409 if case == "zip: file and folder" else 400), answer.text
    assert admin.rows(f"{path}/files") == []
    project_dir: Path = Settings(sandbox.root).archive_dir / study.project
    assert [p for p in project_dir.rglob("*") if p.is_file()] == []
    assert not any(path.is_file() for path in paths_below(Settings(sandbox.root).incoming_dir))


def test_archive_of_well_packed_data_is_accepted(admin: Any, study: Any) -> None:
    """Masks full of zeros pack a thousandfold; that alone is no reason to refuse."""
    path = f"{study.session_path}/resources/R1/files"
    archive = _zip(("mask.nii", bytes(20_000_000)))

    answer = admin.put(f"{path}/x.zip", params={"extract": "true"}, data=archive)

    assert answer.status_code == 200, answer.text
    (row,) = admin.rows(path)
    assert row["Size"] == "20000000"
