"""Each degradation of known severity moves the measures that should see it, and the right way.

On phantoms for three seeds always; on the sample images where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from qc import degrade, phantom
from qc.anatomical import measure_anatomical
from qc.diffusion import measure_diffusion
from qc.functional import measure_bold
from qc.images import Image, Volume
from qc.masks import signal_mask
from qc.spatial import air_noise
from tests.builders.quality_images import in_memory

SEEDS = (0, 1, 2)
Values = dict[str, float]


def bold_values(series: Volume) -> Values:
    """Measure a series; every measure must have a value."""
    found = measure_bold(in_memory(series)).measures
    assert not found.undefined
    return {name: float(value) for name, value in found.values.items() if value is not None}


def run(seed: int) -> Volume:
    return phantom.bold_run(20, (32, 32, 14), noise=5.0, seed=seed)


def rising(values: list[float]) -> bool:
    return all(after > before for before, after in pairwise(values))


BOLD_TABLE: tuple[tuple[str, Callable[[Volume, float, int], Volume], tuple[float, ...], str], ...]
BOLD_TABLE = (
    (
        "noise",
        lambda series, sigma, seed: degrade.add_rician_noise(series, sigma, seed + 10),
        (10, 30, 100),
        "tsnr- dvars_nstd+ aqi+ efc+",
    ),
    (
        "ghost",
        lambda series, share, _: degrade.add_ghost(series, share),
        (0.02, 0.05, 0.1),
        "gsr_y+",
    ),
    (
        "shift",
        lambda series, mm, _: degrade.move_frames(
            series, np.array([mm, 0, 0, 0, 0, 0]), (3.0, 3.0, 3.3), 12
        ),
        (0.5, 1.0, 2.0),
        "fd_max+ motion_range+",
    ),
    (
        "drift",
        lambda series, share, _: degrade.add_drift(series, share),
        (0.02, 0.05, 0.1),
        "drift+",
    ),
    (
        "slice dropout",
        lambda series, share, _: degrade.drop_slice(series, share, 8, 15),
        (0.1, 0.3, 0.6),
        "slice_z_max+ dvars_nstd_max+ dvars_peak_ratio+",
    ),
    (
        "spike",
        lambda series, share, _: degrade.add_kspace_spike(series, share, 8, 15),
        (0.01, 0.02, 0.04),
        "kspace_z_max+",
    ),
)  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("row", BOLD_TABLE, ids=[row[0] for row in BOLD_TABLE])
def test_bold_measures_move_the_right_way(
    row: tuple[str, Callable[[Volume, float, int], Volume], tuple[float, ...], str], seed: int
):
    """At every step of severity, from the clean run on."""
    _name, spoil, severities, expected = row
    clean = run(seed)

    found = [bold_values(clean), *(bold_values(spoil(clean, each, seed)) for each in severities)]

    for wanted in expected.split():
        values = [each[wanted[:-1]] for each in found]
        assert rising(values if wanted[-1] == "+" else values[::-1]), (wanted, values)


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_divides_the_temporal_ratio_as_it_must(seed: int):
    """Temporal SNR is 1 / sqrt(1 / tSNR0^2 + s^2), within 10 %, for small noise."""
    clean = run(seed)
    before = bold_values(clean)["tsnr"]

    for share in (0.01, 0.03, 0.1):
        middle = float(np.median(clean[clean > 500]))
        after = bold_values(degrade.add_rician_noise(clean, share * middle, seed + 20))["tsnr"]
        assert after == pytest.approx(1 / np.sqrt(1 / before**2 + share**2), rel=0.1)


@pytest.mark.parametrize("mm", [0.5, 1.0, 2.0])
def test_a_shift_is_its_own_displacement_in_its_frame(mm: float):
    """FD at that frame is the step within 0.1 mm, and the largest."""
    spoilt = degrade.move_frames(run(0), np.array([0, mm, 0, 0, 0, 0]), (3.0, 3.0, 3.3), 12)

    found = bold_values(spoilt)

    assert found["fd_max"] == pytest.approx(mm, abs=0.1)
    assert found["fd_max_frame"] == 12


@pytest.mark.parametrize(("degrees", "mm"), [(1.0, 0.87), (2.0, 1.75)])
def test_a_turn_is_its_arc_on_50_mm(degrees: float, mm: float):
    """FD at that frame within 0.15 mm."""
    turn = np.array([0, 0, 0, 0, 0, np.deg2rad(degrees)])

    found = bold_values(degrade.move_frames(run(1), turn, (3.0, 3.0, 3.3), 9))

    assert found["fd_max"] == pytest.approx(mm, abs=0.15)
    assert found["fd_max_frame"] == 9


@pytest.mark.parametrize(("slice_index", "frame_index"), [(5, 3), (8, 15), (9, 17)])
def test_a_lost_slice_is_named(slice_index: int, frame_index: int):
    """Slice and frame, for a third of the signal; clean runs have none beyond the limit."""
    found = bold_values(degrade.drop_slice(run(2), 0.3, slice_index, frame_index))

    assert (found["slice_z_slice"], found["slice_z_frame"]) == (slice_index, frame_index)
    assert found["slice_z_num"] >= 1
    assert bold_values(run(2))["slice_z_num"] == 0


@pytest.mark.parametrize(("slice_index", "frame_index"), [(5, 3), (8, 15)])
def test_a_spike_in_kspace_is_named(slice_index: int, frame_index: int):
    """Slice and frame, for stripes of a twentieth; clean runs have none beyond the limit."""
    found = bold_values(degrade.add_kspace_spike(run(0), 0.05, slice_index, frame_index))

    assert (found["kspace_z_slice"], found["kspace_z_frame"]) == (slice_index, frame_index)
    assert found["kspace_z_num"] >= 1
    assert bold_values(run(0))["kspace_z_num"] == 0


def anatomical_values(volume: Volume, made: phantom.Head) -> Values:
    """Measure a head with the brain known."""
    brain = np.any(list(made.tissues.values()), axis=0)
    found = measure_anatomical(in_memory(volume, (2.0, 2.0, 2.0)), brain).measures
    return {name: float(value) for name, value in found.values.items() if value is not None}


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_in_a_head(seed: int):
    """SNR, CNR, SNRd and FBER of the unclipped air fall, EFC rises; SNRd halves."""
    made = phantom.head((64, 72, 60))
    found = [
        anatomical_values(degrade.add_rician_noise(made.volume, sigma, seed), made)
        for sigma in (5.0, 10.0, 20.0)
    ]

    for name in ("cjv", "raw_efc", "noise_sigma", "air_sigma"):
        assert rising([each[name] for each in found]), name
    for name in ("snr_wm", "raw_snrd_wm", "raw_snrd_gm", "cnr", "raw_fber", "head_snr"):
        assert rising([each[name] for each in found][::-1]), name
    for before, after in pairwise(found):
        assert before["raw_snrd_wm"] / after["raw_snrd_wm"] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("seed", SEEDS)
def test_shading_and_ghosts_in_a_head(seed: int):
    """The range of shading follows the shading; ghosts fill the air and raise EFC."""
    made = phantom.head((64, 72, 60))
    noisy = degrade.add_rician_noise(made.volume, 10.0, seed)

    shaded = [anatomical_values(degrade.shade(noisy, each), made) for each in (0.1, 0.3, 0.6)]
    ghosts = [
        anatomical_values(degrade.add_ghost(noisy, each, axis=0), made)
        for each in (0.08, 0.1, 0.15)
    ]

    assert rising([each["inu_range"] for each in shaded])
    assert rising([each["efc"] for each in ghosts])
    assert min(each["air_artifacts"] for each in ghosts) > 0.02
    assert anatomical_values(noisy, made)["air_artifacts"] < 0.001


@pytest.mark.parametrize("seed", SEEDS)
def test_blur_widens_the_smoothness_by_its_square(seed: int):
    """FWHM^2 grows by the kernel's FWHM^2, in mm, within 15 %."""
    texture = np.random.default_rng(seed).normal(1000, 100, (72, 72, 72)).astype(np.float32)
    start = degrade.blur(texture, 3.0, (1.0, 1.0, 1.0))
    mask = np.ones(start.shape, bool)
    from qc.spatial import fwhm  # noqa: PLC0415 - this test only

    before = np.mean(np.square(np.array(fwhm(start, mask), float)))
    for width in (2.0, 3.0, 4.0):
        after = np.mean(
            np.square(np.array(fwhm(degrade.blur(start, width, (1, 1, 1)), mask), float))
        )
        assert after - before == pytest.approx(width**2, rel=0.15)


