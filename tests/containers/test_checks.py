"""The checks that the official validator does not make: good trees pass, mutations are caught.

The mutations are those that bids-validator-deno lets pass, and one for each check. Trees by hand
follow the examples of the BIDS specification.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from containers.contract import BadInputError, StepReport, UnsafeOutputError
from containers.dicom_to_bids.bids_files import Finding
from containers.dicom_to_bids.checks import check_report, check_tree, refuse_errors
from containers.dicom_to_bids.identity import SourceIdentity
from containers.dicom_to_bids.validate import validate

FMAP = "sub-01/fmap/sub-01_acq-fm2"
IDENTITY = SourceIdentity(frozenset({"miller", "anna miller", "id-77a193"}))


@pytest.fixture
def tree(converted: tuple[StepReport, Path], tmp_path: Path) -> Path:
    """A copy of the made session's tree that a test may spoil."""
    return Path(shutil.copytree(converted[1] / "bids", tmp_path / "bids"))


def found(root: Path) -> set[str]:
    """Return the names of the checks that found something."""
    return {finding.check for finding in check_tree(root)}


def first(root: Path, pattern: str) -> Path:
    return min(root.rglob(pattern))


def set_keys(path: Path, **keys: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_good_tree_passes(tree: Path) -> None:
    """Nothing is found in what the command makes."""
    assert check_tree(tree, IDENTITY) == ()


def _missing_intended_for(root: Path) -> None:
    set_keys(first(root, "*_phasediff.json"), IntendedFor=["bids::sub-01/func/nothing.nii.gz"])


def _missing_relative_intended_for(root: Path) -> None:
    set_keys(first(root, "*_phasediff.json"), IntendedFor="func/nothing.nii.gz")


def _field_source_of_nothing(root: Path) -> None:
    set_keys(first(root, "*_bold.json"), B0FieldSource="nothing")


def _surplus_participant(root: Path) -> None:
    with (root / "participants.tsv").open("a") as table:
        table.write("sub-99\n")


def _missing_participant(root: Path) -> None:
    (root / "participants.tsv").write_text("participant_id\n")


def _surplus_scan(root: Path) -> None:
    with first(root, "*_scans.tsv").open("a") as table:
        table.write("func/sub-01_task-none_bold.nii.gz\n")


def _missing_scan(root: Path) -> None:
    table = first(root, "*_scans.tsv")
    table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")


def _no_magnitudes(root: Path) -> None:
    removed = [path.name for path in root.rglob("*_magnitude?.nii.gz")]
    for path in root.rglob("*_magnitude?.*"):
        path.unlink()
    table = first(root, "*_scans.tsv")
    lines = [line for line in table.read_text().splitlines() if Path(line).name not in removed]
    table.write_text("\n".join(lines) + "\n")


def _short_gradients(root: Path) -> None:
    table = first(root, "*.bval")
    table.write_text(" ".join(table.read_text().split()[:-1]) + "\n")


def _two_gradient_rows(root: Path) -> None:
    table = first(root, "*.bvec")
    table.write_text("\n".join(table.read_text().splitlines()[:2]) + "\n")


def _named_gzip(root: Path) -> None:
    path = first(root, "*_T1w.nii.gz")
    content = gzip.decompress(path.read_bytes())
    with path.open("wb") as raw, gzip.GzipFile("miller.nii", "wb", 1, raw, mtime=0) as packed:
        packed.write(content)


def _timed_gzip(root: Path) -> None:
    path = first(root, "*_T1w.nii.gz")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1, mtime=1_600_000_000))


def _lost_slice(root: Path) -> None:
    path = first(root, "*_T1w.nii.gz")
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[: -(64 * 64)], 1, mtime=0))


def _commented_image(root: Path) -> None:
    path = first(root, "*_T1w.nii.gz")
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[148:154] = b"miller"
    path.write_bytes(gzip.compress(bytes(content), 1, mtime=0))


def _extended_image(root: Path) -> None:
    path = first(root, "*_T1w.nii.gz")
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[348] = 1
    path.write_bytes(gzip.compress(bytes(content), 1, mtime=0))


