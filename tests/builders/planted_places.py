"""Files with one unique token in each place where an identity can hide.

Two dozen kinds of places in a synthetic image; those in real files of the manufacturers are in
``planted_vendor``. Each function takes a source of tokens.
"""

from __future__ import annotations

import io
import json
import re
import struct
from collections.abc import Callable, Iterator
from importlib import resources

import pydicom
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from tests.builders.planted_base import (
    explicit,
    from_file,
    insert_before,
    item,
    padded,
    put,
    sequence,
    synthetic,
    write,
)
from tests.builders.planted_tokens import PlantedFile, Tokens

_BINARY = {"US", "SS", "UL", "SL", "FL", "FD", "AT", "OB", "OW", "OF", "OD", "OL", "UN", "SQ", "OV"}
FREE_TEXT = (
    "SeriesDescription",
    "StudyDescription",
    "ProtocolName",
    "ImageComments",
    "PatientComments",
    "AdditionalPatientHistory",
    "MedicalAlerts",
    "Allergies",
    "Occupation",
    "RequestedProcedureDescription",
    "RequestedProcedureComments",
    "PerformedProcedureStepDescription",
    "AdmittingDiagnosesDescription",
    "DerivationDescription",
    "AcquisitionComments",
    "ContrastBolusAgent",
    "PositionReferenceIndicator",
    "InterpretationText",
    "ReasonForStudy",
    "StudyComments",
    "VisitComments",
    "SequenceName",
    "ScanOptions",
    "SoftwareVersions",
    "ReceiveCoilName",
    "TransmitCoilName",
    "ContentLabel",
    "PulseSequenceName",
    "AcquisitionContrast",
    "SeriesType",
    "Manufacturer",
    "ManufacturerModelName",
    "BodyPartExamined",
    "PatientPosition",
    "PatientSex",
    "Laterality",
)

Builder = Callable[[Tokens], Iterator[PlantedFile]]


def table_attributes() -> list[tuple[int, str]]:
    """Return tag and value representation of the plain attributes of PS3.15 Table E.1-1."""
    text = resources.files("containers.scrub_headers").joinpath("data/ps3_15_e1_1.json").read_text()
    found = []
    for name in json.loads(text)["rows"]:
        if re.fullmatch(r"[0-9A-Fa-f]{8}", name) is None:  # a repeating group
            continue
        tag = int(name, 16)
        group = tag >> 16
        if group <= 0x0004 or group % 2:
            continue
        try:
            found.append((tag, dictionary_VR(tag)))
        except KeyError:
            continue
    return found


def _plant(dataset: Dataset, tag: int, vr: str, tokens: Tokens) -> str | None:
    """Set one attribute to a token; None where the representation holds no text."""
    vr = vr.split(" or ", maxsplit=1)[0]
    if vr == "SQ":
        token = tokens.word()
        put(dataset, tag, vr, sequence(item(CodeMeaning=token, ContentDescription=token)))
        return token
    if vr in {"OB", "OW", "UN"}:
        token = tokens.word()
        put(dataset, tag, vr, token.encode() * 2)
        return token
    if vr in _BINARY or vr in {"TM", "AS"}:
        return None
    token = tokens.for_vr(vr)
    put(dataset, tag, vr, token)
    return token


def _all_attributes(target: Dataset, tokens: Tokens, skip: set[int]) -> dict[str, str]:
    places = {}
    for tag, vr in table_attributes():
        if tag in skip:
            continue
        token = _plant(target, tag, vr, tokens)
        if token is not None:
            places[f"({tag >> 16:04X},{tag & 0xFFFF:04X})"] = token
    return places


_NEEDED = {0x00080016, 0x00080018, 0x7FE00010, 0x00080005}


