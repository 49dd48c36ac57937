"""Images of one session as dcm2niix would hand them on, without voxels, for naming and linking."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from containers.dicom_to_bids.convert import Converted

TRANSVERSE = [1, 0, 0, 0, 1, 0]
BOLD = {
    "ScanningSequence": "EP",
    "SequenceName": "*epfid2d1_64",
    "MRAcquisitionType": "2D",
    "EchoTime": 0.03,
    "RepetitionTime": 2.0,
    "PhaseEncodingDirection": "j-",
    "TotalReadoutTime": 0.03,
}
SPIN_ECHO_EPI = BOLD | {"SequenceName": "epse2d1_64", "EchoTime": 0.066}
FIELD_MAP = {
    "ScanningSequence": "GR",
    "SequenceName": "*fm2d2r",
    "MRAcquisitionType": "2D",
    "EchoTime": 0.00492,
    "RepetitionTime": 0.5,
    "FlipAngle": 60,
}
SHAPE = (64, 64, 30)
SERIES = (64, 64, 30, 100)


class Session:
    """Collects images in order of acquisition."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: list[Converted] = []

    def add(
        self,
        facts: Mapping[str, Any],
        shape: tuple[int, ...] = SERIES,
        *,
        name: str = "",
        b_values: str = "",
        **more: Any,
    ) -> None:
        """Add an image; ``b_values`` are the words of its ``.bval`` file."""
        place = len(self.images)
        sidecar = {
            "Manufacturer": "Siemens",
            "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
            "ImageOrientationPatientDICOM": TRANSVERSE,
            "SeriesNumber": place + 1,
            **({"SeriesDescription": name, "ProtocolName": name} if name else {}),
            **facts,
            **more,
        }
        paths: list[Path | None] = [None, None]
        if b_values:
            for turn, ending in enumerate(("bval", "bvec")):
                path = self.folder / f"{place}.{ending}"
                path.write_text(b_values)
                paths[turn] = path
        self.images.append(
            Converted(
                image_path=self.folder / f"{place}.nii",
                sidecar=sidecar,
                shape=shape,
                scan_ids=(str(sidecar["SeriesNumber"]),),
                protocol=name,
                order=(place,),
                bval_path=paths[0],
                bvec_path=paths[1],
            )
        )
