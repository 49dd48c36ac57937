"""Copies BIDS sidecars and tables without identities, devices, institutions and real dates.

A key or column stays because the BIDS standard or a list here names it and its value is of a
harmless kind; anything else goes. Authors of a dataset stay: they publish under their names, and
the field exists to credit them. Not here: images, recordings, names of files (``paths``).
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bidsschematools.schema import load_schema

from containers.check_identity import KnownKind, KnownString
from containers.scrub_headers.bids_text import MAX_TEXT, BidsRules
from containers.scrub_headers.errors import RefusedFileError

MAX_AGE_YEARS = 89
"""Ages above are capped: BIDS schema, column ``age``; HIPAA safe harbour names ages above 89."""
_MAX_FILE_BYTES = 64 * 1024 * 1024
_MAX_DEPTH = 8
_LARGEST = 10_000_000
"""Measures of images and behaviour are smaller; numbers of patients, dates and clocks are not."""
_LARGE_KEYS = re.compile(r"Radioactivity|RadioactivityUnits|Dose|MolarActivity|PlasmaFree")

_NEVER = frozenset(
    """
    InstitutionName InstitutionAddress InstitutionalDepartmentName StationName DeviceSerialNumber
    ScanDate AcquisitionTime AcquisitionDate AcquisitionDateTime SeriesDescription ProtocolName
    StudyDescription ProcedureStepDescription ImageComments PatientName PatientID PatientBirthDate
    PatientAge PatientSize PatientWeight PatientSex AccessionNumber StudyID StudyInstanceUID
    SeriesInstanceUID ReferringPhysicianName ConsistencyInfo PrescanReuseString TimeZero
    SubjectArtefactDescription SampleExtractionInstitution OtherAcquisitionParameters
    PhotoDescription SourceDatasets GeneratedBy Container EthicsApprovals
    """.split()  # noqa: SIM905 - names are read and added more easily like this
)
"""Keys that go, although BIDS or a converter names some of them."""
_TECHNICAL = frozenset(
    """
    Modality ImagingFrequency ManufacturersModelName BodyPartExamined PatientPosition
    SoftwareVersions MRAcquisitionType ScanningSequence SequenceVariant ScanOptions SequenceName
    PulseSequenceName ImageType ImageTypeText NonlinearGradientCorrection RawImage SeriesNumber
    AcquisitionNumber SliceThickness SpacingBetweenSlices SAR EchoNumber EchoTime1 EchoTime2
    RepetitionTimeInversion RepetitionTimeExcitation InversionTime FlipAngle PartialFourier
    BaseResolution ShimSetting TxRefAmp PhaseResolution ReceiveCoilName ReceiveCoilActiveElements
    CoilString CoilCombinationMethod PercentPhaseFOV PercentSampling PhaseEncodingSteps
    FrequencyEncodingSteps AcquisitionMatrixPE ReconMatrixPE PhaseEncodingStepsNoPartialFourier
    BandwidthPerPixelPhaseEncode ParallelReductionFactorInPlane ParallelReductionOutOfPlane
    EffectiveEchoSpacing DerivedVendorReportedEchoSpacing VendorReportedEchoSpacing
    TotalReadoutTime PixelBandwidth DwellTime PhaseEncodingDirection PhaseEncodingAxis
    PhaseEncodingPolarityGE SliceTiming ImageOrientationPatientDICOM ImageOrientationText
    InPlanePhaseEncodingDirectionDICOM ConversionSoftware ConversionSoftwareVersion
    RefLinesPE MatrixCoilMode MultibandAccelerationFactor WaterFatShift EstimatedTotalReadoutTime
    EstimatedEffectiveEchoSpacing AcquisitionVoxelSize AcquisitionDuration DiffusionScheme
    PhilipsRescaleSlope PhilipsRescaleIntercept PhilipsScaleSlope UsePhilipsFloatNotDisplayScaling
    TriggerDelayTime VelocityEncodingValue NumberOfAverages InterpolatedImage
    """.split()  # noqa: SIM905 - as above
)
"""Keys that dcm2niix writes beyond BIDS and that describe the measurement."""
_COLUMN_KEYS = frozenset(
    {"LongName", "Description", "Levels", "Units", "TermURL", "HED", "Format", "Maximum",
     "Minimum", "Delimiter", "Derivative"}
)  # fmt: skip
_PUBLIC_LISTS = frozenset({"Authors"})
_PERSON_COLUMNS = frozenset({"sex", "handedness", "species", "strain"})
_MEASURED_COLUMNS = frozenset(
    {"trial_type", "value", "response", "type", "units", "status", "hemisphere", "volume_type",
     "name", "reference", "channel", "detector_type", "software_filters", "material",
     "sample_type"}
)  # fmt: skip
_CHANNEL_COLUMNS = frozenset({"name", "reference", "channel"})
_MEASURED_TABLES = ("events", "channels", "electrodes", "optodes", "aslcontext", "physio")
"""Suffixes of tables whose rows are no persons: a ``name`` there is that of a channel."""
_PERSONAL_COLUMN = re.compile(
    r"name$|initial|birth|dob|date|phone|mobile|mail|address|post_?code|zip|nhs|mrn|hospital"
    r"|number$|(?<!sample)(?<!session)(?<!participant)_?id$|comment|note|time_?of|operator"
    r"|occupation|ethnic|race|gender|diagnos",
    re.IGNORECASE,
)


@cache
def _terms() -> frozenset[str]:
    metadata = load_schema().objects.metadata
    return frozenset(str(metadata[key]["name"]) for key in metadata) | _TECHNICAL


def scrub_json(source: Path, target: Path, rules: BidsRules) -> Counter[str]:
    """Copy a JSON file of BIDS with the keys and values that may stay.

    Raises
    ------
    RefusedFileError
        It is no JSON object, is too large, or nested too deeply.
    """
    try:
        document = json.loads(_content(source), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise RefusedFileError("It is not JSON, or not in UTF-8.") from None
    if not isinstance(document, dict):
        raise RefusedFileError("It is JSON, but no BIDS sidecar: it holds no keys.")
    changes: Counter[str] = Counter()
    is_dictionary = source.name == "participants.json" or bool(
        document and all(_describes_column(each) for each in document.values())
    )
    kept = _object(document, rules, changes, 0, any_key=is_dictionary)
    text = json.dumps(kept, indent=2, ensure_ascii=False, allow_nan=False)
    target.write_text(f"{text}\n", encoding="utf-8")
    return changes


_SIDECAR_NAMES = ("PatientName", "ReferringPhysicianName", "OperatorsName")
_SIDECAR_IDS = ("PatientID", "AccessionNumber", "OtherPatientIDs")


def sidecar_identities(path: Path) -> set[KnownString]:
    """Return the identity strings of a sidecar's top level; none where it cannot be read."""
    try:
        document = json.loads(_content(path))
    except (RefusedFileError, ValueError, RecursionError):
        # It is refused again, with the reason, when it is to be copied.
        return set()
    found = set()
    if isinstance(document, dict):
        for kind, keys in (
            (KnownKind.NAME, _SIDECAR_NAMES),
            (KnownKind.ID, _SIDECAR_IDS),
            (KnownKind.DATE, ("PatientBirthDate",)),
        ):
            values = (document.get(key) for key in keys)
            found |= {KnownString(kind, each) for each in values if isinstance(each, str)}
    return found


