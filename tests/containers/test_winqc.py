"""The step winqc on folders: every image accounted once, equal bytes, no crash, no NaN."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from containers.contract import BadInputError, ExitCode, StepInput, StepReport

pytest.importorskip("PIL", reason="winxnat[winqc] is not installed here")

from containers.winqc.step import run
from qc import phantom
from tests.builders.bids_conversion import all_bytes
from tests.builders.quality_images import write_nifti


def measure(folder: Path, work: Path, **parameters: str) -> tuple[StepReport, Path]:
    output, scratch = work / "output", work / "scratch"
    output.mkdir(parents=True)
    scratch.mkdir()
    given = {"modality": "auto", "defaced": "unknown", **parameters}
    return run(StepInput("winqc", folder, output, scratch, given)), output


def records(output: Path) -> dict[str, dict[str, object]]:
    """Return all records; a NaN in one is an error."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    return {
        path.name: json.loads(path.read_text(), parse_constant=refuse)
        for path in sorted((output / "qc").glob("*.json"))
    }


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """A BIDS tree as a session's folder holds it: BOLD with a sidecar, DWI, a head, others."""
    root = tmp_path / "input" / "RESOURCES" / "BIDS" / "sub-01" / "ses-02"
    series = phantom.bold_run(12, (32, 32, 12), noise=5.0)
    write_nifti(root / "func" / "sub-01_ses-02_task-rest_bold.nii.gz", series.astype(np.int16))
    sidecar = {"EchoTime": 0.03, "InstitutionName": "QQPLANTED", "ProtocolName": "QQPLANTED"}
    (root / "func" / "sub-01_ses-02_task-rest_bold.json").write_text(json.dumps(sidecar))
    data, values, vectors = phantom.diffusion_run((28, 28, 12), directions=12)
    stem = root / "dwi" / "sub-01_ses-02_dwi"
    write_nifti(stem.with_suffix(".nii.gz"), data, (2.5, 2.5, 2.5))
    stem.with_suffix(".bval").write_text(" ".join(map(str, values)))
    stem.with_suffix(".bvec").write_text("\n".join(" ".join(map(str, row)) for row in vectors.T))
    head = phantom.head((40, 44, 40)).volume
    write_nifti(root / "anat" / "sub-01_ses-02_T2w.nii.gz", head, (4.0, 4.0, 4.0))
    write_nifti(root / "fmap" / "sub-01_ses-02_magnitude1.nii.gz", head)
    write_nifti(tmp_path / "input" / "SCANS" / "QQPLANTED.nii", head)
    return tmp_path / "input"


def test_every_image_is_accounted_once(session: Path, tmp_path: Path):
    """Three are measured, a field map and a file of another name left out with reasons."""
    report, output = measure(session, tmp_path / "work")

    outcomes = {row.subject: row.outcome for row in report.accounted}
    assert outcomes == {
        "sub-01_ses-02_T2w": "done",
        "sub-01_ses-02_dwi": "done",
        "sub-01_ses-02_magnitude1": "left-out",
        "sub-01_ses-02_task-rest_bold": "done",
        "image-5": "left-out",
    }
    assert all(row.reason for row in report.accounted if row.outcome != "done")
    found = records(output)
    assert list(found) == [
        "sub-01_ses-02_desc-winqc_T2w.json",
        "sub-01_ses-02_desc-winqc_dwi.json",
        "sub-01_ses-02_task-rest_desc-winqc_bold.json",
    ]
    assert len((output / "qc" / "winqc.tsv").read_text().splitlines()) == 4


def test_the_log_says_which_image_is_at_hand_and_why_one_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """One line for each image as it is taken up; names that follow no rule are not repeated."""
    folder = tmp_path / "input"
    folder.mkdir()
    for name in ("sub-01_bold.nii", "sub-01_magnitude1.nii.gz", "QQPLANTED.nii"):
        (folder / name).write_bytes(b"no image")

    measure(folder, tmp_path / "work")

    assert capsys.readouterr().err.splitlines() == [
        (
            "Image 1 of 3: image-1 is left out. Its name does not end with _T1w, _T2w, _bold or "
            "_dwi. Rename it, or set modality."
        ),
        "Image 2 of 3: measuring sub-01_bold.",
        (
            "Image 3 of 3: sub-01_magnitude1 is left out. winqc measures T1w, T2w, bold and dwi; "
            "this image is none of them."
        ),
    ]


