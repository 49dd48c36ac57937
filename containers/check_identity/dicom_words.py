"""The vocabulary of scan descriptions: words that say what was measured, and of nobody.

Not here: names of persons or places; a word that is not listed is counted for a person to see.
"""

from __future__ import annotations

import re

_VOCABULARY = """
a acq adc adj all angio anat anterior ap asl auto average axial b bold bottom brain calib chan
channel coil colfa cor coronal dark diff diffusion dir dti dwi ecg echo ep ep2d epi exp fa
fast fat fast feet fid field fl flair flash fm fmap fmri fov fs func gap gradient gre grappa
head high hr ip iso left linear loc localiser localizer lr magnitude map maps mb me mean
mosaic mp mprage mp2rage mr mt multi nav neck no none norm off on p pa pace par pd perf
perfusion phase phys posterior post pre product prot protocol qsm ref rest resting reverse rf
right rl run sag sagittal sbref scan scout se seg sequence series short shim shot siemens slab
slice slices small sms spc space spectroscopy spin spoiled ss stage std survey susc swi t t1
t1w t2 t2star t2w task te test tfl tfi ti time tirm tof top tr tra trace track trans
transverse tse ute vasc venc vibe view vol volume wait water wm with x y z
"""
_WORDS = frozenset(_VOCABULARY.split())
_TOKEN = re.compile(r"[A-Za-z]+\d*|\d+")


def is_plain_wording(text: str) -> bool:
    """Return whether a description consists of numbers and words of the vocabulary."""
    return all(
        token.isdigit() or token.lower() in _WORDS or token.lower().rstrip("0123456789") in _WORDS
        for token in _TOKEN.findall(text)
    )
