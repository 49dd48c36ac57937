"""Identities planted into real files of the manufacturers: every text, block, and number of theirs.

The files are read at test time and never stored; see the ``samples`` fixture.
"""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from pydicom.dataset import Dataset

from tests.builders.planted_base import from_file, put, unchecked, write
from tests.builders.planted_tokens import PlantedFile, Tokens

TEXT_VRS = frozenset({"LO", "SH", "ST", "LT", "UT", "PN", "CS", "AE", "UC", "UR"})
SERIES: tuple[tuple[str, str], ...] = (
    ("Siemens VE11", "siemens_e11_bold_human/SCANS/2"),
    ("Siemens E11 mosaic", "siemens_ve11_epi_pe_phantom/SCANS/3"),
    ("Siemens diffusion", "siemens_heudiconv_dwi_b0/SCANS/28"),
    ("Siemens XA30", "siemens_xa30_interop_phantom/SCANS/1001"),
    ("GE DV26", "ge_dv26_fmri_human/SCANS"),
    ("GE MR29", "ge_mr29_phantom/SCANS"),
    ("Philips R5.7", "philips_r57_dti_human/SCANS"),
    ("UIH", "uih_dti_human/SCANS"),
)
USUAL = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "PatientAddress",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "InstitutionName",
    "InstitutionAddress",
    "StationName",
    "DeviceSerialNumber",
    "AccessionNumber",
    "StudyID",
    "SeriesDescription",
    "StudyDescription",
    "ProtocolName",
    "RequestingPhysician",
    "PatientTelephoneNumbers",
    "ImageComments",
    "PerformedProcedureStepID",
    "PerformedStationName",
    "ScheduledProcedureStepDescription",
)
# What makes a file a readable image of its class stays as it is; the rest may hold a name.
_NEEDED = frozenset({0x00080016, 0x00080005, 0x00080060, 0x00280004})


