"""Private attributes: numbers and words of the manufacturer stay, blocks stay readable."""

from __future__ import annotations

import gzip
import io
import json
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.private_blocks import (
    clean_private,
    keeps_private_creator,
    keeps_private_sequence,
)
from containers.scrub_headers.vendor.csa import clean_csa_header
from containers.scrub_headers.vendor.ge_blocks import clean_ge_protocol, clean_ge_user_data
from containers.scrub_headers.vendor.protocol_text import clean_protocol_text
from tests.builders.planted_vendor import series_files

NOBODY = KnownIdentities()
Place = tuple[str, int, int, str, bytes]


@dataclass
class Context:
    """What a private value's cleaning asks for."""

    known: KnownIdentities = field(default_factory=KnownIdentities)
    big_endian: bool = False


def csa2(*tags: tuple[bytes, bytes, list[bytes]], unused: bytes = b"\4\3\2\1") -> bytes:
    """Return a CSA2 header by the description in nibabel's documentation."""
    parts = [b"SV10", unused, struct.pack("<II", len(tags), 77)]
    for name, vr, values in tags:
        parts.append(struct.pack("<64si4siii", name, len(values), vr, 0, len(values), 77))
        for value in values:
            length = len(value)
            parts += [struct.pack("<4i", length, length, 77, length), value]
            parts.append(b"\0" * (-length % 4))
    return b"".join(parts)


def nibabel_items(header: bytes) -> dict[str, list[object]]:
    """Return the items of a CSA header as nibabel reads them."""
    with warnings.catch_warnings():
        # The package calls itself experimental whenever it is imported.
        warnings.simplefilter("ignore", UserWarning)
        from nibabel.nicom import csareader  # noqa: PLC0415 - see above
    return {name: tag["items"] for name, tag in csareader.read(header)["tags"].items()}


