"""Looks for faces on pictures of a head's surface, as somebody with the image could.

The detector was trained on photographs and knows nothing of the template, of the fits or of the
brain, so what it says is independent of all that led to a cut. Not here: the pictures
(``renders``), which of them are searched (``looks``), what follows from a face (``gates``).

References
----------
King, "Max-Margin Object Detection", arXiv:1502.00046; the network is dlib's
``mmod_human_face_detector``. Licence and origin: ``data/face_detector.LICENCE``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import dlib
import numpy as np
from numpy.typing import NDArray

from containers.contract import ToolFailedError

DETECTOR_PATH = Path(__file__).parent / "data" / "face_detector.dat"
DETECTOR_SHA256 = "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6"

VIEWS_DEG = (0.0, 20.0, -20.0, 35.0, -35.0)
"""Turns to the side of the pictures that are searched."""


@dataclass(frozen=True, slots=True)
class Sightings:
    """In how many of `VIEWS_DEG` a face was seen.

    Parameters
    ----------
    before : int
        On the image as it came; the search ends with the first, so it is 0 or 1.
    after : int
        On what is handed on.
    """

    before: int
    after: int

    @property
    def says(self) -> str:
        """Return what this tells of the result, for people."""
        if self.after:
            return f"sees a face in {self.after} of {len(VIEWS_DEG)} pictures of the result"
        if self.before:
            return "saw a face before and sees none after"
        return "not informative: it saw no face before either"


class FaceDetector:
    """The detector, loaded once.

    Raises
    ------
    ToolFailedError
        The weights are not the file whose SHA-256 is `DETECTOR_SHA256`.
    """

    def __init__(self) -> None:
        if hashlib.sha256(DETECTOR_PATH.read_bytes()).hexdigest() != DETECTOR_SHA256:
            raise ToolFailedError(
                "The face detector's file is damaged or of another version: its SHA-256 differs "
                "from the one on record. Install winxnat again."
            )
        self._network = dlib.cnn_face_detection_model_v1(str(DETECTOR_PATH))

    def sees_face(self, picture: NDArray[np.uint8]) -> bool:
        """Return whether a grey picture, shape (height, width), shows a face of 80 pixels."""
        colours = np.ascontiguousarray(np.repeat(picture[..., None], 3, axis=2))
        return len(self._network(colours, 0)) > 0


@cache
def load_detector() -> FaceDetector:
    """Return the detector, the same one for all images of a run."""
    return FaceDetector()
