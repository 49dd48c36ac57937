"""Defaces the NIfTI files of a session, one after the other, each with what was learnt before.

Not here: which files (``selection``), writing results and the report (``step``).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path

from containers.deface.images import read_head_image
from containers.deface.pipeline import Outcome, Settings, Tools, deface
from containers.deface.registration import Reference
from containers.deface.selection import Found
from containers.deface.volumes import (
    Volumes,
    count_volumes,
    deface_phase,
    deface_volumes,
    read_volumes,
)

_BARE_GZIP = b"\x1f\x8b\x08\0\0\0\0\0"
"""How a packed file begins that holds neither a name nor a time (RFC 1952, section 2.3)."""
_GZIP_BITS = 31
NO_MAGNITUDE = (
    "Left out: a phase image or map without a magnitude image on its grid that was defaced, from "
    "which the face's place would come; it is not part of the result."
)


@dataclass(slots=True)
class NiftiSession:
    """What the images of a run learn from each other; of another session, nothing.

    Parameters
    ----------
    fills : dict of str to float
        The stored number that was written into the cut, by image.
    """

    tools: Tools
    settings: Settings
    fills: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    _references: dict[tuple[str, ...], Reference] = field(default_factory=dict)
    _magnitudes: list[tuple[Found, Outcome]] = field(default_factory=list)

    def deface_image(self, found: Found) -> Outcome | None:
        """Deface a file; None for phase without a magnitude on its grid.

        Raises
        ------
        BadInputError
            It cannot be read as a head.
        """
        if found.is_phase:
            return self._phase(found)
        reference = self._references.get(found.session)
        if found.may_hold_volumes and count_volumes(found.path) > 1:
            volumes = read_volumes(found.path, found.shown)
            outcome = deface_volumes(volumes, found.shown, self.tools, self.settings, reference)
            fill = volumes.fill
        else:
            image = read_head_image(found.path, found.shown)
            outcome = deface(image, self.tools, self.settings, reference)
            self.warnings += [f"{found.shown}: {note}" for note in image.notes]
            fill = image.fill
            if outcome.reference is not None and image.has_orientation and outcome.has_face:
                self._references.setdefault(found.session, outcome.reference)
        self._magnitudes.append((found, outcome))
        if outcome.result is not None:
            self.fills[found.shown] = fill
        return outcome

    def _phase(self, found: Found) -> Outcome | None:
        volumes = read_volumes(found.path, found.shown)
        own = [
            (_geometry(magnitude), outcome)
            for magnitude, outcome in self._magnitudes
            if magnitude.session == found.session
        ]
        outcome = deface_phase(volumes, own)
        if outcome is not None and outcome.result is not None:
            self.fills[found.shown] = volumes.fill
        return outcome


def file_as_it_was(path: Path, result: bytes) -> bytes | None:
    """Return a file's bytes where they hold the unpacked result and nothing else; None otherwise.

    A person's decision names a file's digest, so what did not change keeps it: another version of
    the packer would give other bytes.
    """
    content = path.read_bytes()
    if not path.name.lower().endswith(".gz"):
        return content if content == result else None
    if not content.startswith(_BARE_GZIP):
        return None
    packed = zlib.decompressobj(_GZIP_BITS)
    is_same = packed.decompress(content) == result
    return content if is_same and packed.eof and not packed.unused_data else None


def _geometry(found: Found) -> Volumes:
    return read_volumes(found.path, found.shown)