class TestValues:
    """Single values."""

    @pytest.mark.parametrize(
        "place",
        [
            ("SIEMENS MR HEADER", 0x19, 0x0C, "IS", b"1000"),
            ("SIEMENS MR HEADER", 0x19, 0x0E, "FD", struct.pack("<3d", 0.6, 0, -0.8)),
            ("SIEMENS MR HEADER", 0x51, 0x0F, "LO", b"HC1-7;NC1,2 "),
            ("SIEMENS MR HEADER", 0x51, 0x0E, "LO", b"Tra>Cor(-7.1) "),
            ("GEMS_PARM_01", 0x43, 0x39, "IS", b"1000000800\\8\\0\\0"),
            ("GEMS_ACQU_01", 0x19, 0x9C, "LO", b"epi2"),
            ("Philips Imaging DD 001", 0x2001, 0x03, "FL", struct.pack("<f", 800)),
            ("Philips Imaging DD 001", 0x2001, 0x0B, "CS", b"TRANSVERSAL "),
            ("Philips MR Imaging DD 005", 0x2005, 0x13, "IS", b"12"),
            ("Image Private Header", 0x65, 0x05, "SH", b"A->P"),
        ],
    )
    def test_what_conversion_needs_stays(self, place: Place):
        """Numbers and words of the manufacturers come back as they were."""
        assert clean_private(*place, Context()) == place[-1]

    @pytest.mark.parametrize(
        "place",
        [
            ("ACME", 0x19, 0x0C, "IS", b"1000"),
            ("SIEMENS MR HEADER", 0x21, 0x0C, "IS", b"1000"),
            ("SIEMENS MR HEADER", 0x19, 0x0C, "LO", b"1000"),
            ("SIEMENS MR HEADER", 0x19, 0x0C, "IS", b"20190307"),
            ("SIEMENS MR HEADER", 0x19, 0x0C, "IS", b"9434765919"),
            ("SIEMENS MR HEADER", 0x19, 0x0C, "IS", b"SMITH "),
            ("SIEMENS MR HEADER", 0x51, 0x0F, "LO", b"SMITHSON"),
            ("Philips Imaging DD 001", 0x2001, 0x0B, "CS", b"SMITH "),
            ("GEMS_ACQU_01", 0x19, 0x9C, "LO", b"smith_epi2"),
            ("GEMS_IMAG_01", 0x27, 0x60, "FL", b"SMITHSON"),
            ("Image Private Header", 0x65, 0x37, "FD", "SMITHSON.JOH".encode("utf-16-le")),
            ("Image Private Header", 0x65, 0x09, "FD", struct.pack("<d", 20190307.0)),
            ("Philips Imaging DD 001", 0x2001, 0x18, "SL", struct.pack("<i", 20190307)),
            ("GEMS_SERS_01", 0x25, 0x1B, "OB", b"SMITH\0"),
        ],
    )
    def test_what_may_be_an_identity_goes(self, place: Place):
        """Unknown places, wrong representations, names, dates and long numbers are removed."""
        assert clean_private(*place, Context()) is None

    def test_a_known_identifier_goes_though_it_is_a_short_number(self):
        """The hospital number of the study is no b-value."""
        known = KnownIdentities.of(identifiers=["104512"])
        place = ("SIEMENS MR HEADER", 0x19, 0x0C, "IS", b"104512")
        assert clean_private(*place, Context()) == b"104512"
        assert clean_private(*place, Context(known)) is None

    def test_nothing_stays_behind_a_nul(self):
        """A text ends at its first NUL; what follows is left out."""
        value = b"100\0SMITH^JO"
        kept = clean_private("SIEMENS MR HEADER", 0x19, 0x0C, "IS", value, Context())
        assert kept == b"100 "

    def test_big_endian_numbers_are_read_in_their_order(self):
        """An integer that is a date in the file's byte order goes, and only then."""
        value = struct.pack(">i", 20190307)
        place = ("Philips Imaging DD 001", 0x2001, 0x18, "SL", value)
        assert clean_private(*place, Context(big_endian=True)) is None
        assert clean_private(*place, Context(big_endian=False)) == value

    def test_sequences_of_the_list_stay(self):
        """Philips' per-frame sequence stays, an unknown one goes."""
        assert keeps_private_sequence("Philips MR Imaging DD 005", 0x2005, 0x0F)
        assert not keeps_private_sequence("Philips MR Imaging DD 002", 0x2005, 0x32)

    def test_creators_are_known_by_their_whole_name_and_group(self):
        """A name appended to a known creator makes another creator."""
        assert keeps_private_creator("GEMS_PARM_01", 0x43)
        assert not keeps_private_creator("GEMS_PARM_01", 0x45)
        assert not keeps_private_creator("GEMS_PARM_01\\SMITH", 0x43)

    @pytest.mark.samples
    def test_the_list_agrees_with_the_standards(self, samples: Path):
        """Each row that names the standard as its source is in Table E.3.10-1, with its VR."""
        rows = json.loads((samples / "deid" / "safe-private.json").read_text())["rows"]
        standard = {(tag.upper(), creator): vr for tag, creator, vr, *_ in rows}
        own = Path(csa_module_folder() / "private_elements.json").read_text(encoding="utf-8")
        checked = 0
        for creator, elements in json.loads(own)["creators"].items():
            for place, row in elements.items():
                if row["source"].startswith("PS3.15"):
                    group, element = place.split(",")
                    assert standard[f"({group},XX{element})", creator] in row["vr"]
                    checked += 1
        assert checked > 200


def csa_module_folder() -> Path:
    """Return the folder of the vendor tables."""
    from containers.scrub_headers import vendor  # noqa: PLC0415 - its place alone matters

    return Path(vendor.__file__).parent


