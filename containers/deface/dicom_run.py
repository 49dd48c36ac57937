"""Defaces the DICOM series of a session: frames to volumes, cuts to files, each file judged.

A file is handed on only if every one of its frames belongs to a volume that passed. Reports call
a series by its number, and results have names of their own: a file's name may be a person's.
Not here: NIfTI files, the report of the run (``step``).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from containers.archive_catalogs import is_catalog
from containers.contract import REPORT_DIR_NAME, Accounted, BadInputError
from containers.deface.carried import carry_to_magnitude, cut_of_phase, mask_of, outcome_of_phase
from containers.deface.dicom_bytes import DicomBytes, read_bytes
from containers.deface.dicom_headers import Frame, NoFrameError, read_frames
from containers.deface.dicom_output import check_file, defaced_file, file_gates, judge_file
from containers.deface.dicom_pixels import Pixels, read_pixels, volume_bytes
from containers.deface.dicom_stacks import Stack, Volume, stacks_of
from containers.deface.images import HeadImage, is_image, read_head_image, write_file
from containers.deface.page import verdict
from containers.deface.pipeline import Outcome, Settings, Tools, deface
from containers.deface.registration import Reference
from containers.deface.selection import OWN_RESOURCES, known_folders
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.gather import looks_like_dicom

_HEAD_BYTES = 140
_MASKS_DIR_NAME = "masks"
_KNOWN_FOLDER = re.compile(
    r"(sub|ses)-[A-Za-z0-9]+|scans|SCANS|resources|RESOURCES|DICOM|secondary"
)


@dataclass(slots=True)
class DicomResult:
    """What became of the DICOM files of a folder.

    Parameters
    ----------
    outcomes : dict of str to Outcome
        By what reports call a volume.
    left_out : dict of str to str
        Series or kind of file, to why.
    refused : dict of str to str
        What may show a face and could not be judged, to why.
    outputs : dict of str to tuple of str
        Files written, by volume.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    outputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fills: dict[str, float] = field(default_factory=dict)

    def accounted(self) -> Iterator[Accounted]:
        """Yield what went in and what became of it."""
        for shown, outcome in self.outcomes.items():
            if outcome.failed:
                yield Accounted(shown, "failed", verdict(outcome))
            elif shown in self.outputs:
                reason = "" if outcome.has_face else verdict(outcome)
                yield Accounted(shown, "done", reason, self.outputs[shown])
            else:
                yield Accounted(shown, "left-out", "Passed, but withheld with the others.")
        for shown, reason in self.refused.items():
            yield Accounted(shown, "failed", reason)
        for shown, reason in self.left_out.items():
            yield Accounted(shown, "left-out", reason)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A volume with what is to be removed of it, shape (columns, rows, slices)."""

    shown: str
    volume: Volume
    removed: NDArray[np.bool_]
    fill: float


@dataclass(frozen=True, slots=True)
class _Magnitude:
    """A volume of magnitudes: what was removed of it, if it passed, and what was nothing before."""

    volume: Volume
    outcome: Outcome
    removed: NDArray[np.bool_] | None
    empty: NDArray[np.bool_]


def find_dicom(folder: Path) -> list[Path]:
    """Return the DICOM files below a folder, in the order of their paths."""
    found = []
    for path in folder.rglob("*"):
        parts = set(path.relative_to(folder).parts)
        if not path.is_file() or is_image(path) or OWN_RESOURCES & parts or is_catalog(path):
            continue
        with path.open("rb") as stream:
            if looks_like_dicom(stream.read(_HEAD_BYTES)):
                found.append(path)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def deface_dicom(
    paths: Sequence[Path], folder: Path, output_dir: Path, tools: Tools, settings: Settings
) -> DicomResult:
    """Deface all series and write what passed below ``output_dir``.

    Parameters
    ----------
    folder : Path
        The input; what of the files' folders is known to be no name is kept in the result.
    """
    result = DicomResult()
    frames = list(_read_all(paths, result))
    stacks = stacks_of(frames)
    names = dict(zip(map(id, stacks), _names(stacks), strict=True))
    session = _Session(tools, settings, result)
    # The best reference first; phase last, when its magnitude is known.
    for stack in sorted(stacks, key=lambda each: each.rank):
        shown = names[id(stack)]
        if stack.left_out:
            (result.refused if stack.is_refused else result.left_out)[shown] = stack.left_out
            continue
        session.deface_stack(stack, shown)
    targets = _targets(frames, folder)
    _write_all(frames, session.judged, targets, output_dir, result)
    if result.outputs and not all(frame.is_cleaned for frame in frames):
        result.warnings.append(
            "The DICOM headers still hold identities, and the UIDs are those of the originals: "
            "run scrub-headers on the result before anything is shared."
        )
    return result


def _read_all(paths: Sequence[Path], result: DicomResult) -> Iterator[Frame]:
    left_out: Counter[tuple[str, bool]] = Counter()
    for path in paths:
        try:
            yield from read_frames(path)
        except NoFrameError as error:
            left_out[error.reason, error.is_refused] += 1
    for number, ((reason, is_refused), count) in enumerate(sorted(left_out.items()), start=1):
        shown = f"{count} DICOM file{'s' if count > 1 else ''} (kind {number})"
        (result.refused if is_refused else result.left_out)[shown] = reason


def _names(stacks: Sequence[Stack]) -> Iterator[str]:
    """Yield what reports call each stack: the series' number, with a letter where it recurs."""
    numbers = Counter(stack.frames[0].series_number for stack in stacks)
    seen: Counter[int] = Counter()
    for stack in stacks:
        number = stack.frames[0].series_number
        seen[number] += 1
        yield f"series {number}" + (f", part {seen[number]}" if numbers[number] > 1 else "")