def series_files(samples: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name of each series above and the content of one of its files."""
    for name, folder in SERIES:
        files = sorted((samples / "dicom" / folder).rglob("*.dcm"))
        yield name, files[len(files) // 2].read_bytes()


def vendor_corpus(samples: Path, start: int = 200_000) -> list[PlantedFile]:
    """Return the planted files of all series."""
    tokens = Tokens(start)
    corpus = []
    for name, content in series_files(samples):
        for planted in _of_series(content, tokens):
            planted.name = f"{name} {planted.name}".replace(" ", "-")
            corpus.append(planted)
    return corpus


def _of_series(content: bytes, tokens: Tokens) -> Iterator[PlantedFile]:
    yield _common(from_file(content), tokens)
    for public in (True, False):
        dataset, places = from_file(content), {}
        with unchecked():
            _texts(dataset, tokens, places, public=public, path="")
        kind = "vendor, public texts" if public else "vendor, private texts"
        yield PlantedFile(kind, f"{kind}.dcm", write(dataset), places)
    dataset, places = from_file(content), {}
    with unchecked():
        _blocks(dataset, tokens, places, "")
    yield PlantedFile("vendor, private blocks", "blocks.dcm", write(dataset), places)
    yield from _csa(content, tokens)
    yield from _protocol_text(content, tokens)
    yield from _ge_protocol(content, tokens)
    yield from _ge_user_data(content, tokens)


def _common(dataset: Dataset, tokens: Tokens) -> PlantedFile:
    places = {}
    for keyword in USUAL:
        setattr(dataset, keyword, token := tokens.word())
        places[keyword] = token
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "PatientBirthDate"):
        setattr(dataset, keyword, token := tokens.date())
        places[keyword] = token
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(dataset, keyword, token := tokens.uid())
        places[keyword] = token
    # No token: four characters stand in pixels by chance. What becomes of it has its own test.
    dataset.PatientAge = "095Y"
    return PlantedFile("vendor, usual attributes", "usual.dcm", write(dataset), places)


def _texts(
    dataset: Dataset, tokens: Tokens, places: dict[str, str], *, public: bool, path: str
) -> None:
    for element in list(dataset):
        where = f"{path}({element.tag.group:04X},{element.tag.element:04X})"
        private = element.tag.is_private
        if element.VR == "SQ":
            for number, item in enumerate(element.value[:3]):
                _texts(item, tokens, places, public=public, path=f"{where}[{number}]>")
        elif element.tag in _NEEDED or private == public or element.tag.element < 0x100 * private:
            continue
        elif element.VR in TEXT_VRS | {"DA", "DT", "UI"} | ({"DS", "IS"} if private else set()):
            token = tokens.for_vr(element.VR)
            put(dataset, element.tag, element.VR, token)
            places[where] = token


def _blocks(dataset: Dataset, tokens: Tokens, places: dict[str, str], path: str) -> None:
    """Write a token into the middle of each private binary value."""
    for element in list(dataset):
        where = f"{path}({element.tag.group:04X},{element.tag.element:04X})"
        if element.VR == "SQ":
            for number, item in enumerate(element.value[:3]):
                _blocks(item, tokens, places, f"{where}[{number}]>")
        elif element.tag.is_private and element.VR in {"OB", "OW", "UN"} and element.value:
            token = tokens.word().encode()
            value, middle = bytes(element.value), len(element.value) // 2
            value = value[:middle] + token + value[middle + len(token) :]
            put(dataset, element.tag, element.VR, value + b"\0" * (len(value) % 2))
            places[where] = token.decode()


def _csa(content: bytes, tokens: Tokens) -> Iterator[PlantedFile]:
    """Put a token into every value of a CSA header, behind every name, and behind the end."""
    dataset = from_file(content)
    for tag in (0x00291010, 0x00291020):
        if tag not in dataset or not bytes(dataset[tag].value).startswith(b"SV10"):
            continue
        for kind in ("values", "names", "units"):
            dataset = from_file(content)
            header, places = bytearray(dataset[tag].value), {}
            for name, place, length in csa_places(bytes(header), kind):
                token = tokens.word()
                if length >= len(token):
                    header[place : place + len(token)] = token.encode()
                    places[f"{kind} of {name} at {place}"] = token
            token = tokens.word()
            put(dataset, tag, "OB", bytes(header) + token.encode())
            places["behind the end"] = token
            name = f"csa-{tag & 0xFFFF:04x}-{kind}.dcm"
            yield PlantedFile("CSA headers", name, write(dataset), places)


def csa_places(header: bytes, kind: str) -> Iterator[tuple[str, int, int]]:
    """Yield name, place and length of the values of a CSA2 header, or of the slack of names.

    An independent reader of the format, after the description in nibabel's documentation.
    """
    (count,) = struct.unpack_from("<I", header, 8)
    place = 16
    for _ in range(count):
        raw, _vm, _vr, _type, items, _check = struct.unpack_from("<64si4siii", header, place)
        name = raw.split(b"\0")[0].decode()
        if kind == "names":
            yield name, place + len(name) + 1, 63 - len(name)
        place += 84
        for number in range(items):
            length = struct.unpack_from("<4i", header, place)[1]
            if kind == "units" and number == 0:
                yield name, place + 16 + max(length - 8, 0), min(length, 8)
            place += 16
            if kind == "values":
                yield name, place, length
            place += (length + 3) // 4 * 4


def _protocol_text(content: bytes, tokens: Tokens) -> Iterator[PlantedFile]:
    """Put a token into keys, texts, numbers, comments, and around a Siemens protocol."""
    for tag in (0x00291020, 0x00211019):
        dataset = from_file(content)
        if tag not in dataset:
            continue
        text = bytes(dataset[tag].value)
        begin = re.search(rb"### ASCCONV BEGIN[^\n]*\n", text)
        if begin is None:
            continue
        places: dict[str, str] = {}
        lines = []
        for form in (
            'tProtocolName\t = \t""{}""',
            'tReferenceImage0\t = \t""1.2.{}""',
            "{}\t = \t1",
            "sKSpace.{}\t = \t1",
            "sKSpace.lBaseResolution\t = \t{}",
            'sCoilSelectMeas.aRxCoilSelectData[0].asList[0].sCoilElementID.tCoilID\t = \t""{}""',
            'sCoilSelectMeas.sCoilStringForConversion\t = \t""{}""',
            'sCoilElementID.tElement\t = \t""{}""',
            'tSequenceFileName\t = \t""%CustomerSeq%\\{}""',
            'tSequenceFileName\t = \t""%CustomerSeq%\\{}_ep2d_bold""',
            'sWipMemBlock.tFree\t = \t""{}""',
            'sProtConsistencyInfo.tBaselineString\t = \t""N4_{}_LATEST_20160120""',
            "sKSpace.lPhaseEncodingLines\t = \t64 # {}",
            "### {}",
            "lRepetitions\t = \t0x1 {}",
        ):
            token = tokens.word()
            lines.append(form.format(token).encode())
            places[form] = token
        for form in ("lRepetitions\t = \t{}", "sWipMemBlock.alFree[3]\t = \t{}"):
            token = tokens.number()
            lines.append(form.format(token).encode())
            places[form] = token
        day = tokens.date()
        lines.append(f"sSpecPara.lFinalMatrixSizePhase\t = \t{day}".encode())
        places["date as a number"] = day
        block = b"\n".join(lines)[: begin.end()]
        # The length of the block stays, so that the header around it stays whole.
        end = begin.end() + len(block) + 1
        end = text.index(b"\n", end)
        filling = b"\n" + b" " * (end - begin.end() - len(block) - 1)
        changed = text[: begin.end()] + block + filling + text[end:]
        put(dataset, tag, dataset[tag].VR, changed)
        yield PlantedFile("protocol text", f"protocol-{tag:08x}.dcm", write(dataset), places)


def _ge_protocol(content: bytes, tokens: Tokens) -> Iterator[PlantedFile]:
    """Put tokens into the lines, the name, and the comment of GE's gzip file, and behind it."""
    dataset = from_file(content)
    if 0x0025101B not in dataset:
        return
    value = bytes(dataset[0x0025101B].value)
    text = gzip.decompress(value[4 : 4 + int.from_bytes(value[:4], "little")])
    places = {}
    for form in ('SEDESC "{}"', '{} "1"', 'POSITION "{}"', 'CLINICALCOIL "{}"', "{}", 'TE "{}"'):
        token = tokens.word()
        text += form.format(token).encode() + b"\n"
        places[form] = token
    places["number"] = number = tokens.number()
    text += f'NOSLC "{number}"\n'.encode()
    places["file name"] = name = tokens.word()
    places["comment"] = comment = tokens.word()
    places["behind"] = behind = tokens.word()
    packed = gzip.compress(text)
    packed = packed[:3] + b"\x18" + packed[4:10] + f"{name}\0{comment}\0".encode() + packed[10:]
    block = struct.pack("<I", len(packed)) + packed + behind.encode()
    put(dataset, 0x0025101B, "OB", block + b"\0" * (len(block) % 2))
    yield PlantedFile("GE protocol", "ge-protocol.dcm", write(dataset), places)


def _ge_user_data(content: bytes, tokens: Tokens) -> Iterator[PlantedFile]:
    dataset = from_file(content)
    if 0x0043102A not in dataset:
        return
    value, places = bytearray(dataset[0x0043102A].value), {}
    offset = struct.unpack_from("<H", value, 24)[0]
    for place in (30, offset + 8, offset + 200, offset + 0x394 - 0x40, len(value) - 8):
        token = tokens.word()
        value[place : place + 8] = token.encode()
        places[f"byte {place}"] = token
    put(dataset, 0x0043102A, "OB", bytes(value))
    yield PlantedFile("GE user data", "ge-user-data.dcm", write(dataset), places)