class TestCsa:
    """Siemens CSA headers."""

    TAGS = (
        (b"NumberOfImagesInMosaic", b"US\0\0", [b"36      \0"]),
        (b"SliceNormalVector", b"FD\0\0", [b"0.1\0", b"-0.2\0", b"0.97\0"]),
        (b"ImaCoilString", b"LO\0\0", [b"HC1-7\0"]),
    )

    def test_a_header_stays_readable(self):
        """The same items are read by nibabel before and after."""
        header = csa2(*self.TAGS)
        cleaned = clean_csa_header(header, NOBODY)
        assert cleaned is not None
        assert nibabel_items(cleaned) == nibabel_items(header)

    def test_names_texts_and_slack_go(self):
        """Unlisted items, bytes behind names and values, and unused bytes are not passed on."""
        header = csa2(
            (b"PatientsSmith", b"LO\0\0", [b"SMITH\0"]),
            (b"B_value\0SMITH", b"IS\0\0", [b"1000\0SMITH"]),
            (b"ImaCoilString", b"LOSM", [b"SMITHSON\0"]),
            (b"ImageHistory", b"LO\0\0", [b"SMITH:JOHN\0"]),
            (b"UsedPatientWeight", b"IS\0\0", [b"81\0"]),
            unused=b"SMIT",
        )
        cleaned = clean_csa_header(header + b"SMITH", NOBODY)
        assert cleaned is not None
        assert b"SMI" not in cleaned
        assert nibabel_items(cleaned) == {"B_value": [1000]}

    @given(st.binary(max_size=600))
    @settings(max_examples=200, deadline=None)
    def test_any_bytes_are_removed_or_cleaned(self, content: bytes):
        """Nothing but a whole header gets through."""
        assert clean_csa_header(content, NOBODY) is None
        assert clean_csa_header(b"SV10\4\3\2\1" + content, NOBODY) is None

    @given(st.data())
    @settings(max_examples=100, deadline=None)
    def test_a_header_cut_anywhere_is_removed(self, data: st.DataObject):
        """A header that ends too early is not understood, so it goes."""
        header = csa2(*self.TAGS)
        end = data.draw(st.integers(0, len(header) - 5))
        assert clean_csa_header(header[:end], NOBODY) is None

    @pytest.mark.samples
    def test_real_headers_keep_their_numbers(self, samples: Path):
        """Of each number that nibabel reads in a kept item, none is changed."""
        checked = 0
        for name, content in series_files(samples):
            if not name.startswith("Siemens"):
                continue
            dataset = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
            for tag in (0x00291010, 0x00291020):
                if tag not in dataset:
                    continue
                before = nibabel_items(bytes(dataset[tag].value))
                cleaned = clean_csa_header(bytes(dataset[tag].value), NOBODY)
                assert cleaned is not None
                after = nibabel_items(cleaned)
                after.pop("MrPhoenixProtocol", None)
                assert after == {each: before[each] for each in after}
                checked += len(after)
        assert checked > 300