@dataclass(slots=True)
class _Session:
    """What the volumes of a run learn from each other; of another study, nothing."""

    tools: Tools
    settings: Settings
    result: DicomResult
    references: dict[str, Reference] = field(default_factory=dict)
    judged: list[_Judged] = field(default_factory=list)
    _magnitudes: list[_Magnitude] = field(default_factory=list)

    def deface_stack(self, stack: Stack, shown: str) -> None:
        """Deface the volumes of a stack, magnitudes first."""
        try:
            pixels = _pixels_of(stack)
        except RefusedFileError as error:
            self.result.refused[shown] = error.reason
            return
        first: Outcome | None = None
        for number, volume in enumerate(stack.volumes, start=1):
            name = f"{shown}, volume {number}" if len(stack.volumes) > 1 else shown
            if volume.is_magnitude:
                outcome = self._deface_magnitude(volume, name, pixels, first)
                first = first or outcome
            else:
                self._deface_phase(volume, name)

    def _deface_magnitude(
        self, volume: Volume, name: str, pixels: Mapping[Path, Pixels], first: Outcome | None
    ) -> Outcome | None:
        study = volume.frames[0].study
        scratch = self.tools.scratch_dir / "volume.nii"
        write_file(scratch, volume_bytes(volume, pixels))
        try:
            image = read_head_image(scratch, name)
        except BadInputError as error:
            self.result.refused[name] = str(error)
            return None
        finally:
            scratch.unlink()
        carried = carry_to_magnitude(image, first, self.tools, self.settings) if first else None
        removed: NDArray[np.bool_] | None = None
        if carried is not None and not carried.outcome.failed:
            outcome, removed = carried.outcome, carried.removed
        else:
            outcome = deface(image, self.tools, self.settings, self.references.get(study))
            if outcome.mask is not None:
                removed = mask_of(outcome)
        self.result.outcomes[name] = outcome
        self.result.warnings += [f"{name}: {note}" for note in image.notes]
        empty = np.asarray(image.stored == image.fill)
        self._magnitudes.append(_Magnitude(volume, outcome, removed, empty))
        if removed is not None and not outcome.failed:
            fill = _intensity(image, volume)
            self.result.fills[name] = fill
            self.judged.append(_Judged(name, volume, removed, fill))
            if outcome.reference is not None and outcome.has_face:
                self.references.setdefault(study, outcome.reference)
        return outcome

    def _deface_phase(self, volume: Volume, name: str) -> None:
        own = [each for each in self._magnitudes if each.volume.has_grid_of(volume)]
        if not own:
            self.result.left_out[name] = (
                "Left out: a phase image or map without a magnitude image on its grid, from which "
                "the face's place would come; it is not part of the result."
            )
            return
        cuts = [each.removed for each in own if each.removed is not None]
        if len(cuts) < len(own) or any(each.outcome.failed for each in own):
            self.result.refused[name] = "Withheld: its magnitude image did not pass."
            return
        removed = cut_of_phase(cuts, [each.empty for each in own])
        self.result.outcomes[name] = outcome_of_phase(removed)
        self.result.fills[name] = 0.0
        self.judged.append(_Judged(name, volume, removed, 0.0))


def _pixels_of(stack: Stack) -> dict[Path, Pixels]:
    found = {}
    for path, frame in {frame.path: frame for frame in stack.frames}.items():
        content = path.read_bytes()
        place = read_bytes(content)
        check_file(place, frame.form)
        found[path] = read_pixels(place, frame.form)
    return found


def _intensity(image: HeadImage, volume: Volume) -> float:
    """Return the intensity that the pipeline's fill stands for."""
    scales = {(frame.slope, frame.intercept) for frame in volume.frames}
    slope, intercept = next(iter(scales)) if len(scales) == 1 else (1.0, 0.0)
    return image.fill * slope + intercept


