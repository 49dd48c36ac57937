"""Whether a face recogniser still knows a defaced head among others.

Run: ``.venv/bin/python tests/benchmarks/bench_deface_reid.py MODELS NAME=FILE ... [--morphs N]``

``MODELS`` is the folder of models in the package face_recognition_models (PyPI; CC0), whose
network was made to know people again on photographs. The gallery is a picture of each head's
surface from the front. Probes are the same heads turned by 10 degrees, and the heads defaced; for
these the searcher is given the place of the face in the unchanged head, as no detector finds one.
Smoothly deformed copies of each head (``--morphs``) count as further people: their faces differ by
up to 9 mm. The measure is how often the head's own picture is the nearest of all (rank 1), beside
chance. Few heads: it can show that something is wrong, and not that all is well.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import dlib
import numpy as np
from numpy.typing import NDArray

from containers.deface.face_detector import DETECTOR_PATH
from containers.deface.gates import NORMAL
from containers.deface.images import read_head_image
from containers.deface.pipeline import Settings, Tools, deface
from containers.deface.renders import Surface, surface_level
from containers.deface.template import Grid, load_template
from qc.brain_mask import BrainMaskNetwork
from tests.benchmarks.bench_deface_robust import PARTS, read_head, removed_by, write_changed
from tests.builders.head_changes import ChangedHead, morphed

TURN_DEG = 10.0


@dataclass(frozen=True)
class Person:
    """Embeddings of a head before and after; None where no face was found before."""

    name: str
    gallery: NDArray[np.float64] | None
    turned: NDArray[np.float64] | None
    defaced: NDArray[np.float64] | None
    is_found_after: bool


class Searcher:
    """Detector, landmarks and recogniser."""

    def __init__(self, models: Path) -> None:
        self._detector = dlib.cnn_face_detection_model_v1(str(DETECTOR_PATH))
        self._landmarks = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
        self._network = dlib.face_recognition_model_v1(
            str(models / "dlib_face_recognition_resnet_model_v1.dat")
        )

    def find(self, picture: NDArray[np.uint8]) -> object | None:
        """Return the landmarks of the surest face."""
        found = self._detector(picture, 0)
        if not found:
            return None
        best = max(found, key=lambda each: float(each.confidence))
        return self._landmarks(picture, best.rect)

    def describe(
        self, picture: NDArray[np.uint8], landmarks: object | None
    ) -> NDArray[np.float64] | None:
        """Return the embedding of the face at the landmarks."""
        if landmarks is None:
            return None
        return np.array(self._network.compute_face_descriptor(picture, landmarks))


def _picture(head: ChangedHead, volume: NDArray[np.float32], angle_deg: float) -> NDArray[np.uint8]:
    grid = Grid(head.volume.shape, head.voxel_mm, (0.0, 0.0, 0.0))
    view = Surface(volume, grid, surface_level(head.volume)).view(angle_deg)
    return np.ascontiguousarray(np.repeat(view[..., None], 3, axis=2))


def _person(name: str, head: ChangedHead, searcher: Searcher) -> Person:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.nii"
        stored = write_changed(path, head)
        tools = Tools(load_template(), BrainMaskNetwork(), Path(folder))
        outcome = deface(read_head_image(path, name), tools, Settings(NORMAL))
    if outcome.mask is None:
        raise SystemExit(f"{name} was refused")
    after = np.where(removed_by(outcome.mask, stored, head), 0, head.volume).astype(np.float32)
    front = _picture(head, head.volume, 0.0)
    side = _picture(head, head.volume, TURN_DEG)
    left = _picture(head, after, 0.0)
    place = searcher.find(front)
    return Person(
        name,
        searcher.describe(front, place),
        searcher.describe(side, searcher.find(side)),
        searcher.describe(left, place),
        searcher.find(left) is not None,
    )


def _rank_one(people: list[Person], kind: str) -> tuple[int, int]:
    known = [each for each in people if each.gallery is not None]
    gallery = np.array([each.gallery for each in known])
    hits = asked = 0
    for index, each in enumerate(known):
        probe = getattr(each, kind)
        if probe is None:
            continue
        asked += 1
        hits += int(np.linalg.norm(gallery - probe, axis=1).argmin() == index)
    return hits, asked


def main() -> None:
    """Describe all heads and print how often each is known again."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", type=Path)
    parser.add_argument("heads", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--morphs", type=int, default=0)
    asked = parser.parse_args()
    searcher = Searcher(asked.models)
    people = []
    for name, _, path in (each.partition("=") for each in asked.heads):
        head = read_head(Path(path), PARTS[name], 1.7)
        for morph in range(asked.morphs + 1):
            changed = morphed(morph)(head) if morph else head
            people.append(_person(f"{name}~{morph}", changed, searcher))
    known = sum(each.gallery is not None for each in people)
    print(
        f"{known} of {len(people)} faces found before, "
        f"{sum(each.is_found_after for each in people)} after"
    )
    for kind, words in (("turned", "turned by 10 degrees"), ("defaced", "defaced")):
        hits, count = _rank_one(people, kind)
        print(f"{words:22} known again {hits} of {count}; by chance {count / max(known, 1):.1f}")


if __name__ == "__main__":
    main()
