"""The streamed archive, read by other programs than the one that wrote it."""

from __future__ import annotations

import io
import shutil
import subprocess
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xnat_client.errors import BadInputError
from xnat_client.upload.zip_stream import ZipEntry, zip_chunks, zip_size


def _entry(path: Path, name: str) -> ZipEntry:
    content = path.read_bytes()
    return ZipEntry(name, path, len(content), zlib.crc32(content), f"File {name}")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(contents=st.lists(st.binary(max_size=3000), max_size=12))
def test_standard_library_reads_what_was_put_in(tmp_path: Path, contents: list[bytes]) -> None:
    """Names and bytes come back through Python's zipfile, and the size was known beforehand."""
    entries = []
    for number, content in enumerate(contents):
        path = tmp_path / f"{number}"
        path.write_bytes(content)
        entries.append(_entry(path, f"SCANS/{number}/DICOM/ü{number}.dcm"))

    archive = b"".join(zip_chunks(entries))

    assert len(archive) == zip_size(entries)
    with zipfile.ZipFile(io.BytesIO(archive)) as reader:
        assert reader.testzip() is None
        assert [reader.read(one) for one in reader.namelist()] == contents
        assert reader.namelist() == [one.name for one in entries]


def test_entries_suit_java_stream_readers(tmp_path: Path) -> None:
    """Entries are stored without data descriptor (bit 3) and without the files' times."""
    (tmp_path / "a").write_bytes(b"abc")

    with zipfile.ZipFile(io.BytesIO(b"".join(zip_chunks([_entry(tmp_path / "a", "a")])))) as reader:
        [info] = reader.infolist()

    assert info.flag_bits & 0x08 == 0
    assert info.compress_type == zipfile.ZIP_STORED
    assert info.date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize("command", [["jar", "t"], ["unzip", "-t", "a.zip"]])
def test_other_programs_accept_it(tmp_path: Path, command: list[str]) -> None:
    """Java's ZipInputStream (``jar`` on a pipe: what XNAT reads imports with) and unzip take it."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed; apt-get install {command[0]}")
    (tmp_path / "a").write_bytes(b"abc" * 1000)
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"".join(zip_chunks([_entry(tmp_path / "a", "SCANS/1/a.dcm")])))

    with archive.open("rb") as stream:
        done = subprocess.run(
            command, stdin=stream, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert done.returncode == 0, done.stderr
    assert "SCANS/1/a.dcm" in done.stdout


def test_more_than_65535_entries(tmp_path: Path) -> None:
    """The ZIP64 end record counts what the old field cannot."""
    (tmp_path / "a").write_bytes(b"x")
    one = _entry(tmp_path / "a", "x")
    entries = [ZipEntry(f"{n}", one.path, 1, one.crc32, "") for n in range(66_000)]

    archive = b"".join(zip_chunks(entries))

    assert len(archive) == zip_size(entries)
    with zipfile.ZipFile(io.BytesIO(archive)) as reader:
        assert len(reader.namelist()) == 66_000
        assert reader.read("65999") == b"x"


@pytest.mark.slow
def test_file_of_more_than_four_gigabytes(tmp_path: Path) -> None:
    """Sizes and offsets beyond 32 bits are read back right, and memory stays small."""
    size_bytes = (1 << 32) + 5
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(size_bytes)  # sparse: takes no disk
    block, crc32 = bytes(1 << 20), 0
    for _ in range(1 << 12):
        crc32 = zlib.crc32(block, crc32)
    crc32 = zlib.crc32(bytes(5), crc32)
    (tmp_path / "small").write_bytes(b"after")
    entries = [
        ZipEntry("big", big, size_bytes, crc32, "big"),
        _entry(tmp_path / "small", "small"),
    ]
    archive = tmp_path / "archive.zip"

    tracemalloc.start()
    with archive.open("wb") as file:
        for chunk in zip_chunks(entries):
            if chunk == block:
                file.seek(len(chunk), io.SEEK_CUR)  # keep the archive sparse too
            else:
                file.write(chunk)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert archive.stat().st_size == zip_size(entries)
    assert peak_bytes < 16 << 20
    with zipfile.ZipFile(archive) as reader:
        assert reader.getinfo("big").file_size == size_bytes
        assert reader.read("small") == b"after"


@pytest.mark.parametrize("now", [b"abX", b"ab", b"abcd", None])
def test_file_that_changed_meanwhile_breaks_it_off(tmp_path: Path, now: bytes | None) -> None:
    """Other content, less, more or no file at all: the archive is never completed."""
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    entry = _entry(path, "a")
    path.unlink()
    if now is not None:
        path.write_bytes(now)

    with pytest.raises(BadInputError, match="File a"):
        list(zip_chunks([entry]))
