"""The search for secret strings: in every encoding, compression and place, and not by chance."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from xnat_client.release.search import Searcher
from xnat_client.release.spellings import Secret, SecretKind, date_forms

NAME = Secret(SecretKind.NAME, "Quixotte^Zebulon")
NUMBER = Secret(SecretKind.ID, "W3T-2020-00417")
DAY = Secret(SecretKind.DATE, "2017-08-13")
ACCENTED = Secret(SecretKind.NAME, "Müllerová^Žofie")
SHORT = Secret(SecretKind.ID, "S07")
PLAIN_NUMBER = Secret(SecretKind.ID, "2458")
SEARCHER = Searcher([NAME, NUMBER, DAY, ACCENTED, SHORT, PLAIN_NUMBER])


def zipped(name: str, data: bytes, comment: bytes = b"") -> bytes:
    """Return an archive of one member, with a comment."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
        archive.comment = comment
    return stream.getvalue()


def tarred(name: str, data: bytes) -> bytes:
    """Return a tar archive of one member."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def gzip_named(name: bytes) -> bytes:
    """Return a gzip file with a file name in its header (RFC 1952, section 2.3.1)."""
    plain = gzip.compress(b"voxels", mtime=0)
    return plain[:3] + b"\x08" + plain[4:10] + name + b"\0" + plain[10:]


VOXELS = random.Random(5).randbytes(200_000)  # noqa: S311  # made data, no secret
PLACES: dict[str, bytes] = {
    "plain text": b"seen by Zebulon Quixotte today",
    "other order": b"QUIXOTTE, ZEBULON",
    "surname in a table": b"code\tname\n1\tquixotte\n",
    "number without separators": b"booking w3t202000417.",
    "number in JSON": b'{"a": "W3T_2020_00417"}',
    "UTF-16 little": "Zebulon Quixotte".encode("utf-16-le"),
    "UTF-16 big": b"\x00\x01" + "Zebulon Quixotte".encode("utf-16-be"),
    "accents as UTF-8": "MÜLLEROVÁ".encode(),
    "accents as Latin 2": "Müllerová".encode("cp1250"),
    "accents taken off": b"sofie? Zofie Mullerova",
    "accents as JSON escapes": b'{"x": "M\\u00fcllerov\\u00e1"}',
    "base64": base64.b64encode(b"xx W3T-2020-00417 yy"),
    "base64, another shift": base64.b64encode(b"x W3T-2020-00417 yy"),
    "hexadecimal": b"00" + b"W3T-2020-00417".hex().encode() + b"ff",
    "percent": b"?q=Quixotte%5EZebulon",
    "day as number": b"recorded 20170813.",
    "day in words": b"on 13 August 2017",
    "day of six digits in a name": b"see scan_130817.nii",
    "American day": b"8/13/2017",
    "among voxels": VOXELS + b"Quixotte^Zebulon" + VOXELS,
    "gzip": gzip.compress(b"a" * 5000 + b"Quixotte^Zebulon"),
    "second member of gzip": gzip.compress(b"first") + gzip.compress(b"W3T-2020-00417"),
    "after the end of gzip": gzip.compress(b"first") + b"W3T-2020-00417",
    "name in gzip": gzip_named(b"quixotte_zebulon.nii"),
    "bzip2": bz2.compress(b"Quixotte^Zebulon"),
    "xz": lzma.compress(b"Quixotte^Zebulon"),
    "zip": zipped("a.txt", b"Quixotte^Zebulon"),
    "name in zip": zipped("Quixotte_Zebulon.txt", b"-"),
    "comment of zip": zipped("a.txt", b"-", b"for Zebulon Quixotte"),
    "zip behind a page": b"<html></html>" + zipped("a.txt", b"W3T-2020-00417"),
    "gzip in tar in xz": lzma.compress(tarred("a.gz", gzip.compress(b"W3T-2020-00417"))),
    "name in tar": gzip.compress(tarred("W3T-2020-00417.txt", b"-")),
    "short label as a word": b"participant\tS07\t12\n",
    "a number as spreadsheets write it": b"participant\tvalue\n2458.0\t3\n",
    "a number with its visit": b"participant\tvalue\n2458.02\t3\n",
    "a number in what is no digest": b"cafe2458.txt",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_is_found_in(place: str, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(PLACES[place])

    found = SEARCHER.folder(tmp_path)

    assert [each.path for each in found.places][:1] == ["file.bin"]


# SHA-256 of the text "156", by sha256sum; it has 2458 between two letters.
DIGEST = b"0fecf9247f3ddc84db8a804fa3065c013baf6b7c2458c2ba2bf56c2e1d42ddd4"
HARMLESS: dict[str, bytes] = {
    "noise": VOXELS,
    "a longer number": b"4201708139917\n",
    "a number of a table that could be a day": b"onset\tsample\n1.5\t130817\n",
    "the version of a program": b'{"Version": "13.8.17"}',
    "the fraction of a number": b"0.20170813\t1.25\n",
    "a short label within a word": b"XS071 rows07er",
    "a measured value": b"image\tsnr\ncheck\t2458.507\n",
    "a digest that begins and ends a line": DIGEST + b"\n",
    "a digest in JSON": b'{"sha256": "' + DIGEST + b'"}',
    "other words": b"The quick brown fox met zebras on the sofa in August.",
}


@pytest.mark.parametrize("text", HARMLESS)
def test_nothing_is_found_in(text: str, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(HARMLESS[text])

    assert SEARCHER.folder(tmp_path).is_clean


def test_a_secret_across_two_pieces_of_a_large_stream_is_found(tmp_path: Path) -> None:
    for start in ((4 << 20) - 8, (4 << 20) - 1, 4 << 20):
        (tmp_path / "image").write_bytes(b"\0" * start + b"Quixotte^Zebulon" + b"\0" * 1000)

        assert [each.byte for each in SEARCHER.folder(tmp_path).places] == [start]


def test_a_name_of_a_file_is_searched_and_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "scan_Quixotte").mkdir()
    (tmp_path / "scan_Quixotte" / "x.json").write_text("{}")

    found = SEARCHER.folder(tmp_path)

    assert {each.path for each in found.places} == {"hidden", "hidden/x.json"}
    assert "uixotte" not in repr(found).lower()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="cut short"),
        pytest.param(lambda data: data[:20] + b"\xff" * 30 + data[50:], id="damaged"),
    ],
)
def test_what_cannot_be_opened_is_not_clean(
    spoil: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    (tmp_path / "x.nii.gz").write_bytes(spoil(gzip.compress(VOXELS)))

    found = SEARCHER.folder(tmp_path)

    assert not found.is_clean
    assert list(found.not_searchable) == ["x.nii.gz"]


def test_an_encrypted_archive_is_not_clean(tmp_path: Path) -> None:
    data = bytearray(zipped("a.txt", b"hello hello"))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(signature) + place
        struct.pack_into("<H", data, at, struct.unpack_from("<H", data, at)[0] | 1)
    (tmp_path / "a.zip").write_bytes(data)

    assert list(SEARCHER.folder(tmp_path).not_searchable) == ["a.zip"]


def test_a_link_is_not_clean(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(__file__)

    assert SEARCHER.folder(tmp_path).not_searchable == {"link": "it is a link"}


def test_in_prose_a_part_of_a_name_may_be_a_word_but_the_name_may_not(tmp_path: Path) -> None:
    searcher = Searcher([Secret(SecretKind.NAME, "White^Anthony")])
    (tmp_path / "README.md").write_text("White matter.")
    (tmp_path / "x.tsv").write_text("white\n")
    (tmp_path / "DUA.md").write_text("Anthony White agrees.")

    found = searcher.folder(tmp_path, {"README.md", "DUA.md"})

    assert [each.path for each in found.places] == ["DUA.md", "x.tsv"]


@pytest.mark.parametrize("text", ["12", "ab", "patient", "Head", "3.0"])
def test_what_says_nothing_is_not_looked_for_and_counted(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(f"a {text} b")

    found = Searcher([Secret(SecretKind.ID, text), NUMBER]).folder(tmp_path)

    assert (found.is_clean, found.too_common, found.strings) == (True, 1, 1)


@pytest.mark.parametrize(
    "form",
    [
        "2017-08-13", "20170813", "13/08/2017", "08/13/2017", "13.8.2017", "13 Aug 2017",
        "August 13, 2017", "13-Aug-2017", "130817", "170813", "2017_08_13", "17-08-13", "13AUG2017",
    ],
)  # fmt: skip
def test_a_day_is_known_in_the_form(form: str) -> None:
    assert form.lower() in {each.lower() for each in date_forms(date(2017, 8, 13))}


def test_neither_repr_nor_place_tells_a_secret() -> None:
    shown = f"{NAME!r} {SEARCHER!r} {SEARCHER.text('by Zebulon Quixotte')!r}"

    assert "uixotte" not in shown.lower()
    assert SEARCHER.hides("by Zebulon Quixotte") == "(withheld: it holds what identifies)"
