"""What is found in a folder before anything is sent."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import zlib
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import MediaStorageDirectoryStorage

from xnat_client.errors import BadInputError, UsageError
from xnat_client.upload.scan import FolderScan, choose_study, scan_folder

from .conftest import WriteDicom

MARKS = ("Marked", "MARKED", "Person", "19700131", "20260131")


def _problem(folder: Path, study: int | None = None) -> str:
    with pytest.raises(BadInputError) as caught:
        choose_study(scan_folder(folder), study)
    return str(caught.value)


def test_files_are_grouped_by_study_and_series(dicom_folder: Path) -> None:
    """One study with two scans comes out of one folder, with counts, sizes and checksums."""
    study = choose_study(scan_folder(dicom_folder))

    assert [(one.folder, one.number, len(one.files)) for one in study.series] == [
        ("3", 3, 2),
        ("4", 4, 3),
    ]
    assert study.patients == 1
    for file in study.files:
        content = file.path.read_bytes()
        assert file.size_bytes == len(content)
        assert file.md5 == hashlib.md5(content).hexdigest()  # noqa: S324  # XNAT's digest
        assert file.crc32 == zlib.crc32(content)


def test_nothing_of_the_patient_is_kept(dicom_folder: Path) -> None:
    """The result of a scan, printed in full but for the paths, holds no identity."""
    found = scan_folder(dicom_folder)

    shown = repr(found).replace(str(dicom_folder), "").replace("scan of Marked Person", "")

    assert not [mark for mark in MARKS if mark in shown]


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    """A folder that is not there, and one without files, are said plainly."""
    with pytest.raises(BadInputError, match="does not exist"):
        scan_folder(tmp_path / "none")
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    with pytest.raises(BadInputError, match="holds no files"):
        scan_folder(tmp_path)


def test_folder_without_dicom(tmp_path: Path) -> None:
    """Text, pictures and empty files are no DICOM; each has its reason."""
    (tmp_path / "notes.txt").write_text("hello, a text long enough to be read" * 10)
    (tmp_path / "empty").touch()
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(300))

    found = scan_folder(tmp_path)

    assert found.rejected[0].reason == "empty file"
    assert len(found.rejected) == 3
    assert "None of the 3 files is a DICOM image" in _problem(tmp_path)


def test_other_files_are_left_out_with_a_reason(dicom_folder: Path) -> None:
    """A stray text file does not hinder the upload, and is counted."""
    (dicom_folder / "readme.txt").write_text("about this folder")

    found = scan_folder(dicom_folder)

    assert len(choose_study(found).files) == 5
    assert len(found.rejected) == 1


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
def test_cut_off_file_among_good_ones_is_refused(dicom_folder: Path, keep: float) -> None:
    """A truncated copy is found wherever the cut is, and forbids the upload."""
    victim = sorted(dicom_folder.rglob("IM*"))[2]
    content = victim.read_bytes()
    victim.write_bytes(content[: int(len(content) * keep)])

    text = _problem(dicom_folder)

    assert "1 of 5 files" in text
    assert "file 3:" in text
    assert not [mark for mark in MARKS if mark in text]


@pytest.mark.samples
def test_cut_off_real_files_are_found(samples: Path, tmp_path: Path) -> None:
    """Files of five vendors and generations, cut at random places, are never taken for whole."""
    names = [
        "ge_dv26_fmri_human", "philips_r57_dti_human", "siemens_ve11_multiecho_human",
        "siemens_xa30_interop_phantom", "uih_dti_human",
    ]  # fmt: skip
    chance = random.Random(20)  # noqa: S311  # places to cut, not secrets
    for name in names:
        images = sorted(p for p in (samples / "dicom" / name).rglob("*.dcm"))
        for source in chance.sample(images, 6):
            content = source.read_bytes()
            cut = tmp_path / name / source.name
            cut.parent.mkdir(exist_ok=True)
            cut.write_bytes(content[: chance.randrange(132, len(content))])

    founds = [scan_folder(tmp_path / name) for name in names]

    assert [found.studies for found in founds] == [()] * len(names)


@pytest.mark.samples
def test_real_sessions_are_whole(samples: Path) -> None:
    """Every real session is one study of one patient without a damaged file."""
    folders = sorted((samples / "dicom").glob("*/SCANS"))
    assert folders

    founds: dict[str, FolderScan] = {one.parent.name: scan_folder(one) for one in folders}

    assert {name: found.damaged for name, found in founds.items() if found.damaged} == {}
    assert {name for name, found in founds.items() if len(found.studies) != 1} == set()
    assert {name for name, found in founds.items() if found.patients != 1} == set()


def test_file_without_preamble_is_dicom(tmp_path: Path, write_dicom: WriteDicom) -> None:
    """Old exports lack preamble and DICM prefix; they are found by their first element."""
    write_dicom(tmp_path / "old", preamble=False)

    assert len(choose_study(scan_folder(tmp_path)).files) == 1


def test_two_patients_are_refused_without_being_named(
    tmp_path: Path, write_dicom: WriteDicom
) -> None:
    """Two identities in one folder forbid the upload; the message counts them."""
    write_dicom(tmp_path / "a", instance=1)
    write_dicom(tmp_path / "b", instance=2, patient_id="MARKED-OTHER", patient_name="Marked^Two")

    text = _problem(tmp_path)

    assert "2 different patients" in text
    assert not [mark for mark in MARKS if mark in text]


def test_same_patient_in_another_spelling_is_one(tmp_path: Path, write_dicom: WriteDicom) -> None:
    """Case and trailing carets of a name do not make two patients."""
    write_dicom(tmp_path / "a", instance=1, patient_name="Marked^Person")
    write_dicom(tmp_path / "b", instance=2, patient_name="MARKED^PERSON^^")

    assert choose_study(scan_folder(tmp_path)).patients == 1


def test_two_studies_need_a_choice(tmp_path: Path, write_dicom: WriteDicom) -> None:
    """Several studies are refused until one is chosen by number; a wrong number is wrong usage."""
    write_dicom(tmp_path / "a", study=1)
    write_dicom(tmp_path / "b", study=2)
    found = scan_folder(tmp_path)

    assert "2 studies" in _problem(tmp_path)
    assert choose_study(found, 2).files[0].study_uid.endswith(".2")
    with pytest.raises(UsageError):
        choose_study(found, 3)


def test_a_choice_may_separate_two_patients(tmp_path: Path, write_dicom: WriteDicom) -> None:
    """With a study chosen, another patient's study beside it does not matter."""
    write_dicom(tmp_path / "a", study=1)
    write_dicom(tmp_path / "b", study=2, patient_id="MARKED-OTHER")

    assert len(choose_study(scan_folder(tmp_path), 1).files) == 1