MISSED_BY_VALIDATOR = [
    (_missing_intended_for, "intended-for"),
    (_field_source_of_nothing, "b0-field"),
    (_surplus_participant, "table"),
    (_no_magnitudes, "field-map"),
]


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        *MISSED_BY_VALIDATOR,
        (_missing_relative_intended_for, "intended-for"),
        (_missing_participant, "table"),
        (_surplus_scan, "table"),
        (_missing_scan, "table"),
        (_short_gradients, "gradients"),
        (_two_gradient_rows, "gradients"),
        (_named_gzip, "gzip-header"),
        (_timed_gzip, "gzip-header"),
        (_lost_slice, "image"),
        (_commented_image, "image"),
        (_extended_image, "image"),
    ],
)
def test_mutation_is_found(tree: Path, spoil: Callable[[Path], None], check: str) -> None:
    """Each mutation of a good tree is found, by the check it is for."""
    spoil(tree)

    assert check in found(tree)


@pytest.mark.parametrize(("spoil", "check"), MISSED_BY_VALIDATOR)
def test_validator_lets_it_pass(
    tree: Path, tmp_path: Path, spoil: Callable[[Path], None], check: str
) -> None:
    """These four are needed: the official validator has no error for them."""
    spoil(tree)
    (tmp_path / "scratch").mkdir()

    assert validate(tree, tmp_path / "scratch").is_valid
    assert check in found(tree)


def _identity_in_json(root: Path) -> None:
    set_keys(first(root, "*_bold.json"), SequenceName="for Miller")


def _identity_in_nested_json(root: Path) -> None:
    set_keys(first(root, "*_bold.json"), Extra={"a": [{"b": "MILLER"}]})


def _identity_in_table(root: Path) -> None:
    (root / "participants.tsv").write_text("participant_id\tnote\nsub-01\tmiller\n")


def _identity_in_name(root: Path) -> None:
    path = first(root, "*_T1w.nii.gz")
    path.rename(path.with_name("sub-01_acq-miller_T1w.nii.gz"))


def _identity_in_readme(root: Path) -> None:
    (root / "README.md").write_text("measured for ID-77a193")


def _identity_in_page(root: Path) -> None:
    (root / "page.html").write_text("<p>Anna Miller</p>")


@pytest.mark.parametrize(
    "plant",
    [
        _identity_in_json,
        _identity_in_nested_json,
        _identity_in_table,
        _identity_in_name,
        _identity_in_readme,
        _identity_in_page,
        _commented_image,
        _extended_image,
    ],
)
def test_planted_identity_is_found(tree: Path, plant: Callable[[Path], None]) -> None:
    """A name or number of the source is found wherever it stands, and is not repeated."""
    plant(tree)

    findings = check_tree(tree, IDENTITY)

    assert {"identity", "image"} & {finding.check for finding in findings}
    assert "iller" not in " ".join(finding.sentence for finding in findings)
    assert not any("miller" in finding.path for finding in findings if finding.check == "identity")


def test_planted_identity_in_the_report_is_found(tmp_path: Path) -> None:
    """Reports are searched, too."""
    (tmp_path / "account.json").write_text('{"reason": "It is of Anna Miller"}')

    assert [finding.check for finding in check_report(tmp_path, IDENTITY)] == ["identity"]


def test_chosen_label_is_no_leak(tree: Path) -> None:
    """A label that people gave is theirs to choose, and the command has warned them."""
    assert check_tree(tree, SourceIdentity(frozenset({"sub-01", "sub01"}))) == ()


@pytest.mark.parametrize(
    "text",
    ["dwi", "bold", "t1w", "func", "anat", "phasediff", "hz", "001"],
)
def test_words_of_bids_are_no_leak(tree: Path, text: str) -> None:
    """A study described as "DWI", or a patient numbered 001, does not make every name a leak."""
    assert check_tree(tree, SourceIdentity(frozenset({text}))) == ()


def test_digits_within_a_measurement_are_no_leak(tree: Path) -> None:
    """A patient's number that comes in the fraction of a value is chance."""
    set_keys(first(tree, "*_bold.json"), EchoTime=0.0301774193)

    assert check_tree(tree, SourceIdentity(frozenset({"1774193"}))) == ()