def diffusion_values(data: Volume, values: np.ndarray, vectors: np.ndarray) -> Values:
    found = measure_diffusion(in_memory(data, (2.5, 2.5, 2.5)), values, vectors).measures
    return {name: float(value) for name, value in found.values.items() if value is not None}


@pytest.mark.parametrize("seed", SEEDS)
def test_diffusion_measures_move_the_right_way(seed: int):
    """Noise raises b0_sigma to what was added and lowers SNR, CNR and neighbours' correlation."""
    found = []
    for sigma in (10.0, 20.0, 40.0):
        data, values, vectors = phantom.diffusion_run(noise=sigma, seed=seed)
        found.append(diffusion_values(data, values, vectors))
        assert found[-1]["b0_sigma"] == pytest.approx(sigma, rel=0.1)

    for name in ("b0_snr", "cnr_b1000", "neighbour_correlation"):
        assert rising([each[name] for each in found][::-1]), name


@pytest.mark.parametrize("share", [0.2, 0.4, 0.8])
def test_a_slice_lost_in_diffusion_is_named_with_its_share(share: float):
    """Within 0.05; and a clean run has none."""
    data, values, vectors = phantom.diffusion_run()

    found = diffusion_values(degrade.drop_slice(data, share, 8, 11), values, vectors)

    assert found["slice_dropout_max"] == pytest.approx(share, abs=0.05)
    assert (found["slice_dropout_slice"], found["slice_dropout_frame"]) == (8, 11)
    assert diffusion_values(data, values, vectors)["slice_dropout_num"] == 0


