"""Hiding places that a person would try who wants a name to survive scrubbing.

Each is a small MR image with tokens in places that rules for single attributes miss: split over
parts of values, as numbers, in structures that readers pass over. Not here: the plain places
(``planted_places``) and real files (``planted_vendor``).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.builders.planted_base import (
    explicit,
    insert_before,
    item,
    padded,
    put,
    sequence,
    synthetic,
    unchecked,
    write,
)
from tests.builders.planted_tokens import PlantedFile, Tokens

_ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def hostile_corpus(start: int = 700_000) -> list[PlantedFile]:
    """Return all files; tokens differ from those of the other corpora."""
    tokens = Tokens(start)
    with unchecked():
        return [each for build in _BUILDERS for each in build(tokens)]


def _names(tokens: Tokens) -> Iterator[PlantedFile]:
    """Parts and groups of person names, in attributes that hold none, and nested in marks."""
    dataset = synthetic()
    words = [tokens.word() for _ in range(6)]
    dataset.PatientName = "^".join(words[:5]) + "=" + words[5]
    places = {f"part {number}": word for number, word in enumerate(words)}
    for keyword in ("OperatorsName", "PerformingPhysicianName", "PatientMotherBirthName"):
        setattr(dataset, keyword, f"{(token := tokens.word())}^^^Dr^MD")
        places[keyword] = token
    inner = item(PersonName=(token := tokens.word()), TextValue=(other := tokens.word()))
    dataset.DeidentificationMethodCodeSequence = sequence(
        item(
            CodeValue="113100", CodingSchemeDesignator="DCM", CodeMeaning=(third := tokens.word())
        ),
        inner,
    )
    places |= {"nested in the marks": token, "text there": other, "meaning of a code": third}
    dataset.DeidentificationMethod = places["method"] = tokens.word()
    dataset.PatientIdentityRemoved = "YES"
    yield PlantedFile("hostile names", "names.dcm", write(dataset), places)


def _numbers(tokens: Tokens) -> Iterator[PlantedFile]:
    """Hospital numbers and birth dates as values of numeric attributes, at the top and nested."""
    dataset, places = synthetic(), {}
    for keyword in (
        "AcquisitionNumber", "EchoTime", "FlipAngle", "ImagingFrequency", "InversionTime",
        "NumberOfAverages", "PatientSize", "PatientWeight", "PixelBandwidth", "RescaleIntercept",
        "SeriesNumber", "SliceLocation", "SpacingBetweenSlices", "TemporalPositionIdentifier",
        "TriggerTime", "WindowCenter", "WindowWidth", "NominalInterval", "HeartRate", "SAR",
    ):  # fmt: skip
        setattr(dataset, keyword, token := tokens.number())
        places[keyword] = token
    for keyword in ("InstanceNumber", "EchoTrainLength", "CardiacNumberOfImages"):
        setattr(dataset, keyword, token := tokens.date())
        places[f"{keyword}, a date"] = token
    dataset.ReferencedImageSequence = sequence(
        item(ReferencedFrameNumber=(token := tokens.number()), SeriesNumber=tokens.number())
    )
    places["nested"] = token
    yield PlantedFile("hostile numbers", "numbers.dcm", write(dataset), places)


def _uids(tokens: Tokens) -> Iterator[PlantedFile]:
    """Numbers of patients as parts of UIDs, also below the roots of the standard and of 2.25."""
    dataset, places = synthetic(), {}
    for keyword, root in (
        ("SOPInstanceUID", "1.2.840.10008.5.1.4.1.1.4"),
        ("StudyInstanceUID", "2.25"),
        ("SeriesInstanceUID", "1.2.826.0.1.3680043.2"),
        ("FrameOfReferenceUID", "1.2.840.10008.1.4.1"),
        ("SynchronizationFrameOfReferenceUID", "1.2.840.10008.15.1.1"),
        ("ConcatenationUID", "1.2.840.113619"),
        ("IrradiationEventUID", "1.2.276.0.7230010.3"),
        ("InstanceCreatorUID", "1.2.840.10008.3"),
    ):
        setattr(dataset, keyword, f"{root}.{(token := tokens.number())}.1")
        places[keyword] = token
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.ImplementationClassUID = f"1.2.840.10008.{(token := tokens.number())}"
    places["implementation class"] = token
    put(dataset, 0x00080058, "UI", [f"1.2.{(token := tokens.number())}", "1.2.840.10008.1.2"])
    places["failed list"] = token
    yield PlantedFile("hostile UIDs", "uids.dcm", write(dataset), places)


def _moments(tokens: Tokens) -> Iterator[PlantedFile]:
    """Dates with times and zones, ranges, and several values."""
    dataset, places = synthetic(), {}
    for keyword, form in (
        ("AcquisitionDateTime", "{}101500.123456+0100"),
        ("FrameAcquisitionDateTime", "{}1015-0530"),
        ("FrameReferenceDateTime", "{}&0100"),
        ("ContentDate", "{}-"),
        ("SeriesDate", "{}\\{}"),
        ("InstanceCreationDate", " {}"),
        ("StudyTime", "{}"),
        ("AcquisitionTime", "10:{}"),
        ("PatientBirthTime", "{}"),
        ("DateOfLastCalibration", "{}"),
        ("TimezoneOffsetFromUTC", "{}"),
    ):
        day = tokens.date()
        setattr(dataset, keyword, form.replace("{}", day))
        places[keyword] = day
    yield PlantedFile("hostile moments", "moments.dcm", write(dataset), places)


def _frames(tokens: Tokens) -> Iterator[PlantedFile]:
    """Comments, labels and private blocks in functional groups, shared and of single frames."""
    dataset, places = synthetic(), {}
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = _ENHANCED_MR
    dataset.NumberOfFrames, frames = 2, []
    dataset.Rows = 2
    for number in range(2):
        group = item(
            FrameContentSequence=sequence(
                item(
                    FrameComments=(comment := tokens.word()),
                    FrameLabel=(label := tokens.word()),
                    StackID=(stack := tokens.word()),
                    FrameAcquisitionDateTime=f"{(day := tokens.date())}101010",
                )
            ),
            FrameAnatomySequence=sequence(
                item(
                    FrameLaterality="U",
                    AnatomicRegionSequence=sequence(
                        item(
                            CodeValue=(code := tokens.word()),
                            CodingSchemeDesignator="99X",
                            CodeMeaning=(meaning := tokens.word()),
                        )
                    ),
                )
            ),
        )
        names = ("comment", "label", "stack", "day", "code", "meaning")
        values = (comment, label, stack, day, code, meaning)
        places |= {f"frame {number} {name}": v for name, v in zip(names, values, strict=True)}
        block = group.private_block(0x0021, "SIEMENS MR SDI 02", create=True)
        inner = Dataset()
        deep = inner.private_block(0x0021, "SIEMENS MR SDI 02", create=True)
        deep.add_new(0x06, "LO", places.setdefault(f"frame {number} vendor text", tokens.word()))
        deep.add_new(0x4F, "LO", places.setdefault(f"frame {number} coil", tokens.word()))
        inner.PatientName = places[f"frame {number} name in vendor"] = tokens.word()
        inner.SeriesDescription = places[f"frame {number} series in vendor"] = tokens.word()
        block.add_new(0xFE, "SQ", Sequence([inner]))
        frames.append(group)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    dimension = item(
        DimensionDescriptionLabel=(label := tokens.word()),
        DimensionOrganizationUID=tokens.uid(),
    )
    dataset.DimensionIndexSequence = sequence(dimension)
    places["dimension"] = label
    yield PlantedFile("hostile frames", "frames.dcm", write(dataset), places)


def _creators(tokens: Tokens) -> Iterator[PlantedFile]:
    """Names beside, behind and inside the names of known creators; elements of wrong blocks."""
    dataset, places = synthetic(), {}
    for number, form in enumerate(
        ("SIEMENS CSA HEADER {}", "{} SIEMENS MR HEADER", "GEMS_PARM_01\\{}", "siemens mr header{}")
    ):
        token = tokens.word()
        put(dataset, 0x00110010 + number, "LO", form.format(token))
        put(dataset, 0x00111001 + (number << 8), "LO", other := tokens.word())
        places |= {f"creator {number}": token, f"element {number}": other}
    # A block whose creator comes twice, and an element whose block has none.
    put(dataset, 0x00190010, "LO", "SIEMENS MR HEADER")
    put(dataset, 0x00191008, "LO", token := tokens.word())
    put(dataset, 0x0019F10A, "US", 4)
    put(dataset, 0x0019F10B, "LO", other := tokens.word())
    put(dataset, 0x0019100B, "DS", number_ := tokens.number())
    put(dataset, 0x00191029, "FD", [float(tokens.date())])
    places |= {"identity": token, "orphan": other, "number": number_}
    put(dataset, 0x00510010, "LO", "SIEMENS MR HEADER")
    for low, value in ((0x0B, "64*{}"), (0x0E, "Tra>{}"), (0x0F, "HEA;{}"), (0x11, "p2 {}")):
        put(dataset, 0x00511000 + low, "LO", value.format(token := tokens.word()))
        places[f"text {low:02X}"] = token
    yield PlantedFile("hostile creators", "creators.dcm", write(dataset), places)


def _representations(tokens: Tokens) -> Iterator[PlantedFile]:
    """Elements of unknown representation, of odd length, twice, and with other letters."""
    places: dict[str, str] = {}
    for name, tag, vr in (
        ("manufacturer as UN", 0x00080070, b"UN"),
        ("comments as UN", 0x00204000, b"UN"),
        ("description as OB", 0x0008103E, b"OB"),
        ("echo time as UT", 0x00180081, b"UT"),
        ("unknown letters", 0x00180022, b"ZZ"),
        ("letters in lower case", 0x00180024, b"lo"),
    ):
        token = tokens.word()
        changed = _with(synthetic(), tag, explicit(tag, vr, padded(token)))
        yield PlantedFile("hostile representations", f"{name}.dcm", changed, {name: token})
    token = tokens.word()
    odd = _with(synthetic(), 0x00204000, explicit(0x00204000, b"LT", token.encode() + b"X"))
    yield PlantedFile("hostile representations", "odd.dcm", odd, {"odd length": token})
    token = tokens.word()
    again = explicit(0x0008103E, b"LO", padded(token))
    twice = _with(synthetic(), 0x0008103E, again + again.replace(b"ZQX", b"QXZ"))
    yield PlantedFile("hostile representations", "twice.dcm", twice, {"first of two": token})
    token = tokens.word()
    inner = explicit(0x00100010, b"PN", padded(token))
    after = _with(synthetic(), 0x0008103F, explicit(0x0008103F, b"SQ", inner))
    yield PlantedFile(
        "hostile representations", "no item.dcm", after, {"sequence of no items": token}
    )
    dataset = synthetic()
    for tag in (0x00181320, 0x00189073, 0x00280106, 0x00189087, 0x00181310, 0x00281101):
        vr = {0x00181310: "US", 0x00280106: "US", 0x00281101: "US"}.get(tag, "FD")
        token = tokens.word()
        put(
            dataset, tag, vr, list(struct.unpack(f"<{'4H' if vr == 'US' else 'd'}", token.encode()))
        )
        places[f"letters in {tag:08X}"] = token
    yield PlantedFile("hostile representations", "letters.dcm", write(dataset), places)


def _with(dataset: Dataset, tag: int, element: bytes) -> bytes:
    """Return a file with the bytes of an element in place of its own."""
    if tag in dataset:
        del dataset[tag]
    following = min(int(each) for each in dataset.keys() if each > tag)  # noqa: SIM118 - keys are tags
    return insert_before(write(dataset), following, element)


def _texts(tokens: Tokens) -> Iterator[PlantedFile]:
    """Tokens beside words that may stay, with signs between the letters, and in coded strings."""
    for number, form in enumerate(
        ("t1_mprage_{}", "{}.t2", "t1 {}", "ep2d\\{}", "T1W/{}/TSE", "{}2mm", "2mm{}", "mprage{}",
         "t1\t{}", "t1=({})", "<t1>{}</t1>", "t1-{}-rpt", "&#116;1 {}", "{}\\t1")
    ):  # fmt: skip
        dataset, places = synthetic(), {}
        for keyword in (
            "SeriesDescription", "ProtocolName", "StudyDescription", "ImageComments",
            "SequenceName", "PulseSequenceName", "ReceiveCoilName", "TransmitCoilName",
            "ManufacturerModelName", "Manufacturer", "SoftwareVersions", "ScanOptions",
            "ImageType", "BodyPartExamined", "PatientPosition", "AngioFlag", "Laterality",
            "ContentLabel", "AcquisitionContrast", "KSpaceFiltering",
            "PerformedProcedureStepDescription", "RequestedProcedureDescription",
            "WindowCenterWidthExplanation", "RescaleType", "PositionReferenceIndicator",
            "ImagedNucleus", "ContrastBolusAgent", "AcquisitionProtocolDescription",
            "DerivationDescription", "FilterType", "ConvolutionKernel",
        ):  # fmt: skip
            token = tokens.word()
            setattr(dataset, keyword, form.format(token))
            places[keyword] = token
        yield PlantedFile("hostile texts", f"text-{number}.dcm", write(dataset), places)


def _structures(tokens: Tokens) -> Iterator[PlantedFile]:
    """Bytes between items, in delimiters, behind a deflated stream, in another file behind it."""
    plain = write(synthetic())
    token = tokens.word()
    inner = explicit(0x00081155, b"UI", padded("1.2.3", b"\0"))
    broken = explicit(
        0x00081140, b"SQ",
        struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
        + struct.pack("<HHI", 0xFFFE, 0xE00D, 8) + token.encode(),
    )  # fmt: skip
    data = _with(synthetic(), 0x00081140, broken)
    yield PlantedFile("hostile structures", "between.dcm", data, {"between the items": token})
    name = write(_named(token := tokens.word()))
    yield PlantedFile("hostile structures", "behind.dcm", plain + name, {"a file behind": token})
    token = tokens.word()
    zipped = io.BytesIO(plain + zlib.compress(token.encode()))
    yield PlantedFile(
        "hostile structures", "zlib.dcm", zipped.getvalue(), {"packed, behind": token}
    )
    token = tokens.word()
    meta = plain.replace(b"DICM", b"DICM" + explicit(0x00020000, b"UL", struct.pack("<I", 4)), 1)
    extra = explicit(0x00020102, b"OB", padded(token))
    at = meta.index(struct.pack("<HH", 8, 5))
    yield PlantedFile(
        "hostile structures", "meta.dcm", meta[:at] + extra + meta[at:], {"meta": token}
    )
    dataset = synthetic()
    token = tokens.word()
    put(dataset, 0x00080005, "CS", ["ISO 2022 IR 6", "ISO 2022 IR 87"])
    put(dataset, 0x00204000, "LT", f"t1 \x1b$B{token}\x1b(B")
    yield PlantedFile("hostile structures", "escape.dcm", write(dataset), {"escape": token})


def _named(token: str) -> Dataset:
    dataset = synthetic()
    dataset.PatientName = dataset.PatientID = token
    return dataset


_BUILDERS = (
    _names,
    _numbers,
    _uids,
    _moments,
    _frames,
    _creators,
    _representations,
    _texts,
    _structures,
)