def image(root: Path, name: str, **sidecar: object) -> None:
    """Write an image of four voxels with its sidecar."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 1), np.int16), np.eye(4)), path)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), mtime=0))
    Path(str(path).replace(".nii.gz", ".json")).write_text(json.dumps(sidecar))


EPI = "sub-01/fmap/sub-01_dir-{}_epi.nii.gz"


@pytest.mark.parametrize(
    ("directions", "complaints"), [(("j", "j-"), 0), (("j", "j"), 2), (("i", "j-"), 2), (("j",), 1)]
)
def test_spin_echo_maps_need_opposite_directions(
    tmp_path: Path, directions: tuple[str, ...], complaints: int
) -> None:
    """Two maps of one direction, or of different axes, give no field."""
    for number, direction in enumerate(directions):
        image(tmp_path, EPI.format(f"d{number}"), PhaseEncodingDirection=direction)

    assert len(check_tree(tmp_path)) == complaints


def test_one_spin_echo_map_goes_with_what_it_corrects(tmp_path: Path) -> None:
    """One map of the direction opposite to that of its functional image is enough."""
    bold = "sub-01/func/sub-01_task-x_bold.nii.gz"
    image(tmp_path, bold, PhaseEncodingDirection="j-", B0FieldSource="a")
    image(tmp_path, EPI.format("PA"), PhaseEncodingDirection="j", B0FieldIdentifier="a")

    assert check_tree(tmp_path) == ()


@pytest.mark.parametrize(
    ("parts", "is_whole"),
    [
        (("phasediff", "magnitude1"), True),
        (("phasediff", "magnitude1", "magnitude2"), True),
        (("phasediff",), False),
        (("phase1", "phase2", "magnitude1", "magnitude2"), True),
        (("phase1", "magnitude1", "magnitude2"), False),
        (("phase1", "phase2", "magnitude1"), False),
        (("fieldmap", "magnitude"), True),
        (("fieldmap",), False),
    ],
)
def test_field_map_parts(tmp_path: Path, parts: tuple[str, ...], *, is_whole: bool) -> None:
    """The four kinds of field maps need what BIDS 1.10, "Fieldmap data", lists for each."""
    for part in parts:
        image(tmp_path, f"sub-01/fmap/sub-01_{part}.nii.gz")

    assert (check_tree(tmp_path) == ()) == is_whole


def test_parts_of_two_runs_do_not_make_one_map(tmp_path: Path) -> None:
    """A magnitude of another run is none of this one."""
    image(tmp_path, "sub-01/fmap/sub-01_run-1_phasediff.nii.gz")
    image(tmp_path, "sub-01/fmap/sub-01_run-2_magnitude1.nii.gz")

    assert len(check_tree(tmp_path)) == 1


def test_field_of_another_session_does_not_count(tmp_path: Path) -> None:
    """A field is identified within its session: scanners shim anew in each."""
    image(tmp_path, "sub-01/ses-1/fmap/sub-01_ses-1_magnitude1.nii.gz", B0FieldIdentifier="a")
    image(tmp_path, "sub-01/ses-2/func/sub-01_ses-2_task-x_bold.nii.gz", B0FieldSource="a")

    assert found(tmp_path) == {"b0-field"}


def test_sessions_table_is_compared(tmp_path: Path) -> None:
    """A session without a row, and a row without a session, are found."""
    image(tmp_path, "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz")
    (tmp_path / "sub-01/sub-01_sessions.tsv").write_text("session_id\nses-2\n")

    assert [finding.check for finding in check_tree(tmp_path)] == ["table", "table"]


@pytest.mark.parametrize(
    ("check", "is_error", "allow_invalid", "expected"),
    [
        ("table", True, False, BadInputError),
        ("table", True, True, None),
        ("field-map", False, False, None),
        ("identity", True, False, UnsafeOutputError),
        ("identity", True, True, UnsafeOutputError),
    ],
)
def test_what_stops_the_conversion(
    check: str,
    *,
    is_error: bool,
    allow_invalid: bool,
    expected: type[Exception] | None,
) -> None:
    """Errors stop it unless they are allowed; an identity always does; remarks never do."""
    findings = [Finding(check, "a.json", "It is so.", is_error=is_error)]

    if expected is None:
        refuse_errors(findings, allow_invalid=allow_invalid)
    else:
        with pytest.raises(expected):
            refuse_errors(findings, allow_invalid=allow_invalid)
