"""Identities planted in every kind of place are found, and honest files raise no alarm."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

from containers.check_identity import KnownKind, KnownString, KnownStrings, Status, check_tree
from tests.builders.identity_files import (
    clean_dicom,
    dicom_bytes,
    edf_bytes,
    fif_bytes,
    gzip_bytes,
    nifti_bytes,
    png_bytes,
    write_clean_tree,
)

NAME = "Zqxpcjlv"
KNOWN = KnownStrings.of(
    [
        KnownString(KnownKind.NAME, "Zqxpcjlv^Wumbo"),
        KnownString(KnownKind.ID, "W3T-20201"),
        KnownString(KnownKind.DATE, "19530214"),
        KnownString(KnownKind.PHONE, "01865 496123"),
        KnownString(KnownKind.ADDRESS, "17 Quincefield Row, Oxford OX9 7ZZ"),
        KnownString(KnownKind.NAME, "山田^太郎"),
        KnownString(KnownKind.NAME, "Bäumölschläger"),
    ]
)


def _dicom(change: Callable[[FileDataset], None]) -> dict[str, bytes]:
    made = clean_dicom()
    change(made)
    return {"x.dcm": dicom_bytes(made)}


def _set(**values: str) -> Callable[[FileDataset], None]:
    def change(made: FileDataset) -> None:
        for name, value in values.items():
            setattr(made, name, value)

    return change


def _nested(made: FileDataset) -> None:
    inner, outer = Dataset(), Dataset()
    inner.PatientName = NAME
    outer.ReferencedStudySequence = Sequence([inner])
    made.ReferencedPerformedProcedureStepSequence = Sequence([outer])


def _private(made: FileDataset) -> None:
    made.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0E, "UN", NAME.encode())


def _private_gzip(made: FileDataset) -> None:
    block = made.private_block(0x0025, "GEMS_SERS_01", create=True)
    block.add_new(0x1B, "OB", b"\x10\0\0\0" + gzip.compress(f'set NAME "{NAME}"\n'.encode() * 9))


def _creator(made: FileDataset) -> None:
    made.private_block(0x0019, f"{NAME} LABS", create=True).add_new(0x01, "DS", "1")


def _japanese(made: FileDataset) -> None:
    made.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    made.PatientComments = "山田"


def _file_meta(made: FileDataset) -> None:
    made.file_meta.SourceApplicationEntityTitle = "ZQXPCJLV"


def _preamble(made: FileDataset) -> None:
    made.preamble = NAME.encode().ljust(128, b"\0")


def _pixels(made: FileDataset) -> None:
    made.PixelData = made.PixelData[:-20] + NAME.encode().ljust(20, b"\0")


def _icon(made: FileDataset) -> None:
    item = Dataset()
    item.PixelData = NAME.encode()
    item["PixelData"].VR = "OB"
    made.IconImageSequence = Sequence([item])


def _deflated(made: FileDataset) -> None:
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    made.ProtocolName = NAME


def _after_nul(made: FileDataset) -> None:
    made.SoftwareVersions = f"VE11C\0{NAME}"


def _zip(name: str, data: bytes, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
        archive.comment = comment
    return out.getvalue()


def _tar(name: str, data: bytes, owner: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size, info.uname = len(data), owner
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


TEXT = f"seen by {NAME} today\n".encode()
PLANTS: dict[str, dict[str, bytes]] = {
    "plain text": {"notes.txt": TEXT},
    "upper case": {"notes.txt": TEXT.upper()},
    "utf-16 little": {"notes.txt": TEXT.decode().encode("utf-16")},
    "utf-16 big, binary": {"x.bin": b"\0\x01" + NAME.encode("utf-16-be") + b"\0\x07"},
    "login name": {"notes.txt": b"user wumbo.zqxpcjlv ran it"},
    "joined name": {"notes.txt": b"wumbozqxpcjlv"},
    "id without separators": {"notes.txt": b"booking w3t20201 done"},
    "id with others": {"notes.txt": b"booking W3T_20201"},
    "birth date, day first": {"notes.txt": b"b. 14/02/1953"},
    "birth date, in words": {"notes.txt": b"born 14 February 1953"},
    "birth date, American": {"notes.txt": b"born February 14, 1953"},
    "birth date in a JSON number": {"x.json": b'{"a": 19530214}'},
    "telephone, international": {"notes.txt": b"call +44 1865 496123"},
    "telephone, joined": {"notes.txt": b"01865496123"},
    "postcode": {"notes.txt": b"ox97zz"},
    "latin-1": {"notes.txt": "Bäumölschläger".encode("latin-1")},
    "decomposed letters": {"notes.txt": "BA\u0308UMO\u0308LSCHLA\u0308GER".encode()},
    "letters without marks": {"notes.txt": b"Baumolschlager"},
    "JSON escapes": {"x.json": json.dumps({"a": "Bäumölschläger"}).encode()},
    "JSON, all escaped": {
        "x.json": b'{"a": "' + "".join(f"\\u{ord(c):04x}" for c in NAME).encode() + b'"}'
    },
    "HTML entities": {"x.html": b"<p>B&auml;um&ouml;lschl&auml;ger</p>"},
    "HTML numbers": {"x.html": "".join(f"&#{ord(c)};" for c in NAME).encode()},
    "percent": {"notes.txt": b"http://x/?q=B%C3%A4um%C3%B6lschl%C3%A4ger"},
    "hexadecimal": {"notes.txt": NAME.encode().hex().encode()},
    "base64, first place": {"notes.txt": base64.b64encode(NAME.encode())},
    "base64, second place": {"notes.txt": base64.b64encode(b"." + NAME.encode())},
    "base64, third place": {"notes.txt": base64.b64encode(b".." + NAME.encode())},
    "base64 of another case": {
        "x.json": b'{"a":"' + base64.b64encode(b"  zQXpcJLv, so it is") + b'"}'
    },
    "base64 of gzip": {"x.json": b'{"a":"' + base64.b64encode(gzip.compress(TEXT)) + b'"}'},
    "shift-jis": {"notes.txt": "山田".encode("shift_jis")},
    "euc-jp": {"notes.txt": "太郎".encode("euc_jp")},
    "iso-2022-jp": {"notes.txt": "山田太郎".encode("iso2022_jp")},
    "gb18030": {"notes.txt": "山田".encode("gb18030")},
    "file name": {f"sub-{NAME}.txt": b"x"},
    "folder name": {"WumboZqxpcjlv/a.txt": b"x"},
    "id in a folder name": {"W3T-20201/a.txt": b"x"},
    "gzip": {"a.gz": gzip_bytes(TEXT)},
    "gzip file name": {"sub-01_T1w.nii.gz": gzip_bytes(nifti_bytes(), name=f"{NAME}.nii")},
    "second gzip part": {"a.gz": gzip_bytes(b"x") + gzip_bytes(TEXT)},
    "bytes after gzip": {"sub-01_T1w.nii.gz": gzip_bytes(nifti_bytes()) + NAME.encode()},
    "bzip2": {"a.bz2": bz2.compress(TEXT)},
    "xz": {"a.xz": lzma.compress(TEXT)},
    "zip member": {"a.zip": _zip("a.txt", TEXT)},
    "zip member name": {"a.zip": _zip(f"{NAME}.txt", b"x")},
    "zip comment": {"a.zip": _zip("a.txt", b"x", comment=NAME.encode())},
    "tar in gzip": {"a.tar.gz": gzip_bytes(_tar("a.txt", TEXT))},
    "tar owner": {"a.tar": _tar("a.txt", b"x", owner=NAME.lower())},
    "zip in tar in zip": {"a.zip": _zip("b.tar", _tar("c.zip", _zip("d.txt", TEXT)))},
    "zlib in a binary": {"a.bin": b"\0\x01\x02" * 9 + zlib.compress(TEXT * 4)},
    "nifti descrip": {"x.nii": nifti_bytes(descrip=NAME)},
    "nifti db_name": {"x.nii": nifti_bytes(db_name=NAME)},
    "nifti aux_file, packed": {"x.nii.gz": gzip_bytes(nifti_bytes(aux_file=NAME))},
    "nifti intent_name": {"x.nii": nifti_bytes(intent_name=NAME)},
    "after the voxels": {"x.nii": nifti_bytes() + NAME.encode()},
    "sidecar value": {"x.json": json.dumps({"a": [{"b": NAME}]}).encode()},
    "sidecar key": {"x.json": json.dumps({NAME: 1}).encode()},
    "table cell": {"x.tsv": f"a\tb\n1\t{NAME}\n".encode()},
    "edf patient": {"x.edf": edf_bytes(patient=f"X F X {NAME}")},
    "edf recording": {"x.edf": edf_bytes(recording=f"Startdate X X {NAME} X")},
    "fif his_id": {"x.fif": fif_bytes(his_id="W3T-20201")},
    "fif last name": {"x.fif": fif_bytes(last_name=NAME)},
    "png text": {"x.png": png_bytes((b"tEXt", b"Comment\0" + NAME.encode()))},
    "png packed text": {"x.png": png_bytes((b"zTXt", b"C\0\0" + zlib.compress(NAME.encode())))},
    "after the picture": {"x.png": png_bytes() + NAME.encode()},
    "dicom name": _dicom(_set(PatientName="Zqxpcjlv^Wumbo")),
    "dicom description": _dicom(_set(SeriesDescription=f"t1 {NAME}")),
    "dicom technical text": _dicom(_set(SequenceName="zqxpcjlv")),
    "dicom nested": _dicom(_nested),
    "dicom private": _dicom(_private),
    "dicom private gzip": _dicom(_private_gzip),
    "dicom private creator": _dicom(_creator),
    "dicom ISO 2022": _dicom(_japanese),
    "dicom file meta": _dicom(_file_meta),
    "dicom preamble": _dicom(_preamble),
    "dicom pixels": _dicom(_pixels),
    "dicom icon": _dicom(_icon),
    "dicom deflated": _dicom(_deflated),
    "dicom after NUL": _dicom(_after_nul),
    "dicom trailing bytes": {"x.dcm": dicom_bytes(clean_dicom()) + NAME.encode()},
    "dicom id in a UID": _dicom(_set(StudyInstanceUID="1.2.3.19530214.7")),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_planted_identity_is_found(plant: str, tmp_path: Path) -> None:
    """A known string in this place fails criterion 3, 8 or 9, and the report hides it."""
    for name, data in PLANTS[plant].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)

    result = check_tree(tmp_path, KNOWN)

    assert not result.is_clean
    assert any(result.outcome(number).status is Status.FAIL for number in (3, 8, 9))
    shown = json.dumps(result.to_json(), ensure_ascii=False).lower()
    for secret in ("zqxpcjlv", "w3t-20201", "w3t20201", "19530214", "山田", "496123", "bäum"):
        assert secret not in shown


def test_clean_tree_raises_no_alarm(tmp_path: Path) -> None:
    """Honestly scrubbed files of every kind meet all blocking criteria that files can show."""
    result = check_tree(write_clean_tree(tmp_path), KNOWN)

    assert [(each.criterion.id, each.places) for each in result.unmet] == []
    assert result.is_clean
    assert result.outcome(1).status is Status.UNKNOWN


def test_empty_folder_is_not_clean(tmp_path: Path) -> None:
    """Where nothing was compared, nothing is known."""
    result = check_tree(tmp_path, KNOWN)

    assert not result.is_clean
    assert result.outcome(26).status is Status.UNKNOWN


def test_without_known_strings_nothing_is_clean(tmp_path: Path) -> None:
    """A search for no string is no search."""
    result = check_tree(write_clean_tree(tmp_path), KnownStrings())

    assert result.outcome(3).status is Status.UNKNOWN
    assert not result.is_clean


def test_link_is_refused_and_its_target_searched(tmp_path: Path) -> None:
    """A link is not followed; its target's path counts as a name."""
    (tmp_path / "x.dcm").symlink_to(f"/data/{NAME}/x")

    result = check_tree(tmp_path, KNOWN)

    assert result.outcome(27).status is Status.FAIL
    assert result.outcome(8).status is Status.FAIL


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cut.dcm", dicom_bytes(clean_dicom())[:700]),
        ("cut.nii.gz", gzip_bytes(nifti_bytes())[:-40]),
        ("cut.nii", nifti_bytes()[:-1]),
        ("cut.zip", _zip("a.txt", b"x" * 99)[:-30]),
        ("bad.json", b'{"a": '),
        ("deep.json", b"[" * 100_000),
        ("odd.xyz", b"\0\1\2\3" * 20),
        ("empty", b""),
        ("x.7z", b"7z\xbc\xaf\x27\x1c" + b"\0" * 40),
    ],
)
def test_what_cannot_be_read_is_unknown(name: str, data: bytes, tmp_path: Path) -> None:
    """Damaged, cut and unknown files are not known to be safe."""
    (tmp_path / name).write_bytes(data)

    result = check_tree(tmp_path, KNOWN)

    assert result.outcome(26).status is Status.UNKNOWN
    assert not result.is_clean