def test_a_project_is_measured_by_its_bids_resources(tmp_path: Path):
    """As XNAT mounts a project: other resources are left alone, sessions without BIDS counted."""
    archive = tmp_path / "input" / "arc001"
    series = phantom.bold_run(4, (24, 24, 10), noise=5.0).astype(np.int16)
    for label in ("E1", "E2"):
        name = f"sub-{label}_task-rest_bold.nii.gz"
        for resource in ("BIDS", "DEFACED"):
            folder = archive / label / "RESOURCES" / resource / f"sub-{label}" / "func"
            write_nifti(folder / name, series)
    write_nifti(archive / "E3" / "SCANS" / "4" / "NIFTI" / "QQPLANTED_bold.nii.gz", series)
    (tmp_path / "input" / "resources" / "WINQC").mkdir(parents=True)
    foreign = write_nifti(tmp_path / "P2" / "sub-E4" / "anat" / "sub-E4_T2w.nii.gz", series[..., 0])
    (archive / "E4" / "RESOURCES").mkdir(parents=True)
    (archive / "E4" / "RESOURCES" / "BIDS").symlink_to(foreign.parents[2])

    report, output = measure(tmp_path / "input", tmp_path / "work")

    assert [(row.subject, row.outcome) for row in report.accounted] == [
        ("sub-E1_task-rest_bold", "done"),
        ("sub-E2_task-rest_bold", "done"),
    ]
    assert (report.facts["sessions"], report.facts["sessions_without_bids"]) == (2, 2)
    assert "without a BIDS resource, not measured: 2" in report.summary
    lines = (output / "qc" / "winqc.tsv").read_text().splitlines()
    assert [line.partition("\t")[0] for line in lines[1:]] == [
        row.subject for row in report.accounted
    ]
    group = (output / "qc" / "group.html").read_text()
    assert 'href="sub-E2_task-rest_desc-winqc_bold.html"' in group
    assert not [name for name, content in all_bytes(output).items() if b"QQPLANTED" in content]


def test_equal_names_of_two_sessions_are_told_apart(tmp_path: Path):
    """Two sessions that were given the same BIDS labels: two rows, two records."""
    series = phantom.bold_run(4, (24, 24, 10), noise=5.0).astype(np.int16)
    for number, label in enumerate(("E1", "E2"), 1):
        folder = tmp_path / "input" / "arc001" / label / "RESOURCES" / "BIDS" / "sub-1" / "func"
        write_nifti(folder / "sub-1_task-rest_bold.nii.gz", series * number)

    report, output = measure(tmp_path / "input", tmp_path / "work")

    names = [row.subject for row in report.accounted]
    assert names == ["sub-1_task-rest_bold", "image-2"]
    digests = {one["provenance"]["input_sha256"] for one in records(output).values()}
    assert len(digests) == 2


def test_a_project_without_bids_is_bad_input(tmp_path: Path):
    """The sentence says how many sessions have one: none."""
    (tmp_path / "input" / "arc001" / "E1" / "SCANS").mkdir(parents=True)

    with pytest.raises(BadInputError, match="0 sessions that have one"):
        measure(tmp_path / "input", tmp_path / "work")


