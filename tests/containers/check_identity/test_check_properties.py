"""Whatever is planted wherever is found; whatever bytes come, the check ends with a verdict."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import tempfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from containers.check_identity import (
    CheckSettings,
    KnownKind,
    KnownString,
    KnownStrings,
    Status,
    check_tree,
)
from containers.check_identity.search.matcher import WINDOW_BYTES, Matcher, Region
from tests.builders.identity_files import (
    clean_dicom,
    dicom_bytes,
    edf_bytes,
    fif_bytes,
    gzip_bytes,
    nifti_bytes,
    png_bytes,
)

QUICK = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ENCODERS = {
    "utf-8": lambda text: text.encode(),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "utf-32-le": lambda text: text.encode("utf-32-le"),
    "upper": lambda text: text.upper().encode(),
    "hex": lambda text: text.encode().hex().encode(),
    "percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()).encode(),
    "json": lambda text: "".join(f"\\u{ord(each):04X}" for each in text).encode(),
    "html": lambda text: "".join(f"&#x{ord(each):X};" for each in text).encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
}


def _zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", data)
    return out.getvalue()


PACKERS = {
    "plain": (".txt", lambda data: data),
    "gzip": (".gz", gzip.compress),
    "bzip2": (".bz2", bz2.compress),
    "xz": (".xz", lzma.compress),
    "zip": (".zip", _zipped),
    "zlib in a binary": (".bin", lambda data: b"\0\1\2" * 9 + zlib.compress(data)),
}
TOKENS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", min_size=8, max_size=14)


@QUICK
@given(
    TOKENS,
    st.sampled_from(sorted(ENCODERS)),
    st.lists(st.sampled_from(sorted(PACKERS)), min_size=1, max_size=3),
    st.integers(0, 300),
)
def test_token_in_any_encoding_and_packing_is_found(
    token: str, encoding: str, packings: list[str], offset: int
) -> None:
    """A random name, encoded, set at a random place and packed up to three times, is found."""
    data = b" " * offset + ENCODERS[encoding](token) + b" and more text to pack\n" * 3
    for packing in packings:
        suffix, pack = PACKERS[packing]
        data = pack(data)
    known = KnownStrings.of([KnownString(KnownKind.NAME, token)])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"x{suffix}").write_bytes(data)

        result = check_tree(Path(folder), known)

    assert result.outcome(8).status is Status.FAIL


@pytest.mark.parametrize("shift", range(-12, 3))
def test_token_across_the_edge_of_a_window_is_found_once(shift: int) -> None:
    """The windows overlap so that no place is missed, and none is counted twice."""
    matcher = Matcher(KnownStrings.of([KnownString(KnownKind.NAME, "Zqxpcjlv")]))
    before = WINDOW_BYTES + shift
    data = b"." * before + b"zqxpcjlv" + b"." * 99

    scan = matcher.scan(io.BytesIO(data), (), Region.BINARY)

    assert [(hit.start, hit.end) for hit in scan.hits] == [(before, before + 8)]


SEEDS = {
    "x.dcm": dicom_bytes(clean_dicom()),
    "x.nii": nifti_bytes(),
    "x.nii.gz": gzip_bytes(nifti_bytes()),
    "x.edf": edf_bytes(),
    "x.fif": fif_bytes(his_id="a"),
    "x.png": png_bytes((b"zTXt", b"C\0\0" + zlib.compress(b"a" * 50))),
    "x.zip": _zipped(b"x" * 200),
    "x.json": json.dumps({"a": {"b": [1, "c"]}}).encode(),
    "x.tsv": b"participant_id\tage\nsub-01\t33\n",
    "x.vhdr": b"Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n",
    "x.con": bytes(range(256)),
}
KNOWN = KnownStrings.of([KnownString(KnownKind.NAME, "Zqxpcjlv")])


@QUICK
@given(
    st.sampled_from(sorted(SEEDS)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8),
    st.floats(0, 1),
)
@example("x.dcm", [], 0.5)
def test_damaged_files_give_a_verdict(
    name: str, changes: list[tuple[int, int]], kept: float
) -> None:
    """Changed and cut files never end the check, and cut ones are not all called read."""
    data = bytearray(SEEDS[name])
    for place, value in changes:
        data[place % len(data)] = value
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data[: int(len(data) * kept)])

        result = check_tree(Path(folder), KNOWN)

    assert result.file_count == 1
    assert result.outcome(26).status is not Status.NOT_APPLICABLE


@pytest.mark.parametrize("name", ["x.dcm", "x.nii", "x.nii.gz", "x.zip", "x.png"])
def test_no_cut_file_is_clean(name: str) -> None:
    """At 20 places of cutting, a file that lacks its end is never called clean."""
    data = SEEDS[name]
    for step in range(20):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).write_bytes(data[: len(data) * step // 20])

            assert not check_tree(Path(folder), KNOWN).is_clean


def test_bomb_is_unknown_and_bounded(tmp_path: Path) -> None:
    """What unpacks beyond the limit is not unpacked further, and is not known to be safe."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(gzip.compress(b"\0" * (50 << 20))))

    result = check_tree(tmp_path, KNOWN, settings=CheckSettings(max_unpacked_bytes=1 << 20))

    assert result.outcome(26).status is Status.UNKNOWN
    assert result.bytes_searched < 4 << 20


def test_archives_too_deep_are_unknown(tmp_path: Path) -> None:
    """Deeper than the limit, archives within archives are not known to be safe."""
    data = b"x"
    for _ in range(9):
        data = _zipped(data)
    (tmp_path / "a.zip").write_bytes(data)

    result = check_tree(tmp_path, KNOWN)

    assert result.outcome(26).status is Status.UNKNOWN
