"""Makes a session of a thousand files from a small one, with identifiers of their own."""

from __future__ import annotations

from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import generate_uid

_SERIES_STEP = 100
_SECONDS_APART = 600


def replicate_session(source: Path, target: Path, turns: int) -> int:
    """Write the session ``turns`` times into one folder; return the number of files.

    Each turn is a later measurement of the same patient in the same study: series and
    instances have new identifiers, the series numbers and times go on.

    Parameters
    ----------
    source : Path
        A folder of DICOM files; others in it are passed over.
    target : Path
        Made here; gets one folder for each turn and folder of the source.
    """
    count = 0
    for path in sorted(each for each in source.rglob("*") if each.is_file()):
        try:
            dataset = pydicom.dcmread(path)
        except InvalidDicomError:
            continue
        series_uid, sop_uid = dataset.SeriesInstanceUID, dataset.SOPInstanceUID
        number = int(dataset.get("SeriesNumber") or 0)
        times = {key: dataset.get(key) for key in ("SeriesTime", "AcquisitionTime", "ContentTime")}
        for turn in range(turns):
            dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[series_uid, str(turn)])
            dataset.SOPInstanceUID = generate_uid(entropy_srcs=[sop_uid, str(turn)])
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.SeriesNumber = number + turn * _SERIES_STEP
            for key, value in times.items():
                if value:
                    setattr(dataset, key, _later(str(value), turn * _SECONDS_APART))
            below = path.relative_to(source)
            copy = target / f"turn{turn}" / below
            copy.parent.mkdir(parents=True, exist_ok=True)
            dataset.save_as(copy)
            count += 1
    return count


def _later(time: str, seconds: int) -> str:
    """Return a DICOM time (PS3.5, section 6.2, TM) some seconds later, within the day."""
    whole, _, fraction = time.partition(".")
    start = int(whole[:2]) * 3600 + int(whole[2:4] or 0) * 60 + int(whole[4:6] or 0)
    moved = min(start + seconds, 86399)
    clock = f"{moved // 3600:02}{moved // 60 % 60:02}{moved % 60:02}"
    return f"{clock}.{fraction}" if fraction else clock
