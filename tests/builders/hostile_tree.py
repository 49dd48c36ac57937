"""A folder in which tokens hide beside DICOM elements: names, sidecars, tables, packings."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import unicodedata
import zipfile
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.builders.planted_base import synthetic, unchecked, write
from tests.builders.planted_tokens import Tokens

LABEL = "HX7781"
"""The old identifier of the participant, in DICOM and in the names of BIDS."""


class HostileTree:
    """Writes the folder.

    Attributes
    ----------
    tokens
        From the place, in words, to the token that stands there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tokens: dict[str, str] = {"the label": LABEL}
        self._words = Tokens(900_000)
        root.mkdir()
        self._dicom()
        self._nifti()
        self._sidecars()
        self._tables()
        self._others()

    def survivors(self, folder: Path) -> dict[str, list[str]]:
        """Return the tokens found in names and bytes of a folder, packed ones included."""
        found: dict[str, list[str]] = {}
        for path in sorted(folder.rglob("*")):
            texts = [path.name.encode()]
            if path.is_file():
                data = path.read_bytes()
                texts += [data, data.replace(b"\0", b"")]
                texts += [gzip.decompress(data)] if data[:2] == b"\x1f\x8b" else []
            for where, token in self.tokens.items():
                if any(token.lower().encode() in text.lower() for text in texts):
                    found.setdefault(where, []).append(path.relative_to(folder).as_posix())
        return found

    def _plant(self, where: str) -> str:
        self.tokens[where] = self._words.word()
        return self.tokens[where]

    def _file(self, name: str, content: bytes | str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def _dicom(self) -> None:
        for number, name in enumerate(
            (
                "SCANS/1/DICOM/a.dcm",
                f"SCANS/{self._plant('folder')}/DICOM/{self._plant('DICOM file')}.dcm",
                unicodedata.normalize("NFD", f"SCANS/1/DICOM/\u00c9_{self._plant('NFD name')}.dcm"),
                f".{self._plant('hidden folder')}/.x.dcm",
            )
        ):
            dataset = synthetic()
            dataset.PatientName, dataset.PatientID = "Qvorn^Elszbeth", LABEL
            dataset.SOPInstanceUID = f"1.2.3.{number}"
            with unchecked():
                path = self._file(name, write(dataset))
            os.utime(path, (500_000_000, 500_000_000))

    def _nifti(self) -> None:
        image = nib.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
        for field in ("descrip", "aux_file", "intent_name", "db_name"):
            image.header[field] = self._plant(field).encode()
        for code in (4, 6, 32):
            text = self._plant(f"extension {code}").encode()
            image.header.extensions.append(nib.nifti1.Nifti1Extension(code, text))
        raw = image.to_bytes() + self._plant("behind the voxels").encode()
        packed = self._gzip(raw) + gzip.compress(self._plant("second member").encode())
        folder = f"bids/sub-{LABEL}/anat/sub-{LABEL}"
        self._file(f"{folder}_T1w.nii.gz", packed)
        self._file(f"{folder}_acq-{self._plant('acq')}_T2w.nii", raw)

    def _gzip(self, raw: bytes) -> bytes:
        """Pack with an extra field, a name, a comment and a time (RFC 1952)."""
        extra = self._plant("gzip extra field").encode()
        head = b"\x1f\x8b\x08\x1c" + struct.pack("<I", 1_500_000_000) + b"\0\xff"
        head += struct.pack("<H", len(extra) + 4) + b"AB" + struct.pack("<H", len(extra)) + extra
        head += self._plant("gzip name").encode() + b"\0" + self._plant("gzip comment").encode()
        packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = packer.compress(raw) + packer.flush()
        return head + b"\0" + body + struct.pack("<II", zlib.crc32(raw), len(raw))

    def _sidecars(self) -> None:
        plant = self._plant
        document = {
            "EchoTime": 0.03,
            "global": {"const": {"PatientID": plant("deep")}},
            plant("key"): 1,
            "ImageType": ["ORIGINAL", plant("ImageType")],
            "IntendedFor": [f"anat/{plant('IntendedFor')}.nii.gz"],
            "Levels": {plant("level"): plant("meaning of a level")},
            "Description": {"a": {"b": {"c": plant("deep description")}}},
            "TaskDescription": f"Seen by {plant('prose')} at noon",
            "CogAtlasID": f"https://www.cognitiveatlas.org/{plant('link')}",
            "ReferencesAndLinks": [f"https://example.org/{plant('reference')}"],
            "Funding": [plant("Funding")],
            "ManufacturersModelName": f"Prisma {plant('model')}",
        }
        for key in (
            *("PatientName", "InstitutionName", "ReceiveCoilName", "Instructions", "TaskName"),
            *("B0FieldIdentifier", "PulseSequenceDetails", "SequenceName", "SoftwareVersions"),
            *("Manufacturer", "Units", "HEDVersion", "License", "Acknowledgements", "Name"),
        ):
            document[key] = plant(key)
        text = json.dumps(document)
        self._file(f"bids/sub-{LABEL}/anat/sub-{LABEL}_T1w.json", text)
        self._file("bids/dataset_description.json", text)
        column = {"Description": plant("of a column"), "Levels": {plant("code"): plant("value")}}
        self._file(
            "bids/participants.json", json.dumps({plant("column key"): column, "age": column})
        )

    def _tables(self) -> None:
        plant = self._plant
        header = f"participant_id\tage\tsex\thandedness\tstrain\t{plant('header')}\tgroup"
        cells = "\t".join(plant(each) for each in ("sex", "handedness", "strain"))
        row = f"sub-{LABEL}\t93.4\t{cells}\t5\t{plant('group')}"
        self._file("bids/participants.tsv", f"{header}\n{row}\n")
        row = "\t".join(plant(each) for each in ("trial_type", "value", "response"))
        self._file(
            f"bids/sub-{LABEL}/func/sub-{LABEL}_task-rest_events.tsv",
            f"onset\ttrial_type\tvalue\tresponse\tstim_file\n1\t{row}\t{plant('stim')}.png\n",
        )
        self._file(
            f"bids/sub-{LABEL}/sub-{LABEL}_scans.tsv",
            "filename\tacq_time\toperator\n"
            f"anat/{plant('file of a table')}_T2w.nii\t1987-05-06T10:11:12\t{plant('operator')}\n",
        )

    def _others(self) -> None:
        self._file("notes.txt", self._plant("notes"))
        self._file(".hidden", self._plant("hidden file"))
        self._file("empty.dcm", b"")
        self._file("empty.nii", b"")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(f"{self._plant('member')}.dcm", write(synthetic()))
        self._file("archive.zip", packed.getvalue())
        (self.root / f"{self._plant('link to a file')}.dcm").symlink_to(self.root / "notes.txt")
