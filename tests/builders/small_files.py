"""Small files of different kinds, each with the token where identities stand.

Small enough that every place at which they can be cut short is tried within seconds.
"""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import mne
import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from tests.builders.identity_files import edf_bytes
from tests.builders.mr_files import TOKEN, file_bytes, mr_dataset


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A file, what lies beside it, and which cuts of it are whole files again.

    A text without an end of its own, such as a table, is so at any place (``whole_at`` None).
    """

    name: str
    data: bytes
    beside: dict[str, bytes] = field(default_factory=dict)
    whole_at: frozenset[int] | None = frozenset()

    def write(self, folder: Path, length: int) -> None:
        """Write the first so many bytes of the file, and what lies beside it."""
        for name, data in {**self.beside, self.name: self.data[:length]}.items():
            (folder / name).write_bytes(data)


def small_files() -> tuple[SmallFile, ...]:
    """Return the files."""
    return (*_dicom(), *_images(), *_texts(), *_recordings())


def _dicom() -> Iterator[SmallFile]:
    yield SmallFile("explicit.dcm", file_bytes(_image()))
    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        yield SmallFile(f"{syntax.name.partition(' ')[0]}.dcm", file_bytes(_image(), syntax))
    big = _image()
    big.PixelData = np.frombuffer(big.PixelData, "<u2").astype(">u2").tobytes()
    yield SmallFile("big.dcm", file_bytes(big, ExplicitVRBigEndian))
    packed = _image()
    file_bytes(packed)
    packed.compress(RLELossless, generate_instance_uid=False)
    yield SmallFile("rle.dcm", file_bytes(packed, RLELossless))
    yield SmallFile("enhanced.dcm", file_bytes(_enhanced()))


def _image() -> Dataset:
    return mr_dataset(4, 4)


def _enhanced() -> Dataset:
    """Return two frames, each with its time, place, comment and direction."""
    image = _image()
    image.SOPClassUID = EnhancedMRImageStorage
    image.NumberOfFrames = 2
    image.PixelData *= 2
    frames = []
    for number in range(2):
        frame, content, position, diffusion = (Dataset() for _ in range(4))
        content.FrameAcquisitionDateTime = f"2021030410111{number}"
        content.FrameComments = TOKEN
        position.ImagePositionPatient = [-100.5, 12, number * 2.5]
        diffusion.DiffusionBValue = 1000.0 * number
        frame.FrameContentSequence = Sequence([content])
        frame.PlanePositionSequence = Sequence([position])
        frame.MRDiffusionSequence = Sequence([diffusion])
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return image


def _images() -> Iterator[SmallFile]:
    image = nib.Nifti1Image(np.arange(8, dtype="<i2").reshape(2, 2, 2), np.eye(4))
    image.header["aux_file"] = TOKEN.encode()
    data = image.to_bytes()
    yield SmallFile("sub-01_T1w.nii", data)
    yield SmallFile("sub-01_T1w.nii.gz", gzip.compress(data, mtime=0))
    pair = nib.Nifti1Pair(np.arange(8, dtype="<i2").reshape(2, 2, 2), np.eye(4))
    header, voxels = (pair.file_map[each] for each in ("header", "image"))
    header.fileobj, voxels.fileobj = io.BytesIO(), io.BytesIO()
    pair.to_file_map()
    content = {
        "sub-01_T2w.hdr": header.fileobj.getvalue(),
        "sub-01_T2w.img": voxels.fileobj.getvalue(),
    }
    for name, other in (("sub-01_T2w.hdr", "sub-01_T2w.img"), ("sub-01_T2w.img", "sub-01_T2w.hdr")):
        yield SmallFile(name, content[name], {other: content[other]})


def _texts() -> Iterator[SmallFile]:
    sidecar = {"EchoTime": 0.003, "PatientName": TOKEN, "InstitutionName": f"{TOKEN} Hospital"}
    yield SmallFile("sub-01_T1w.json", json.dumps(sidecar).encode())
    table = f"participant_id\tage\tnote\nsub-01\t34\t{TOKEN}\nsub-02\t91\t{TOKEN}\n"
    yield SmallFile("participants.tsv", table.encode(), whole_at=None)
    yield SmallFile("sub-01_dwi.bval", b"0 1000 1000\n", whole_at=None)


def _recordings() -> Iterator[SmallFile]:
    edf = edf_bytes(f"{TOKEN} F 04-MAR-1971 {TOKEN}", f"Startdate X {TOKEN}")
    yield SmallFile("rest.edf", edf.replace(b"EDF+C", b"     "))
    fif = _fif()
    # Only the tag that says "nothing follows" is missing then.
    yield SmallFile("rest_raw.fif", fif, whole_at=frozenset({len(fif) - 16}))
    header = (
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=rest.eeg\n"
        "MarkerFile=rest.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        "NumberOfChannels=1\nSamplingInterval=1000\n[Binary Infos]\nBinaryFormat=INT_16\n"
        f"[Channel Infos]\nCh1=Fp1,,0.1,uV\n[Comment]\nPatient {TOKEN}\n"
    )
    marks = (
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nDataFile=rest.eeg\n"
        f"[Marker Infos]\nMk1=New Segment,,1,1,0,20210304101112000000\nMk2=Comment,{TOKEN},3,1,0\n"
    )
    files = {"rest.vhdr": header.encode(), "rest.vmrk": marks.encode(), "rest.eeg": bytes(64)}
    for name, data in files.items():
        beside = {other: each for other, each in files.items() if other != name}
        yield SmallFile(name, data, beside, whole_at=None)


def _fif() -> bytes:
    """Return a raw recording of one channel and two samples, with a name and a note."""
    info = mne.create_info(["EEG1"], 100.0, "eeg", verbose="error")
    info["description"] = TOKEN
    info["subject_info"] = {"last_name": TOKEN, "his_id": TOKEN}
    raw = mne.io.RawArray(np.zeros((1, 2)), info, verbose="error")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rest_raw.fif"
        raw.save(path, fmt="short", verbose="error")
        return path.read_bytes()