def test_a_record_says_what_it_is(session: Path, tmp_path: Path):
    """Software, heading, digests, defacing; each null has a reason, each measure a definition."""
    from qc.definitions import definition_of  # noqa: PLC0415 - this test only

    _, output = measure(session, tmp_path / "work", defaced="yes")

    for record in records(output).values():
        about = record["provenance"]
        assert about["software"] == "winqc"
        assert about["heading"] == "winqc, not MRIQC"
        assert about["defaced"] is True
        assert len(about["input_sha256"]) == 64
        assert about["mask_sha256"]
        measures = {
            k: v for k, v in record.items() if k not in {"bids_meta", "provenance", "undefined"}
        }
        assert {name for name, value in measures.items() if value is None} == set(
            record["undefined"]
        )
        assert all(definition_of(name).meaning for name in measures)
    bold = records(output)["sub-01_ses-02_task-rest_desc-winqc_bold.json"]
    assert bold["size_t"] == 12
    assert bold["bids_meta"]["EchoTime"] == 0.03
    dwi = records(output)["sub-01_ses-02_desc-winqc_dwi.json"]
    assert dwi["directions_num"] == 12


def test_no_text_of_a_sidecar_or_file_name_comes_out(session: Path, tmp_path: Path):
    """A planted word is in no output."""
    _, output = measure(session, tmp_path / "work")

    assert not [name for name, content in all_bytes(output).items() if b"QQPLANTED" in content]


def test_equal_input_gives_equal_bytes(session: Path, tmp_path: Path):
    """Two runs: every file of the result is the same."""
    _, first = measure(session, tmp_path / "one")
    _, second = measure(session, tmp_path / "two")

    assert all_bytes(first) == all_bytes(second)


def test_pages_ask_for_nothing_from_elsewhere(session: Path, tmp_path: Path):
    """A strict policy, pictures inside, no script and no address."""
    _, output = measure(session, tmp_path / "work")

    pages = [*(output / "qc").glob("*.html"), output / "report" / "report.html"]
    assert len(pages) == 4
    for page in pages:
        text = page.read_text()
        assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in text
        assert "winqc, not MRIQC" in text
        assert "http" not in text.replace("http-equiv", "")
        assert "<script" not in text


def spoilt_images() -> dict[str, tuple[np.ndarray, tuple[float, float, float]]]:
    """Images that tools stumble over, by a word for each."""
    run_of_ten = phantom.bold_run(10, (24, 24, 10), noise=5.0)
    head = phantom.head((40, 44, 40)).volume
    broken = run_of_ten.copy()
    broken[3, 4, 5, 6], broken[1, 1, 1, 1], broken[2, 2, 2, 2] = np.nan, np.inf, -np.inf
    masked = np.where(run_of_ten > 300, run_of_ten, 0)
    frozen = np.repeat(run_of_ten[..., :1], 10, axis=3)
    blank = run_of_ten.copy()
    blank[..., 4] = 0
    mm = (3.0, 3.0, 3.3)
    return {
        "zero": (np.zeros((12, 12, 12, 6), np.float32), mm),
        "constant": (np.full((12, 12, 12, 6), 7, np.int16), mm),
        "onevolume": (run_of_ten[..., 0], mm),
        "oneslice": (run_of_ten[:, :, 5:6], mm),
        "twovolumes": (run_of_ten[..., :2], mm),
        "onevoxel": (np.ones((1, 1, 1, 5), np.float32), mm),
        "onerow": (np.ones((64, 1, 1, 5), np.float32), mm),
        "bytes": (np.round(run_of_ten / 8).clip(0, 255).astype(np.uint8), mm),
        "nan": (broken, mm),
        "allnan": (np.full((9, 9, 9, 4), np.nan, np.float32), mm),
        "zeroed": (masked, mm),
        "negative": (-run_of_ten, mm),
        "huge": (run_of_ten * 1e30, mm),
        "tiny": (run_of_ten * 1e-30, mm),
        "frozen": (frozen, mm),
        "blankframe": (blank, mm),
        "smallvoxels": (run_of_ten, (0.1, 0.1, 0.1)),
        "largevoxels": (run_of_ten, (8.0, 8.0, 8.0)),
        "fiveaxes": (np.ones((4, 4, 4, 2, 3), np.float32), mm),
        "twoaxes": (np.ones((16, 16), np.float32), mm),
        "head": (head, (4.0, 4.0, 4.0)),
        "stripped": (np.where(head >= 700, head, 0), (4.0, 4.0, 4.0)),
        "faceless": (np.where(np.arange(44)[None, :, None] > 30, 0, head), (4.0, 4.0, 4.0)),
        "noise": (np.random.default_rng(0).normal(0, 1, (16, 16, 16, 6)).astype(np.float32), mm),
    }