def test_identical_copies_are_sent_once(tmp_path: Path, write_dicom: WriteDicom) -> None:
    """A second copy of a file is left out; the same UID with another content is refused."""
    write_dicom(tmp_path / "a")
    write_dicom(tmp_path / "b")
    study = choose_study(scan_folder(tmp_path))
    assert (len(study.files), len(study.duplicates)) == (1, 1)

    write_dicom(tmp_path / "c", rows=8)
    assert "file 3: it has the SOPInstanceUID of file 1" in _problem(tmp_path)


def test_series_of_one_number_are_kept_apart(tmp_path: Path, write_dicom: WriteDicom) -> None:
    """Two series that share a number get folders of their own and a warning."""
    write_dicom(tmp_path / "a", series=5)
    other = pydicom.dcmread(write_dicom(tmp_path / "b", series=6))
    other.SeriesNumber = 5
    other.save_as(tmp_path / "b")

    study = choose_study(scan_folder(tmp_path))

    assert [one.folder for one in study.series] == ["5", "5-2"]
    assert len(study.warnings) == 1


def test_links_and_special_files(tmp_path: Path, write_dicom: WriteDicom) -> None:
    """Links to files are followed, to folders counted; pipes and sockets are not opened."""
    write_dicom(tmp_path / "elsewhere" / "image")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "elsewhere" / "image")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(folder / "socket"))

        found = scan_folder(folder)

    assert len(choose_study(found).files) == 1
    assert found.unfollowed_links == 1
    assert [one.reason for one in found.rejected] == ["not a regular file"] * 2


def test_dangling_link_is_refused(dicom_folder: Path) -> None:
    """A link whose file is missing is missing data, not something to leave out."""
    (dicom_folder / "annexed").symlink_to(dicom_folder / "gone")

    assert "cannot be read" in _problem(dicom_folder)


def test_unreadable_file_is_refused(dicom_folder: Path) -> None:
    """A file without read permission forbids the upload."""
    victim = min(dicom_folder.rglob("IM*"))
    victim.chmod(0)
    for parent in [dicom_folder, *dicom_folder.parents[:4]]:
        parent.chmod(parent.stat().st_mode | 0o055)
    # The super-user reads everything, so there the look is taken as an ordinary user.
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        text = _problem(dicom_folder)
    finally:
        os.seteuid(me)

    assert "Damaged or unreadable: 1 of 5 files" in text
    assert "Permission denied" in text


def test_dicomdir_is_left_out(tmp_path: Path, write_dicom: WriteDicom) -> None:
    """The index of a DICOM medium is DICOM too, but nothing to archive."""
    index = pydicom.dcmread(write_dicom(tmp_path / "DICOMDIR"))
    index.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    index.save_as(tmp_path / "DICOMDIR")
    write_dicom(tmp_path / "a")

    found = scan_folder(tmp_path)

    assert [one.reason for one in found.rejected] == ["a DICOMDIR index, not an image"]
    assert len(choose_study(found).files) == 1
