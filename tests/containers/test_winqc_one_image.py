"""One image and the files beside it: memory, sidecar, b-values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL", reason="winxnat[winqc] is not installed here")

from containers.winqc.find import Found
from containers.winqc.memory import check_memory
from containers.winqc.one_image import Result, measure_file
from qc import phantom
from qc.images import Extent, UnreadableImageError
from tests.builders.quality_images import write_nifti


def measured(path: Path, modality: str) -> Result:
    """Measure a file without the network that finds brains."""
    found = Found(path, path.name.partition(".")[0], modality)
    return measure_file(found, defaced=None, brain_of=lambda _image: "Not asked.", memory_gb=2.0)


def about(result: Result) -> Any:
    """Return a record's provenance."""
    return result.record["provenance"]


@pytest.mark.parametrize(
    ("modality", "shape", "bytes_per_value", "memory_gb", "is_taken"),
    [
        ("T1w", (192, 256, 256), 2, 6.0, True),
        ("T1w", (600, 600, 600), 2, 6.0, False),
        ("T1w", (600, 600, 600), 2, 30.0, True),
        ("T1w", (128, 128, 64, 100), 2, 6.0, True),
        ("bold", (80, 80, 35, 156), 2, 1.0, True),
        ("bold", (104, 90, 72, 1200), 4, 6.0, False),
        ("dwi", (140, 140, 80, 100), 8, 6.0, True),
    ],
)
def test_an_image_that_needs_more_memory_than_there_is_is_refused(
    modality: str, shape: tuple[int, ...], bytes_per_value: int, memory_gb: float, *, is_taken: bool
):
    """Usual ones fit into the container's 6 GB; the sentence names both numbers."""
    frames = shape[3] if len(shape) == 4 else 1
    extent = Extent(int(np.prod(shape)), frames, bytes_per_value)

    if is_taken:
        check_memory(modality, extent, memory_gb)
        return
    with pytest.raises(UnreadableImageError, match=rf"{memory_gb} GB may be used"):
        check_memory(modality, extent, memory_gb)


@pytest.mark.parametrize(
    ("sidecar", "spacing_tr", "words"),
    [
        ('{"RepetitionTime": 2.5}', 2.5, "the sidecar's"),
        ('{"RepetitionTime": "2.5"}', None, None),
        ('{"RepetitionTime": true}', None, None),
        ('{"RepetitionTime": NaN}', None, None),
        ("[2.5]", None, "sidecar cannot be read"),
        ('{"RepetitionTime": 2', None, "sidecar cannot be read"),
        ("[" * 100_000, None, "sidecar cannot be read"),
        (None, None, "no JSON sidecar"),
    ],
)
def test_the_time_between_volumes_comes_from_the_sidecar_where_the_header_has_none(
    sidecar: str | None, spacing_tr: float | None, words: str | None, tmp_path: Path
):
    """A sidecar that is broken or says nonsense changes nothing else."""
    path = write_nifti(tmp_path / "sub-1_bold.nii", np.zeros((6, 6, 6, 3), np.float32))
    content = bytearray(path.read_bytes())
    content[92:96] = bytes(4)
    path.write_bytes(content)
    if sidecar is not None:
        path.with_suffix(".json").write_text(sidecar)

    result = measured(path, "bold")

    assert result.record["spacing_tr"] == spacing_tr
    assert json.dumps(result.record, allow_nan=False)
    assert words is None or any(words in note for note in about(result)["notes"])


def test_header_and_sidecar_that_differ_in_time_are_said(tmp_path: Path):
    """The header's is given: it is part of what was measured."""
    path = write_nifti(tmp_path / "sub-1_bold.nii", np.zeros((6, 6, 6, 3), np.float32))
    content = bytearray(path.read_bytes())
    content[92:96] = np.array([2.0], "<f4").tobytes()
    path.write_bytes(content)
    path.with_suffix(".json").write_text('{"RepetitionTime": 3.0}')

    result = measured(path, "bold")

    assert result.record["spacing_tr"] == 2.0
    assert any("differ in the time" in note for note in about(result)["notes"])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (".bval", None, "There is no file of b-values (.bval) beside the image."),
        (".bval", "a b", "The file of b-values (.bval) cannot be read as a table of numbers."),
        (".bval", "0 nan", "The file of b-values (.bval) cannot be read as a table of numbers."),
        (".bval", "0 1000", "It has 14 volumes and 2 b-values."),
        (".bvec", None, "There is no file of directions (.bvec) beside the image."),
        (".bvec", "1 0\n0 1\n0 0\n", "It has 14 volumes and 2 directions; they are not used."),
    ],
)
def test_tables_beside_a_diffusion_series_that_cannot_be_used_are_named(
    name: str, content: str | None, words: str, tmp_path: Path
):
    """Absent, unreadable or of another length: each is another sentence."""
    data, values, vectors = phantom.diffusion_run((20, 20, 10), directions=12)
    path = write_nifti(tmp_path / "sub-1_dwi.nii", data, (2.5, 2.5, 2.5))
    path.with_suffix(".bval").write_text("\ufeff" + " ".join(map(str, values)), encoding="utf-8")
    path.with_suffix(".bvec").write_text("\n".join(" ".join(map(str, row)) for row in vectors.T))
    path.with_suffix(name).unlink()
    if content is not None:
        path.with_suffix(name).write_text(content)

    result = measured(path, "dwi")

    assert any(words in note for note in about(result)["notes"])
    assert result.thumbnail is not None


def test_why_there_is_no_brain_is_the_reason_of_each_measure_of_tissues(tmp_path: Path):
    """Not only a note: whoever reads one measure learns it too."""
    path = write_nifti(tmp_path / "sub-1_T1w.nii", phantom.head((24, 24, 24)).volume)

    result = measured(path, "T1w")

    reasons: Any = result.record["undefined"]
    assert {reasons[name] for name in ("cjv", "cnr", "icvs_gm", "raw_fber")} == {"Not asked."}


@pytest.mark.parametrize(("frames", "is_known"), [(5, False), (12, True)])
def test_few_volumes_have_no_standardised_dvars(frames: int, *, is_known: bool, tmp_path: Path):
    """Quartiles of five volumes may lie anywhere; the plain change is known all the same."""
    series = phantom.bold_run(frames, (24, 24, 10), noise=5.0)
    path = write_nifti(tmp_path / "sub-1_bold.nii", series)

    record = measured(path, "bold").record

    assert (record["dvars_std"] is not None, record["dvars_vstd"] is not None) == (is_known,) * 2
    assert record["dvars_nstd"] is not None