def _refuse_constant(_name: str) -> float:
    raise ValueError


def _describes_column(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and set(value) <= _COLUMN_KEYS


def _object(
    document: Mapping[str, Any],
    rules: BidsRules,
    changes: Counter[str],
    depth: int,
    *,
    any_key: bool = False,
) -> dict[str, Any]:
    if depth > _MAX_DEPTH:
        raise RefusedFileError("Its JSON is nested too deeply to be checked.")
    kept: dict[str, Any] = {}
    for key, value in document.items():
        allowed = key in _terms() or key in _COLUMN_KEYS
        if any_key and not allowed:
            allowed = not _PERSONAL_COLUMN.search(key) and rules.whole(key) is not None
        if key in _NEVER or not allowed:
            changes["JSON: key removed"] += 1
            continue
        new = _value(value, rules, changes, depth, key)
        if new is None:
            changes["JSON: value removed"] += 1
        else:
            kept[key] = new
    return kept


def _value(  # noqa: PLR0911 - one return for each type
    value: Any, rules: BidsRules, changes: Counter[str], depth: int, key: str
) -> Any:
    if isinstance(value, bool | int | float):
        return value if _is_plain_number(value) or _LARGE_KEYS.search(key) else None
    if isinstance(value, str):
        if key in _PUBLIC_LISTS:
            return value if len(value) <= MAX_TEXT and value.isprintable() else None
        if key == "TaskName":
            plain = re.sub(r"[^A-Za-z0-9]", "", value)
            return value if rules.naming.label(plain) == plain else rules.naming.label(plain)
        return rules.text(value)
    if isinstance(value, list):
        if depth > _MAX_DEPTH:
            raise RefusedFileError("Its JSON is nested too deeply to be checked.")
        items = [_value(each, rules, changes, depth + 1, key) for each in value]
        # A list whose items are told by position is kept whole or not at all.
        return None if any(each is None for each in items) else items
    if isinstance(value, dict):
        if key in {"Levels", "HED"}:
            # Levels are named as the cells of the table are.
            value = {rules.label(name): each for name, each in value.items()}
            return {
                name: new
                for name, each in value.items()
                if (new := _value(each, rules, changes, depth + 1, "Description")) is not None
            }
        return _object(value, rules, changes, depth + 1)
    return None


def _is_plain_number(value: float) -> bool:
    """Return whether a number is none of a date (19540131), a clock of seconds, or a patient."""
    return isinstance(value, bool) or (math.isfinite(value) and abs(value) < _LARGEST)


def scrub_numbers(source: Path, target: Path) -> Counter[str]:
    """Copy a ``.bval`` or ``.bvec`` file: rows of numbers and nothing else.

    Raises
    ------
    RefusedFileError
        Something in it is no number, or no b-value or direction.
    """
    limit = 1e6 if source.suffix == ".bval" else 2.0
    rows = []
    for line in _content(source).splitlines():
        words = line.split()
        try:
            if any(not abs(float(each)) <= limit or "_" in each for each in words):
                raise ValueError  # noqa: TRY301 - one answer to all that is no such number
        except ValueError:
            raise RefusedFileError("It holds something besides b-values or directions.") from None
        rows.append(" ".join(words))
    target.write_text("".join(f"{row}\n" for row in rows), encoding="ascii")
    return Counter()


def scrub_table(source: Path, target: Path, rules: BidsRules) -> Counter[str]:
    """Copy a TSV file with the columns that may stay.

    Raises
    ------
    RefusedFileError
        It is no table with a header, or no column of it may stay.
    """
    try:
        rows = list(csv.reader(io.StringIO(_content(source), newline=""), delimiter="\t"))
    except csv.Error:
        raise RefusedFileError("It is no table.") from None
    rows = [row for row in rows if row]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise RefusedFileError("It is no table: its rows differ in length.")
    header = rows[0]
    if len(set(header)) != len(header) or all(map(_number_like, header)):
        raise RefusedFileError("Its first row is no header, so its columns are not known.")
    changes: Counter[str] = Counter()
    columns = []
    is_measured = source.stem.rpartition("_")[2] in _MEASURED_TABLES
    labels = _MEASURED_COLUMNS if is_measured else _PERSON_COLUMNS
    for index, name in enumerate(header):
        cells = [row[index] for row in rows[1:]]
        new = _column(name, cells, rules, labels)
        if new is None:
            changes["table: column removed"] += 1
            continue
        changes["table: cell replaced"] += sum(a != b for a, b in zip(cells, new, strict=True))
        columns.append([name, *new])
    if not columns:
        raise RefusedFileError("None of its columns may stay.")
    lines = ("\t".join(cells) for cells in zip(*columns, strict=True))
    target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return +changes


def _column(
    name: str, cells: list[str], rules: BidsRules, labels: frozenset[str]
) -> list[str] | None:
    cleaners: dict[str, Callable[[str], str | None]] = {
        "participant_id": lambda cell: _label(cell, "sub", rules),
        "session_id": lambda cell: _label(cell, "ses", rules),
        "filename": rules.text,
        "stim_file": rules.text,
        "acq_time": rules.moment,
        "age": _age,
        **dict.fromkeys(_PERSON_COLUMNS, rules.whole),
        **dict.fromkeys(labels - _PERSON_COLUMNS, rules.label),
        **dict.fromkeys(labels & _CHANNEL_COLUMNS, rules.channel),
    }
    if name in cleaners:
        return [(cleaners[name](each) or "n/a") if each != "n/a" else each for each in cells]
    if rules.whole(name) is None:
        return None
    numeric = all(_number_like(each) for each in cells)
    return cells if numeric and not _PERSONAL_COLUMN.search(name) else None


def _label(cell: str, kind: str, rules: BidsRules) -> str:
    label = re.sub(r"[^A-Za-z0-9]", "", cell.removeprefix(f"{kind}-"))
    if not label:
        return "n/a"
    new = rules.naming.subject(label) if kind == "sub" else rules.naming.session(label)
    return f"{kind}-{new}"


def _age(cell: str) -> str:
    """Return an age in whole years, capped."""
    text = cell.strip().rstrip("+")
    try:
        years = float(text)
    except ValueError:
        return "n/a"
    if not math.isfinite(years) or years < 0:
        return "n/a"
    return str(min(int(years), MAX_AGE_YEARS))


def _number_like(cell: str) -> bool:
    if cell in {"n/a", ""}:
        return True
    try:
        value = float(cell)
    except ValueError:
        return False
    return "_" not in cell and _is_plain_number(value) if math.isfinite(value) else True


def _content(path: Path) -> str:
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise RefusedFileError("It is too large for a sidecar or table.")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RefusedFileError("It is not text in UTF-8.") from None