@pytest.mark.parametrize("mm", [1.0, 2.0, 4.0])
def test_a_shift_in_diffusion_is_found(mm: float):
    """Between two volumes of a shell, within a quarter; a still run moves less than 0.3 mm."""
    data, values, vectors = phantom.diffusion_run()
    moved = degrade.move_frames(data, np.array([mm, 0, 0, 0, 0, 0]), (2.5, 2.5, 2.5), 27)

    found = diffusion_values(moved, values, vectors)

    assert found["shell_motion_max"] == pytest.approx(mm, rel=0.25)
    assert diffusion_values(data, values, vectors)["shell_motion_max"] < 0.3


@pytest.mark.samples
@pytest.mark.slow
@pytest.mark.parametrize("row", BOLD_TABLE, ids=[row[0] for row in BOLD_TABLE])
def test_a_real_run_moves_the_right_way(
    row: tuple[str, Callable[[Volume, float, int], Volume], tuple[float, ...], str], bold: Image
):
    """The same table on 20 volumes of 12 slices of a real run; noise relative to its signal."""
    name, spoil, severities, expected = row
    clean = bold.data[:, :, 10:22, :20]
    mask = signal_mask(clean.mean(axis=3), bold.voxel_mm)
    scale = float(np.median(clean[mask])) / 1000 if name == "noise" else 1.0

    found = [bold_values(clean)]
    found += [bold_values(spoil(clean, each * scale, 0)) for each in severities]

    for wanted in expected.split():
        values = [each[wanted[:-1]] for each in found]
        assert rising(values if wanted[-1] == "+" else values[::-1]), (wanted, values)


@pytest.mark.samples
@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_bit_of_noise_in_a_real_head_lowers_its_ratio(seed: int, t1w: Image):
    """From air of a few grey levels on, at every step; halved when noise doubles."""
    volume = t1w.data[::2, ::2, ::2]
    # A corner above the head: the same air whatever the noise.
    air = np.zeros(volume.shape, bool)
    air[:8, :8, -12:] = True
    found = [
        air_noise(volume[air] if not sigma else degrade.add_rician_noise(volume, sigma, seed)[air])
        for sigma in (0.0, 1.0, 2.0, 5.0, 10.0, 20.0)
    ]

    assert rising(found)
    for before, after in pairwise(found[3:]):
        assert after / before == pytest.approx(2.0, abs=0.1)


@pytest.mark.samples
def test_noise_in_a_real_head(t1w: Image):
    """Without a brain: EFC and both noises rise, FBER falls."""
    found = []
    for sigma in (5.0, 10.0, 20.0):
        noisy = degrade.add_rician_noise(t1w.data, sigma, 1)
        measures = measure_anatomical(in_memory(noisy, t1w.voxel_mm), None).measures
        found.append(measures.values)

    for name in ("efc", "noise_sigma", "air_sigma"):
        assert rising([float(each[name] or 0) for each in found]), name
    assert rising([float(each["fber"] or 0) for each in found][::-1])
