"""What this command does not convert, and the sentences that say so.

Not here: magnetic resonance images without a place in BIDS (``names``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from containers.contract import BadInputError

_SUPPORTED = frozenset({"MR", "", "OT", "SC"})
"""Modalities (0008,0060) that may be magnetic resonance: exports also write other, or capture."""
_MODALITIES: Mapping[str, str] = MappingProxyType(
    {
        "PT": "positron emission tomography",
        "CT": "computed tomography",
        "NM": "nuclear medicine",
        "US": "ultrasound",
        "CR": "radiography",
        "DX": "radiography",
        "MG": "mammography",
        "XA": "angiography",
        "EEG": "EEG",
        "SEG": "segmentations",
        "ECG": "electrocardiography",
        "XC": "photography",
    }
)
"""Defined terms of PS3.3, section C.7.3.1.1.1, in words."""
_ELECTRIC = frozenset(
    {".edf", ".bdf", ".vhdr", ".eeg", ".vmrk", ".set", ".fdt", ".fif", ".con", ".sqd", ".meg4"}
)
_NIFTI = (".nii", ".nii.gz")


def is_supported(modality: str) -> bool:
    """Tell whether images of this modality are converted."""
    return modality.upper() in _SUPPORTED


def modality_reason(modalities: Iterable[str]) -> str:
    """Return why images of these modalities are left out."""
    return f"It is {_in_words(modalities)}; this command converts magnetic resonance (MR) only."


def refuse_other_modalities(modalities: Iterable[str]) -> None:
    """Raise BadInputError where a session has images, and none of magnetic resonance."""
    known = set(modalities)
    if known and not any(map(is_supported, known)):
        raise BadInputError(
            f"Cannot convert the session: its images are {_in_words(known)}; dicom-to-bids "
            "converts DICOM of magnetic resonance (MR) only."
        )


def nothing_readable(paths: Sequence[Path]) -> BadInputError:
    """Return the error for a session without a single DICOM file."""
    names = [path.name.lower() for path in paths]
    if any(Path(name).suffix in _ELECTRIC for name in names):
        hint = "it holds EEG or MEG recordings; give those to eeg-to-bids"
    elif any(name.endswith(_NIFTI) for name in names):
        hint = "it holds NIfTI images; give the step the DICOM files they were made from"
    else:
        hint = "give the step the original DICOM files of magnetic resonance (MR)"
    return BadInputError(
        f"Cannot convert the session: none of its {len(paths)} files is a DICOM file; {hint}."
    )


def _in_words(modalities: Iterable[str]) -> str:
    # Only defined terms are repeated: in a damaged header anything may stand there.
    words = {_MODALITIES.get(modality.upper(), "of another kind") for modality in modalities}
    return " and ".join(sorted(words))