def _targets(frames: Sequence[Frame], folder: Path) -> dict[Path, PurePosixPath]:
    """Return the path of each result: known folders, and a name by series and order."""
    targets: dict[Path, PurePosixPath] = {}
    seen: Counter[tuple[PurePosixPath, int]] = Counter()
    for frame in sorted(frames, key=lambda each: (each.series_number, each.path)):
        if frame.path in targets:
            continue
        parts = frame.path.relative_to(folder).parent.parts
        parent = PurePosixPath(*known_folders(parts, _KNOWN_FOLDER))
        key = (parent, frame.series_number)
        seen[key] += 1
        name = f"series-{frame.series_number:03d}-{seen[key]:04d}.dcm"
        targets[frame.path] = parent / name
    return targets


def _write_all(
    frames: Sequence[Frame],
    judged: Sequence[_Judged],
    targets: Mapping[Path, PurePosixPath],
    output_dir: Path,
    result: DicomResult,
) -> None:
    """Write every file all of whose frames passed, judge it, and count it to its volumes."""
    by_file: dict[Path, list[tuple[_Judged, int, Frame]]] = defaultdict(list)
    for each in judged:
        for index, frame in enumerate(each.volume.frames):
            by_file[frame.path].append((each, index, frame))
    wanted = Counter(frame.path for frame in frames)
    counts: dict[str, list[int]] = {each.shown: [0, 0] for each in judged}
    written: dict[str, list[str]] = {each.shown: [] for each in judged}
    for path, parts in sorted(by_file.items()):
        if len(parts) < wanted[path]:
            continue  # another of its frames was refused or left out
        target = output_dir / targets[path]
        elements, changed = _write_one(path, parts, target)
        for shown in {each.shown for each, _, _ in parts}:
            counts[shown][0] += elements
            counts[shown][1] += changed
            written[shown].append(target.relative_to(output_dir.parent).as_posix())
    for each in judged:
        outcome = result.outcomes[each.shown]
        gates = (*outcome.gates, *file_gates(*counts[each.shown]))
        result.outcomes[each.shown] = replace(outcome, gates=gates)
        if any(not gate.is_passed for gate in gates):
            _take_back(written.pop(each.shown), output_dir.parent)
        elif len(written[each.shown]) < len({frame.path for frame in each.volume.frames}):
            del result.outcomes[each.shown]
            result.refused[each.shown] = (
                "Withheld: its files hold other images as well that could not be judged."
            )
            _take_back(written.pop(each.shown), output_dir.parent)
        else:
            result.outputs[each.shown] = tuple(written[each.shown])
    forget_taken_back(result, output_dir.parent)
    _write_masks(judged, result, output_dir.parent / REPORT_DIR_NAME / _MASKS_DIR_NAME)


def _write_masks(judged: Sequence[_Judged], result: DicomResult, folder: Path) -> None:
    """Write as NIfTI what was removed from each volume that is handed on."""
    for each in judged:
        if each.shown in result.outputs:
            mask = nib.Nifti1Image(each.removed.astype(np.uint8), each.volume.affine)
            name = f"{each.shown.replace(', ', '_').replace(' ', '-')}_defacemask.nii.gz"
            write_file(folder / name, bytes(mask.to_bytes()))


def _write_one(
    path: Path, parts: Sequence[tuple[_Judged, int, Frame]], target: Path
) -> tuple[int, int]:
    """Write one file and return how many elements and pixels differ that must not."""
    content = path.read_bytes()
    place: DicomBytes = read_bytes(content)
    form = parts[0][2].form
    pixels = read_pixels(place, form)
    removed = np.zeros(pixels.shape, bool)
    fill = np.zeros((form.frames, 1, 1), pixels.dtype)
    for each, index, frame in parts:
        removed[frame.number] = each.removed[:, :, index].T
        number = round((each.fill - frame.intercept) / frame.slope)
        fill[frame.number] = min(max(number, form.least), form.most)
    after = defaced_file(place, form, pixels, removed, fill)
    counts = judge_file(place, after, pixels, removed, fill)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(after)
    return counts


def _take_back(outputs: Sequence[str], root: Path) -> None:
    for output in outputs:
        (root / output).unlink(missing_ok=True)


def forget_taken_back(result: DicomResult, root: Path) -> None:
    """Withdraw all volumes that share a file with one that was taken back, or with such a one."""
    while lost := [
        shown
        for shown, outputs in result.outputs.items()
        if not all((root / output).exists() for output in outputs)
    ]:
        for shown in lost:
            _take_back(result.outputs.pop(shown), root)
            del result.outcomes[shown]
            result.refused[shown] = "Withheld: it shares files with an image that did not pass."