@pytest.mark.filterwarnings("ignore::RuntimeWarning:nibabel")
@pytest.mark.parametrize("kind", ["bold", "dwi", "T1w", "T2w"])
def test_odd_images_crash_nothing(kind: str, tmp_path: Path):
    """Each odd image is measured or failed with a reason; no record has a NaN or a -1."""
    images = spoilt_images()
    for name, (data, voxel_mm) in images.items():
        path = tmp_path / "input" / f"sub-{name}_{kind}.nii.gz"
        write_nifti(path, data, voxel_mm)
        frames = data.shape[3] if data.ndim == 4 else 1
        vectors = np.random.default_rng(1).normal(size=(3, frames))
        path.with_name(f"sub-{name}_{kind}.bval").write_text(
            " ".join(["0", *["1000"] * (frames - 1)])
        )
        path.with_name(f"sub-{name}_{kind}.bvec").write_text(
            "\n".join(" ".join(f"{v:.4f}" for v in row) for row in vectors)
        )
    oblique = np.array(
        [[2.0, 1.5, 0.1, -30], [-1.5, 2.0, 0.4, 20], [0.1, -0.5, 3.0, -40], [0, 0, 0, 1.0]]
    )
    write_nifti(
        tmp_path / "input" / f"sub-oblique_{kind}.nii.gz", images["head"][0], affine=oblique
    )
    whole = (tmp_path / "input" / f"sub-head_{kind}.nii.gz").read_bytes()
    (tmp_path / "input" / f"sub-cut_{kind}.nii.gz").write_bytes(whole[: len(whole) // 2])
    plain = gzip.decompress(whole)
    (tmp_path / "input" / f"sub-cutplain_{kind}.nii").write_bytes(plain[: len(plain) // 2])
    (tmp_path / "input" / f"sub-text_{kind}.nii").write_text("no image")
    (tmp_path / "input" / f"sub-empty_{kind}.nii.gz").write_bytes(b"")

    report, output = measure(tmp_path / "input", tmp_path / "work")

    outcomes = {row.subject: row.outcome for row in report.accounted}
    assert len(outcomes) == len(images) + 5
    failed = {name.split("_")[0][4:] for name, outcome in outcomes.items() if outcome == "failed"}
    assert failed == {"cut", "cutplain", "text", "empty", "fiveaxes", "twoaxes"}
    assert not [row for row in report.accounted if "fault of the program" in row.reason]
    assert len(records(output)) == len(images) - 1
    assert not [
        (name, key)
        for name, record in records(output).items()
        for key, value in record.items()
        if value == -1 or (isinstance(value, float) and not np.isfinite(value))
    ]


def test_nothing_readable_is_bad_input(tmp_path: Path):
    """The account is handed on, and the exit code says that the input is bad."""
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "sub-01_bold.nii").write_bytes(b"no image")

    report, _ = measure(tmp_path / "input", tmp_path / "work")

    assert report.exit_code is ExitCode.BAD_INPUT
    assert [row.outcome for row in report.accounted] == ["failed"]


def test_a_folder_without_images_is_refused(tmp_path: Path):
    """With a sentence that says what to do."""
    (tmp_path / "input").mkdir()

    with pytest.raises(BadInputError, match="Convert the session to BIDS"):
        measure(tmp_path / "input", tmp_path / "work")


def test_other_names_are_measured_as_told(tmp_path: Path):
    """With modality=bold a file of any name is a run, under a number."""
    series = phantom.bold_run(8, (24, 24, 10), noise=5.0)
    write_nifti(tmp_path / "input" / "QQPLANTED.nii.gz", series)

    report, output = measure(tmp_path / "input", tmp_path / "work", modality="bold")

    assert [row.subject for row in report.accounted] == ["image-1_bold"]
    assert list(records(output)) == ["image-1_desc-winqc_bold.json"]