class TestProtocolText:
    """The ASCCONV part of Siemens protocols."""

    @staticmethod
    def kept(*lines: str, known: KnownIdentities = NOBODY) -> list[str]:
        """Return the lines that stay of a protocol of these lines."""
        text = "<XProtocol>SMITH\n### ASCCONV BEGIN object=SMITH ###\n" + "\n".join(lines)
        text += "\n### ASCCONV END ###SMITH"
        cleaned = clean_protocol_text(text.encode("latin-1"), known)
        assert cleaned is not None
        content = cleaned.decode("ascii")
        assert content.startswith("\n### ASCCONV BEGIN ###\n")
        assert content.endswith("### ASCCONV END ###\n")
        return content.splitlines()[2:-1]

    @pytest.mark.parametrize(
        "line",
        [
            "sKSpace.lPhaseEncodingLines\t = \t64",
            "sWipMemBlock.alFree[11]\t = \t0x1",
            "sSliceArray.asSlice[3].sPosition.dTra\t = \t-12.5",
            "sTXSPEC.asNucleusInfo[0].lFrequency\t = \t123255863",
            'sCoilSelectMeas.sCoilStringForConversion\t = \t""HC1-7;NC1,2""',
            'tSequenceFileName\t = \t""%SiemensSeq%\\ep2d_bold""',
            'sProtConsistencyInfo.tBaselineString\t = \t""N4_VE11C_LATEST_20160120""',
        ],
    )
    def test_acquisition_lines_stay(self, line: str):
        """What describes the acquisition is kept to the byte."""
        assert self.kept(line) == [line]

    @pytest.mark.parametrize(
        "line",
        [
            'tProtocolName\t = \t""SMITH""',
            'tReferenceImage0\t = \t""1.3.12.2.1107.5.2.43.66044.20190307""',
            "SMITH\t = \t1",
            "sKSpace.SMITH\t = \t1",
            "sSpecPara.lFinalMatrixSizePhase\t = \t20190307",
            "sDiffusion.sFreeDiffusionData.sComment.0\t = \t0x53\t# 'S'",
            "sKSpace.lPhaseEncodingLines\t = \t64 SMITH",
            'tSequenceFileName\t = \t""%CustomerSeq%\\smith_bold""',
            'sCoilElementID.tCoilID\t = \t""SMITH""',
            "lRepetitions\t = \t8134567890",
            "# SMITH",
        ],
    )
    def test_names_dates_and_codes_go(self, line: str):
        """Names in keys, texts and comments, dates as numbers, and character codes are left out."""
        assert self.kept(line) == []

    def test_a_protocol_without_an_end_is_removed(self):
        """What has no end was cut off or is something else."""
        assert clean_protocol_text(b"### ASCCONV BEGIN ###\nlRepetitions = 1\n", NOBODY) is None


class TestGe:
    """GE's protocol block and user-defined data."""

    @staticmethod
    def block(text: bytes) -> bytes:
        """Return a protocol block as the scanner writes it, with name and time."""
        packed = bytearray(gzip.compress(text, mtime=1_550_000_000))
        packed[3] |= 8
        packed[10:10] = b"Ex2339Ser6\0"
        return struct.pack("<I", len(packed)) + bytes(packed)

    def test_numbers_and_defined_values_stay(self):
        """The slice order stays; the series description, the coil's serial, and the clock go."""
        text = b'SLICEORDER "1"\nVIEWORDER "0"\nSEDESC "Smith"\nPLANE "OBLIQUE"\nNOSLC "20190307"\n'
        cleaned = clean_ge_protocol(self.block(text), NOBODY)
        assert cleaned is not None
        length = int.from_bytes(cleaned[:4], "little")
        packed = cleaned[4 : 4 + length]
        assert gzip.decompress(packed) == b'SLICEORDER "1"\nVIEWORDER "0"\nPLANE "OBLIQUE"\n'
        assert packed[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"

    def test_a_bomb_is_removed_without_being_inflated(self):
        """A block that would inflate to 50 MB goes."""
        assert clean_ge_protocol(self.block(b'NOSLC "1"\n' * 5_000_000), NOBODY) is None

    @given(st.binary(max_size=200))
    @settings(max_examples=100, deadline=None)
    def test_any_bytes_are_removed(self, content: bytes):
        """What is no gzip file goes."""
        assert clean_ge_protocol(content, NOBODY) is None

    def test_user_data_keep_two_flags_and_a_number(self):
        """Of all bytes set, the result holds only what dcm2niix reads."""
        block = bytearray(b"SMIT" * 1900)
        struct.pack_into("<H", block, 24, 56)
        struct.pack_into("<f", block, 56, 26.0)
        struct.pack_into("<H", block, 56 + 0x4C + 0x3A, 0xFFFF)
        struct.pack_into("<H", block, 56 + 0x4C + 0x30, 0xFFFF)
        struct.pack_into("<H", block, 56 + 0x4C + 0x394 - 0x8C, 2)
        cleaned = clean_ge_user_data(bytes(block))
        assert cleaned is not None
        places = {at for at, value in enumerate(cleaned) if value}
        assert places == {24, 58, 59, 56 + 0x4C + 0x3B, 56 + 0x4C + 0x30, 56 + 0x4C + 0x394 - 0x8C}
