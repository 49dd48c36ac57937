"""A study with a marked identifier in every kind of place that a source project has.

Three sessions of three participants: DICOM, recordings, and a BIDS tree with NIfTI images. Each
canary is a string found nowhere else; ``KINDS`` says where each is. Not here: looking for them.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from deploy.demo_session import write_demo_session
from tests.builders.recordings import write_brainvision, write_edf
from xnat_client.transport import Transport
from xnat_client.upload.scan import choose_study, scan_folder
from xnat_client.upload.send import UploadTarget, upload_session

SUBJECTS = ("Vogelkanari71", "Vogelkanari72", "Vogelkanari73")
DATES = ("2013-02-17", "2012-11-05")

KINDS: Mapping[str, str] = {
    "DICOM patient's name": "Zwitscherlein",
    "DICOM other patient IDs": "KAN-OTHER-5519",
    "DICOM accession number": "KANACC662190",
    "DICOM image comments": "gezwitscher-im-kommentar",
    "DICOM series description": "kanarienserie",
    "DICOM unknown private element": "privat-gefiedert-881",
    "DICOM private block of no creator": "herrenlos-gefiedert-882",
    "DICOM nested sequence": "VerschachteltesNest^Otto",
    "DICOM nested private element": "nest-privat-883",
    "DICOM preamble": "PREAMBELVOGEL",
    "DICOM trailing padding": "anhangsvogel-884",
    "DICOM overlay comment": "overlayvogel-885",
    "DICOM study UID": "1.2.826.0.1.3680043.9.7433.99887766554433",
    "DICOM date": "20130217",
    "project description": "beschriebener-vogel-71120",
    "subject label": SUBJECTS[0],
    "another subject's label": SUBJECTS[1],
    "session label": "Kanarisitzung_4471",
    "custom field of a subject": "freies-feld-vogel-886",
    "custom field of a session": "buchung-20117-vogel",
    "note of a session": "Notizvogel-887",
    "resource label": "KANARI_RESOURCE",
    "log file": "logvogel-888",
    "name of a log file": "lauf_vogel889.log",
    "QC page": "qcseitenvogel-890",
    "EDF patient field": "Edfvogel",
    "name of a recording": "aufnahmevogel891",
    "BrainVision marker": "markervogel-892",
    "NIfTI description": "niftibeschreibvogel",
    "NIfTI extension": "niftierweitervogel-893",
    "name in gzip": "gzipnamevogel894.nii",
    "JSON sidecar": "beiwagenvogel-895",
    "events table": "ereignisvogel-896",
    "README": "liesmichvogel-897",
    "participants table": "tabellenvogel-898",
    "date of acquisition in a table": "2012-11-05",
}


@dataclass(frozen=True)
class CanaryStudy:
    """Where the study is on the server."""

    project_id: str
    subjects: tuple[str, ...] = SUBJECTS


def write_study(transport: Transport, project_id: str, scratch: Path) -> CanaryStudy:
    """Put the study into an existing project.

    Parameters
    ----------
    scratch : Path
        An empty folder for what is uploaded.
    """
    _put(transport, f"/data/projects/{project_id}", {
        "xnat:projectData/description": f"About {KINDS['project description']}",
    })  # fmt: skip
    _dicom_session(transport, project_id, scratch / "dicom")
    _recording_session(transport, project_id, scratch / "recordings")
    _bids_session(transport, project_id)
    return CanaryStudy(project_id)


def _put(transport: Transport, path: str, fields: Mapping[str, str]) -> None:
    transport.request("PUT", quote(path), doing="prepare a test", query=fields)


def _dicom_session(transport: Transport, project_id: str, folder: Path) -> None:
    made = write_demo_session(folder / "made").folder
    kept = folder / "kept"
    for series in sorted(path for path in made.iterdir() if path.is_dir()):
        if "bold" in series.name or "diff" in series.name:
            shutil.copytree(series, kept / series.name)
    for path in sorted(kept.rglob("*")):
        if path.is_file():
            _plant_dicom(path)
    label = KINDS["session label"]
    upload_session(
        transport, choose_study(scan_folder(kept)), UploadTarget(project_id, SUBJECTS[0], label)
    )
    subject = f"/data/projects/{project_id}/subjects/{SUBJECTS[0]}"
    _put(transport, subject, {
        "xnat:subjectData/fields/field[name=remark]/field": KINDS["custom field of a subject"],
    })  # fmt: skip
    session = f"{subject}/experiments/{label}"
    _put(transport, session, {
        "xnat:mrSessionData/fields/field[name=booking]/field": KINDS["custom field of a session"],
        "xnat:mrSessionData/note": f"seen with {KINDS['note of a session']}",
    })  # fmt: skip
    resource = f"{session}/resources/{KINDS['resource label']}"
    _file(transport, resource, KINDS["name of a log file"], KINDS["log file"].encode())
    _file(transport, resource, "qc.html", f"<p>{KINDS['QC page']}</p>".encode())


def _plant_dicom(path: Path) -> None:
    data_set = pydicom.dcmread(path)
    data_set.PatientName = KINDS["DICOM patient's name"] + "^Pia"
    data_set.OtherPatientIDs = KINDS["DICOM other patient IDs"]
    data_set.AccessionNumber = KINDS["DICOM accession number"]
    data_set.ImageComments = KINDS["DICOM image comments"]
    data_set.SeriesDescription = f"{data_set.SeriesDescription} {KINDS['DICOM series description']}"
    data_set.StudyInstanceUID = KINDS["DICOM study UID"]
    for name in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(data_set, name, KINDS["DICOM date"])
    block = data_set.private_block(0x0099, "KANARIEN", create=True)
    block.add_new(0x10, "LO", KINDS["DICOM unknown private element"])
    data_set.add_new(0x00991201, "LO", KINDS["DICOM private block of no creator"])
    nested = Dataset()
    nested.PatientName = KINDS["DICOM nested sequence"]
    nested.add_new(0x00970010, "LO", "KANARIEN2")
    nested.add_new(0x00971001, "LO", KINDS["DICOM nested private element"])
    outer = Dataset()
    outer.RequestAttributesSequence = Sequence([nested])
    data_set.ReferencedStudySequence = Sequence([outer])
    data_set.add_new(0x60004000, "LT", KINDS["DICOM overlay comment"])
    data_set.add_new(0xFFFCFFFC, "OB", KINDS["DICOM trailing padding"].encode())
    data_set.preamble = KINDS["DICOM preamble"].encode().ljust(128, b"\0")
    data_set.save_as(path)


def _recording_session(transport: Transport, project_id: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    name = KINDS["name of a recording"]
    edf = write_edf(folder / f"{name}_rest.edf")
    data = bytearray(edf.read_bytes())
    # EDF: 8 bytes of version, then 80 of the patient's identification.
    data[8:88] = f"X F 05-NOV-1970 {KINDS['EDF patient field']}".encode().ljust(80)
    edf.write_bytes(data)
    vision = write_brainvision(folder / "bv", "task")
    marker = next((folder / "bv").glob("*.vmrk"))
    text = marker.read_text(encoding="utf-8")
    marker.write_text(text + f"\n; {KINDS['BrainVision marker']}\n", encoding="utf-8")
    subject = f"/data/projects/{project_id}/subjects/{SUBJECTS[1]}"
    _put(transport, subject, {})
    session = f"{subject}/experiments/{SUBJECTS[1]}_EEG1"
    _put(transport, session, {"xsiType": "xnat:eegSessionData"})
    _put(transport, f"{session}/resources/EEG", {})
    for path in (edf, *sorted(vision.parent.iterdir())):
        _file(transport, f"{session}/resources/EEG", path.name, path.read_bytes())


def _bids_session(transport: Transport, project_id: str) -> None:
    put_bids_session(transport, project_id, SUBJECTS[2], bids_files(SUBJECTS[2]))


def put_bids_session(
    transport: Transport, project_id: str, label: str, files: Mapping[str, bytes]
) -> None:
    """Make a subject with one session that has a BIDS tree and nothing else."""
    subject = f"/data/projects/{project_id}/subjects/{label}"
    _put(transport, subject, {})
    session = f"{subject}/experiments/{label}_MR1"
    _put(transport, session, {"xsiType": "xnat:mrSessionData", "xnat:mrSessionData/date": DATES[1]})
    _put(transport, f"{session}/resources/BIDS", {})
    for name, data in files.items():
        _file(transport, f"{session}/resources/BIDS", name, data)


def with_undefaceable_head(label: str) -> dict[str, bytes]:
    """Return the tree with a T1w of noise beside the BOLD run: no head can be made out in it."""
    stem = f"sub-{label}/ses-1/anat/sub-{label}_ses-1_T1w"
    random = np.random.default_rng(12)
    volume = random.integers(0, 900, (40, 40, 40), dtype=np.int16)
    image = nibabel.Nifti1Image(volume, np.diag([4.0, 4.0, 4.0, 1.0]))
    return {
        **bids_files(label),
        f"{stem}.nii.gz": gzip.compress(image.to_bytes(), mtime=0),
        f"{stem}.json": b'{"EchoTime": 0.003}',
    }


def with_phase_map(label: str) -> dict[str, bytes]:
    """Return the tree with a phase map beside the BOLD run, which ``deface`` does not handle."""
    stem = f"sub-{label}/ses-1/fmap/sub-{label}_ses-1_phasediff"
    image = nibabel.Nifti1Image(np.zeros((16, 16, 10), np.int16), np.diag([3.0, 3.0, 3.0, 1.0]))
    return {
        **bids_files(label),
        f"{stem}.nii.gz": gzip.compress(image.to_bytes(), mtime=0),
        f"{stem}.json": b'{"EchoTime1": 0.00492, "EchoTime2": 0.00738}',
    }


def bids_files(label: str) -> dict[str, bytes]:
    """Return a small BIDS tree of one BOLD run, with canaries."""
    stem = f"sub-{label}/ses-1/func/sub-{label}_ses-1_task-rest"
    sidecar = {
        "TaskName": "rest",
        "RepetitionTime": 2.0,
        "EchoTime": 0.03,
        "Instructions": KINDS["JSON sidecar"],
    }
    scans = (
        f"filename\tacq_time\nfunc/sub-{label}_ses-1_task-rest_bold.nii.gz\t{DATES[1]}T10:11:12\n"
    )
    return {
        "dataset_description.json": b'{"Name": "x", "BIDSVersion": "1.10.0"}',
        "README": KINDS["README"].encode(),
        "participants.tsv": (
            f"participant_id\tnickname\nsub-{label}\t{KINDS['participants table']}\n"
        ).encode(),
        f"{stem}_bold.nii.gz": _bold(),
        f"{stem}_bold.json": json.dumps(sidecar).encode(),
        f"{stem}_events.tsv": (
            f"onset\tduration\ttrial_type\n1.0\t2.0\t{KINDS['events table']}\n"
        ).encode(),
        f"sub-{label}/ses-1/sub-{label}_ses-1_scans.tsv": scans.encode(),
    }


def _bold() -> bytes:
    random = np.random.default_rng(11)
    volumes = random.integers(400, 600, (16, 16, 10, 12), dtype=np.int16)
    image = nibabel.Nifti1Image(volumes, np.diag([3.0, 3.0, 3.0, 1.0]))
    image.header.set_zooms((3.0, 3.0, 3.0, 2.0))
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = KINDS["NIfTI description"].encode()
    extension = nibabel.nifti1.Nifti1Extension("comment", KINDS["NIfTI extension"].encode())
    image.header.extensions.append(extension)
    packed = io.BytesIO()
    with gzip.GzipFile(KINDS["name in gzip"], "wb", fileobj=packed, mtime=1352110272) as stream:
        stream.write(image.to_bytes())
    return packed.getvalue()


def _file(transport: Transport, resource: str, name: str, data: bytes) -> None:
    transport.request(
        "PUT", quote(f"{resource}/files/{name}"), doing="prepare a test", query={"inbody": "true"},
        body=data, headers={"Content-Type": "application/octet-stream"},
    )  # fmt: skip