def every_attribute(tokens: Tokens) -> Iterator[PlantedFile]:
    """Every attribute of the table, at the top level and two levels deep."""
    dataset = synthetic()
    places = _all_attributes(dataset, tokens, _NEEDED | {0x00080018})
    yield PlantedFile("attributes, top level", "top.dcm", write(dataset), places)
    for name, outer, inner in (
        ("reference", 0x00081140, 0x0040A170),
        ("source", 0x00082112, 0x0040A170),
        ("functional", 0x52009229, 0x00289110),
        ("anatomy", 0x00082218, 0x00082220),
    ):
        dataset, deep = synthetic(), Dataset()
        places = _all_attributes(deep, tokens, _NEEDED)
        middle = Dataset()
        put(middle, inner, "SQ", sequence(deep))
        put(dataset, outer, "SQ", sequence(middle))
        yield PlantedFile("attributes, two levels deep", f"deep-{name}.dcm", write(dataset), places)


# Elements that make a file an image of a kind; with another value it would be held back unread.
_IMAGE = _NEEDED | {0x00080060, 0x00280004, 0x00280301, 0x00080064, 0x00042000, 0x56000020}


def whole_dictionary(tokens: Tokens) -> Iterator[PlantedFile]:
    """Every public attribute of the standard that can hold text, dates, UIDs, or bytes."""
    texts = {
        "AE",
        "AS",
        "CS",
        "LO",
        "LT",
        "PN",
        "SH",
        "ST",
        "UC",
        "UR",
        "UT",
        "TM",
        "DA",
        "DT",
        "UI",
    }
    for vrs in (texts, {"OB", "OW", "OF", "OD", "OL", "OV", "UN"}):
        dataset, places = synthetic(), {}
        for tag, (names, *_) in sorted(DicomDictionary.items()):
            vr = names.split(" or ")[-1] if "O" in names.split(" or ")[-1] else names
            if vr not in vrs or tag in _IMAGE or tag < 0x00080000 or tag >> 16 in _AFTER_PIXELS:
                continue
            token = tokens.word() if vr in {"AS", "TM"} else tokens.for_vr(vr)
            put(dataset, tag, vr, token.encode() if vr.startswith("O") or vr == "UN" else token)
            places[f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {vr}"] = token
        kind = "whole dictionary"
        yield PlantedFile(kind, f"dictionary-{len(vrs)}.dcm", write(dataset), places)


_AFTER_PIXELS = frozenset({0x7FE0, 0xFFFC, 0xFFFA, 0xFFFE})


def every_sequence(tokens: Tokens) -> Iterator[PlantedFile]:
    """Every public sequence of the standard, with codes, a name, a date, and private attributes."""
    dataset, places = synthetic(), {}
    for tag, (vr, *_) in sorted(DicomDictionary.items()):
        if vr != "SQ" or tag < 0x00080000 or tag >> 16 in _AFTER_PIXELS:
            continue
        inner, where = Dataset(), f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
        for low, kind in (
            (0x00080020, "DA"),
            (0x00080100, "SH"),
            (0x00080102, "SH"),
            (0x00080103, "SH"),
            (0x00080104, "LO"),
            (0x0008010D, "UI"),
            (0x00081155, "UI"),
            (0x00100010, "PN"),
            (0x0040A160, "UT"),
        ):
            token = tokens.for_vr(kind)
            put(inner, low, kind, token)
            places[f"{where} > ({low >> 16:04X},{low & 0xFFFF:04X})"] = token
        put(inner, 0x00290010, "LO", "SIEMENS CSA HEADER")
        put(inner, 0x00291099, "LO", token := tokens.word())
        places[f"{where} > private"] = token
        put(dataset, tag, "SQ", sequence(inner))
    yield PlantedFile("every sequence", "sequences.dcm", write(dataset), places)


_JPEG = (
    bytes.fromhex("ffd8ffdb004300")
    + bytes(range(1, 65))
    + bytes.fromhex(
        "ffc0000b080004000401011100ffc400140001000000000000000000000000000000000009"
        "ffc40014100100000000000000000000000000000000ffda0008010100003f0054ffd9"
    )
)


def compressed_streams(tokens: Tokens) -> Iterator[PlantedFile]:
    """Comments and application data in JPEG streams, and bytes around the fragments."""
    for name, change in {
        "comment": lambda t: _JPEG[:2] + b"\xff\xfe\0\x0a" + t + _JPEG[2:],
        "application data": lambda t: _JPEG[:2] + b"\xff\xe1\0\x0a" + t + _JPEG[2:],
        "behind the image": lambda t: _JPEG + t,
        "no image": lambda t: t * 4,
    }.items():
        dataset = synthetic()
        token = tokens.word()
        stream = change(token.encode())
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit = 7
        dataset.PixelData = encapsulate([stream + b"\0" * (len(stream) % 2)])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        places = {name: token}
        yield PlantedFile("pixel streams", f"jpeg {name}.dcm", write(dataset), places)
    dataset = synthetic()
    dataset.PixelData = bytes(32) + (token := tokens.word()).encode()
    yield PlantedFile("pixel streams", "long-pixels.dcm", write(dataset), {"pixels": token})
    dataset = synthetic()
    put(dataset, 0x56000020, "OF", (token := tokens.word()).encode())
    yield PlantedFile("pixel streams", "spectrum.dcm", write(dataset), {"spectrum": token})
    dataset = synthetic()
    del dataset.Rows
    dataset.PixelData = (token := tokens.word()).encode() * 4
    yield PlantedFile("pixel streams", "no-rows.dcm", write(dataset), {"pixels": token})


def free_text(tokens: Tokens) -> Iterator[PlantedFile]:
    """Names inside text, coded terms, and names of coils and sequences."""
    for form in ("{}", "t1 mprage {}", "{}_t1", "t1{}mprage", "t1 mprage\\{}"):
        dataset, places = synthetic(), {}
        for keyword in FREE_TEXT:
            vr = dictionary_VR(keyword)
            token = tokens.word()
            put(dataset, pydicom.datadict.tag_for_keyword(keyword) or 0, vr, form.format(token))
            places[keyword] = token
        put(dataset, 0x00080008, "CS", ["ORIGINAL", "PRIMARY", "M", tokens.word()])
        places["ImageType"] = dataset[0x00080008].value[3]
        yield PlantedFile("free text", f"text-{len(form)}.dcm", write(dataset), places)


def dates_in_text(tokens: Tokens) -> Iterator[PlantedFile]:
    """Dates, telephone numbers, mail addresses, and UIDs inside text."""
    dataset, places = synthetic(), {}
    for number, (keyword, text) in enumerate(
        {
            "SeriesDescription": "t1 20190307",
            "ProtocolName": "t1 07/03/2019",
            "StudyDescription": "brain 2019-03-07",
            "ImageComments": "rest 7 March 2019",
            "DerivationDescription": "mean 07.03.19",
            "SequenceName": "epi_070319",
            "PulseSequenceName": "call 01865 222000",
            "SoftwareVersions": "syngo 943 476 5919",
            "AcquisitionContrast": "a.b@ox.ac.uk",
        }.items()
    ):
        setattr(dataset, keyword, text)
        places[keyword] = text.split(" ", 1)[-1] if number != 5 else "070319"
    uid = tokens.uid()
    dataset.SeriesDescription = f"see {uid}"
    places["SeriesDescription"] = uid
    yield PlantedFile("dates in text", "dates-in-text.dcm", write(dataset), places)


def private_blocks(tokens: Tokens) -> Iterator[PlantedFile]:
    """Unknown private creators, collisions, orphans, and text in elements of the safe list."""
    dataset, places = synthetic(), {}
    creator = tokens.word()
    put(dataset, 0x00290010, "LO", f"ACME {creator}")
    places["creator's name"] = creator
    for number, vr in enumerate(("LO", "UN", "OB", "ST", "PN", "UT", "SH", "CS", "DA", "UI", "IS")):
        token = tokens.for_vr(vr)
        value = token.encode() + b" " * (len(token) % 2) if vr in {"UN", "OB"} else token
        put(dataset, 0x00291001 + number, vr, value)
        places[f"unknown creator, {vr}"] = token
    token = tokens.word()
    put(dataset, 0x00291050, "SQ", sequence(item(PatientName=token)))
    places["unknown creator, SQ"] = token
    yield PlantedFile("private, unknown creator", "private.dcm", write(dataset), places)

    dataset, places = synthetic(), {}
    put(dataset, 0x00190010, "LO", "SIEMENS MR HEADER")
    put(dataset, 0x00190011, "LO", "ACME RESEARCH")
    put(dataset, 0x0019100C, "IS", "1000")
    for place, tag, vr in (
        ("evil block beside a safe one", 0x0019110C, "IS"),
        ("unlisted element of a safe block", 0x001910F0, "LO"),
        ("orphan", 0x0019200C, "LO"),
        ("wrong representation in a safe element", 0x0019100E, "LO"),
        ("number in a safe element", 0x00191017, "DS"),
        ("coded term", 0x0019100D, "CS"),
    ):
        token = tokens.for_vr(vr)
        put(dataset, tag, vr, token)
        places[place] = token
    put(dataset, 0x00510010, "LO", "SIEMENS CSA HEADER")
    places["safe creator in another group"] = token = tokens.word()
    put(dataset, 0x00511010, "OB", padded(token))
    put(dataset, 0x00270010, "LO", "GEMS_IMAG_01")
    places["text in floats"] = token = tokens.word()
    put(dataset, 0x00271060, "FL", list(struct.unpack("<2f", token.encode())))
    put(dataset, 0x00650010, "LO", "Image Private Header")
    places["text in doubles"] = token = tokens.word()
    put(dataset, 0x00651009, "FD", list(struct.unpack("<d", token.encode())))
    places["text in wide doubles"] = token = tokens.word()
    put(dataset, 0x00651037, "FD", list(struct.unpack("<2d", token.encode("utf-16-le"))))
    yield PlantedFile("private, collisions", "collisions.dcm", write(dataset), places)


def private_texts(tokens: Tokens) -> Iterator[PlantedFile]:
    """Every text element of the private list, with a name in it."""
    text = resources.files("containers.scrub_headers.vendor").joinpath("private_elements.json")
    dataset, places, blocks = synthetic(), {}, {}
    for creator, elements in json.loads(text.read_text())["creators"].items():
        for name, row in elements.items():
            group, low = (int(part, 16) for part in name.split(","))
            if row["kind"] == "sequence":
                continue
            block = blocks.setdefault((creator, group), 0x10 + len(blocks))
            put(dataset, group << 16 | block, "LO", creator)
            tag = group << 16 | block << 8 | low
            vr = row["vr"][0]
            if vr in {"IS", "DS", "LO", "SH", "CS", "ST"}:
                token = tokens.for_vr(vr)
                put(dataset, tag, vr, token)
            elif vr in {"FL", "FD", "UL", "SL", "US", "SS", "OB", "OW"}:
                token = tokens.word()
                put(dataset, tag, "OB", token.encode())
                dataset[tag].VR = vr if vr in {"OB", "OW"} else "UN"
            places[f"{creator} {name}"] = token
    yield PlantedFile("private, every listed element", "listed.dcm", write(dataset), places)


def private_sequences(tokens: Tokens) -> Iterator[PlantedFile]:
    """Public attributes in private sequences that stay, and private ones in public sequences."""
    dataset, places = synthetic(), {}
    put(dataset, 0x20050014, "LO", "Philips MR Imaging DD 005")
    inner = item(PatientName=(name := tokens.word()), OtherPatientIDs=(other := tokens.word()))
    inner.AcquisitionDateTime = (moment := tokens.date()) + "101112"
    inner.ImageComments = (comment := tokens.word())
    put(inner, 0x20050014, "LO", "Philips MR Imaging DD 005")
    put(inner, 0x20051499, "LO", unlisted := tokens.word())
    put(dataset, 0x2005140F, "SQ", sequence(inner))
    places |= {"name": name, "other ID": other, "moment": moment}
    places |= {"comment": comment, "unlisted private": unlisted}
    public = Dataset()
    put(public, 0x00290010, "LO", "ACME")
    put(public, 0x00291010, "LO", token := tokens.word())
    places["private in a public sequence"] = token
    put(dataset, 0x00081140, "SQ", sequence(public))
    yield PlantedFile("private sequences", "private-sequence.dcm", write(dataset), places)

    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset = from_file(write(dataset))
    yield PlantedFile("private sequences", "private-implicit.dcm", write(dataset), places)

    token, second = tokens.word(), tokens.word()
    name = struct.pack("<HHI", 0x0010, 0x0010, 8) + token.encode()
    defined = struct.pack("<HHI", 0xFFFE, 0xE000, len(name)) + name
    data = write(synthetic())
    creator = explicit(0x20050014, b"LO", padded("Philips MR Imaging DD 005"))
    element = explicit(0x2005140F, b"UN", defined)
    data = insert_before(data, 0x7FE00010, creator + element)
    name = struct.pack("<HHI", 0x0010, 0x0010, 8) + second.encode()
    open_item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + name
    open_item += struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    element = explicit(0x00081140, b"UN", open_item, 0xFFFFFFFF)
    data = insert_before(data, 0x00100010, element)
    places = {"public in a UN sequence": token, "in an open UN sequence": second}
    yield PlantedFile("unknown representation", "un-sequence.dcm", data, places)


def representations(tokens: Tokens) -> Iterator[PlantedFile]:
    """Values under the wrong representation, and unknown attributes."""
    dataset, places = synthetic(), {}
    for place, tag, vr in (
        ("name as UN", 0x00100010, "UN"),
        ("text as a number", 0x00180080, "LO"),
        ("text as an age", 0x00101010, "AS"),
        ("text as a time", 0x00080032, "TM"),
        ("text as a date", 0x00080022, "DA"),
        ("text as a UID", 0x00200052, "UI"),
        ("text as a decimal", 0x00180081, "DS"),
        ("text as an integer", 0x00200012, "IS"),
        ("unknown attribute", 0x0018FFF0, "LO"),
        ("unknown group", 0x77760010, "LO"),
        ("text as floats", 0x00189098, "OB"),
        ("unlimited text", 0x00180082, "UT"),
    ):
        token = tokens.word()
        written = "SH" if vr in {"DS", "IS"} else vr
        put(dataset, tag, written, token.encode() if vr in {"UN", "OB"} else token)
        places[place] = token
    data = write(dataset)
    for tag, vr in ((0x00180081, b"DS"), (0x00200012, b"IS")):
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        data = data.replace(head + b"SH", head + vr)
    yield PlantedFile("wrong representation", "representation.dcm", data, places)
    dataset = synthetic()
    for tag in (0x00010010, 0x00030010, 0x00050010, 0x00070010, 0xFFFF0010):
        data = write(dataset)
        token = tokens.word()
        element = explicit(tag, b"LO", token.encode())
        at = 0x00080005 if tag < 0x00080000 else None
        data = insert_before(data, at, element) if at else data + element
        yield PlantedFile(
            "odd groups", f"group-{tag >> 16:04x}.dcm", data, {"forbidden private group": token}
        )


def character_sets(tokens: Tokens) -> Iterator[PlantedFile]:
    """Names in groups of characters and in character sets."""
    for number, (charset, encoding, name) in enumerate(
        (
            ("ISO_IR 100", "latin-1", "Buc^Jérôme"),
            ("ISO_IR 192", "utf-8", "Wang^XiaoDong=王^小東=왕^소동"),
            ("GB18030", "gb18030", "Wang^XiaoDong=王^小东"),
            ("ISO_IR 13", "shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
            ("ISO_IR 144", "iso8859_5", "Люксембург"),
            ("ISO_IR 126", "iso8859_7", "Διονυσιος"),
        )
    ):
        dataset = synthetic()
        dataset.SpecificCharacterSet = charset
        token = tokens.word()
        for tag in (0x00100010, 0x00081070, 0x00204000, 0x0008103E):
            put(dataset, tag, "LO", "X")
        data = write(dataset)
        value = padded(name.encode(encoding) + b" " + token.encode())
        for tag, vr in ((0x00100010, b"PN"), (0x0008103E, b"LO"), (0x00204000, b"LT")):
            old = explicit(tag, b"LO", b"X ")
            data = data.replace(old, explicit(tag, vr, value))
        ideographs = name.split("=")[-1] if "=" in name else name
        places = {"latin": token, "native": ideographs}
        yield PlantedFile("character sets", f"charset-{number}.dcm", data, places)
    dataset = synthetic()
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    token = "山田^太郎"
    value = padded(b"Yamada=" + token.encode("iso2022_jp"))
    put(dataset, 0x0008103E, "LO", "X")
    old, new = explicit(0x0008103E, b"LO", b"X "), explicit(0x0008103E, b"LO", value)
    data = write(dataset).replace(old, new)
    yield PlantedFile("character sets", "charset-iso2022.dcm", data, {"kanji": token})


def pictures(tokens: Tokens) -> Iterator[PlantedFile]:
    """Overlays, curves, icons, graphics, waveforms, and audio."""
    dataset, places = synthetic(), {}
    for group in (0x6000, 0x6002, 0x601E, 0x5000, 0x501E):
        for low, vr in (
            (0x0022, "LO"),
            (0x1500, "LO"),
            (0x4000, "LT"),
            (0x2500, "LO"),
            (0x3000, "OB"),
            (0x200C, "OB"),
        ):
            token = tokens.word()
            tag = group << 16 | low
            put(dataset, tag, vr, token.encode() if vr == "OB" else token)
            places[f"({group:04X},{low:04X})"] = token
    icon = item(Rows=2, Columns=4, BitsAllocated=8, PixelData=(token := tokens.word()).encode())
    icon["PixelData"].VR = "OB"
    put(dataset, 0x00880200, "SQ", sequence(icon))
    places["icon"] = token
    text = item(UnformattedTextValue=(token := tokens.word()))
    put(dataset, 0x00700001, "SQ", sequence(item(TextObjectSequence=sequence(text))))
    places["graphic annotation"] = token
    for tag in (0x54001010, 0x00420011, 0x00282000, 0xFFFCFFFC, 0x7FE00020):
        token = tokens.word()
        put(dataset, tag, "OB", token.encode())
        places[f"({tag >> 16:04X},{tag & 0xFFFF:04X})"] = token
    yield PlantedFile("pictures and documents", "pictures.dcm", write(dataset), places)


def other_classes(tokens: Tokens) -> Iterator[PlantedFile]:
    """Documents, reports, presentation states, and secondary captures with burned-in text."""
    for name, uid in (
        ("pdf", "1.2.840.10008.5.1.4.1.1.104.1"),
        ("report", "1.2.840.10008.5.1.4.1.1.88.33"),
        ("presentation", "1.2.840.10008.5.1.4.1.1.11.1"),
        ("capture", "1.2.840.10008.5.1.4.1.1.7"),
        ("raw", "1.2.840.10008.5.1.4.1.1.66"),
        ("key objects", "1.2.840.10008.5.1.4.1.1.88.59"),
        ("directory", "1.2.840.10008.1.3.10"),
        ("private class", "1.3.12.2.1107.5.9.1"),
    ):
        dataset = synthetic()
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid
        dataset.EncapsulatedDocument = (token := tokens.word()).encode()
        dataset.DocumentTitle = (title := tokens.word())
        content = item(ValueType="TEXT", TextValue=(text := tokens.word()))
        put(content, 0x0040A123, "PN", person := tokens.word())
        dataset.ContentSequence = sequence(content)
        dataset.PixelData = (burned := tokens.word()).encode() * 4
        places = {"document": token, "title": title, "text": text, "person": person}
        places["pixels"] = burned
        yield PlantedFile("other classes", f"{name}.dcm", write(dataset), places)
    dataset = synthetic()
    dataset.BurnedInAnnotation = "YES"
    dataset.PixelData = (burned := tokens.word()).encode() * 4
    yield PlantedFile("burned in", "burned.dcm", write(dataset), {"pixels": burned})


def around_the_dataset(tokens: Tokens) -> Iterator[PlantedFile]:
    """Preamble, file meta information, group 0000, group lengths, and what follows the pixels."""
    data = write(synthetic())
    token = tokens.word()
    preamble = (token.encode() * 16) + data[128:]
    yield PlantedFile("preamble", "preamble.dcm", preamble, {"preamble": token})
    dataset, places = synthetic(), {}
    for tag, vr in (
        (0x00020013, "SH"),
        (0x00020016, "AE"),
        (0x00020017, "AE"),
        (0x00020018, "AE"),
        (0x00020026, "UR"),
        (0x00020100, "UI"),
        (0x00020012, "UI"),
    ):
        token = tokens.for_vr(vr)
        put(dataset.file_meta, tag, vr, token)
        places[f"({tag >> 16:04X},{tag & 0xFFFF:04X})"] = token
    token = tokens.word()
    put(dataset.file_meta, 0x00020102, "OB", token.encode())
    places["private information"] = token
    yield PlantedFile("file meta information", "meta.dcm", write(dataset), places)
    for name, extra in {
        "trailing bytes": lambda t: t,
        "padding": lambda t: explicit(0xFFFCFFFC, b"OB", t),
        "signature": lambda t: explicit(0xFFFAFFFA, b"SQ", _item(explicit(0x04000115, b"OB", t))),
        "name after the pixels": lambda t: explicit(0x00100010, b"PN", t),
        "private after the pixels": lambda t: explicit(0x7FE10010, b"LO", t),
        "second pixels": lambda t: explicit(0x7FE00010, b"OW", t * 4),
    }.items():
        token = tokens.word()
        yield PlantedFile(
            "after the pixels", f"{name}.dcm", data + extra(token.encode()), {name: token}
        )
    for name, element in {
        "command group": lambda t: explicit(0x00001000, b"LO", t),
        "group length": lambda t: explicit(0x00080000, b"LO", t),
        "length to end": lambda t: explicit(0x00080001, b"LO", t),
        "second name": lambda t: explicit(0x00100010, b"PN", t),
        "group 0004": lambda t: explicit(0x00041130, b"CS", t),
        "item outside a sequence": lambda t: struct.pack("<HHI", 0xFFFE, 0xE000, len(t)) + t,
    }.items():
        token = tokens.word()
        at = 0x00080005 if name != "second name" else 0x00180020
        content = insert_before(data, at, element(token.encode()))
        yield PlantedFile("beside the dataset", f"{name}.dcm", content, {name: token})
    dataset = synthetic()
    dataset.PatientName = token = tokens.word()
    yield PlantedFile("no preamble", "bare.dcm", write(dataset)[132:], {"name": token})
    yield PlantedFile("no preamble", "no-meta.dcm", _without_meta(write(dataset)), {"name": token})


def _item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def _without_meta(data: bytes) -> bytes:
    return data[144 + int.from_bytes(data[140:144], "little") :]


def after_nul(tokens: Tokens) -> Iterator[PlantedFile]:
    """Bytes behind the NUL that ends a text for most readers."""
    dataset = synthetic()
    marks = {
        0x00080060: b"CS",
        0x0008103E: b"LO",
        0x00180024: b"SH",
        0x00180080: b"DS",
        0x00200013: b"IS",
        0x0020000E: b"UI",
        0x00080020: b"DA",
        0x00200020: b"CS",
        0x00181030: b"LO",
        0x00080070: b"LO",
    }
    data, places = write(dataset), {}
    plain = {b"CS": "MR", b"DS": "2300", b"IS": "1", b"UI": "1.2.3", b"DA": "20240131"}
    dataset_bytes = data
    for tag, vr in marks.items():
        token = tokens.word()
        value = padded(plain.get(vr, "t1").encode() + b"\0" + token.encode(), b"\0")
        places[f"({tag >> 16:04X},{tag & 0xFFFF:04X})"] = token
        dataset_bytes = _replace(dataset_bytes, tag, vr, value)
    yield PlantedFile("after NUL", "nul.dcm", dataset_bytes, places)


def _replace(data: bytes, tag: int, vr: bytes, value: bytes) -> bytes:
    """Set an element of an explicit little endian file, in its place in the order."""
    length = int.from_bytes(data[140:144], "little")
    place = 144 + length
    while place < len(data):
        group, element, old_vr = struct.unpack_from("<HH2s", data, place)
        long = old_vr in {b"OB", b"OW", b"SQ", b"UN", b"UT"}
        size = struct.unpack_from("<I" if long else "<H", data, place + (8 if long else 6))[0]
        end = place + (12 if long else 8) + size
        found = group << 16 | element
        if found >= tag:
            return data[:place] + explicit(tag, vr, value) + data[end if found == tag else place :]
        place = end
    raise ValueError("the place of the element is behind the end of the file")


def deep(tokens: Tokens) -> Iterator[PlantedFile]:
    """A name forty sequences deep, with open lengths."""
    token = tokens.word()
    content = explicit(0x00100010, b"PN", token.encode())
    for _ in range(40):
        content = explicit(
            0x00081140,
            b"SQ",
            struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
            + content
            + struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0),
            0xFFFFFFFF,
        )
    data = insert_before(write(synthetic()), 0x00100010, content)
    yield PlantedFile("deep nesting", "deep.dcm", data, {"name": token})


def transfer_syntaxes(tokens: Tokens) -> Iterator[PlantedFile]:
    """The same places in each transfer syntax."""
    for name, uid in (
        ("implicit", ImplicitVRLittleEndian),
        ("big-endian", ExplicitVRBigEndian),
        ("deflated", DeflatedExplicitVRLittleEndian),
        ("jpeg", JPEGBaseline8Bit),
        ("rle", RLELossless),
    ):
        dataset = synthetic()
        dataset.PatientName, dataset.PatientID = (first := tokens.word()), (second := tokens.word())
        dataset.ImageComments = (third := tokens.word())
        dataset.StudyDate = (day := tokens.date())
        dataset.SeriesInstanceUID = (uid_token := tokens.uid())
        put(dataset, 0x00290010, "LO", "ACME")
        put(dataset, 0x00291010, "LO", fourth := tokens.word())
        content = (fifth := tokens.word()).encode()
        put(dataset, 0x00081140, "SQ", sequence(item(PatientName=content.decode())))
        if uid == RLELossless:
            dataset.compress(uid, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = uid
        if uid == JPEGBaseline8Bit:
            dataset.PixelData = encapsulate([_JPEG])
            dataset["PixelData"].VR = "OB"
            dataset["PixelData"].is_undefined_length = True
        places = {"name": first, "ID": second, "comment": third, "private": fourth}
        places |= {"nested": fifth, "date": day, "UID": uid_token}
        yield PlantedFile("transfer syntaxes", f"{name}.dcm", write(dataset), places)


def creators(tokens: Tokens) -> Iterator[PlantedFile]:
    """Names written into what looks like a known private creator."""
    for number, form in enumerate(
        ("GEMS_PARM_01\0{}", "GEMS_PARM_01\\{}", "GEMS_PARM_01 {}", "{}\\GEMS_PARM_01")
    ):
        dataset = synthetic()
        put(dataset, 0x00430010, "LO", form.format(token := tokens.word()))
        put(dataset, 0x0043102C, "SS", 500)
        yield PlantedFile("creators", f"creator-{number}.dcm", write(dataset), {"creator": token})


SYNTHETIC: tuple[Builder, ...] = (
    every_attribute,
    whole_dictionary,
    every_sequence,
    compressed_streams,
    free_text,
    dates_in_text,
    private_blocks,
    private_texts,
    private_sequences,
    representations,
    character_sets,
    pictures,
    other_classes,
    around_the_dataset,
    after_nul,
    deep,
    transfer_syntaxes,
    creators,
)


def synthetic_corpus(start: int = 0) -> list[PlantedFile]:
    """Return all files that need no sample data."""
    tokens = Tokens(start)
    return [planted for builder in SYNTHETIC for planted in builder(tokens)]


def read(content: bytes) -> Dataset:
    """Return a dataset read from bytes, for callers that have real files."""
    return pydicom.dcmread(io.BytesIO(content))
