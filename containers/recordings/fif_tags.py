"""The tags and blocks of FIF that may stay in a scrubbed recording, and how each is written.

A tag that is not named here goes. Numbers are those of the format (Elekta Neuromag, "Functional
Image File Format", 2010; github.com/mne-tools/fiff-constants). Not here: walking a file (``fif``).
"""

from __future__ import annotations

FILE_ID, BLOCK_ID, PARENT_FILE_ID, PARENT_BLOCK_ID, REF_FILE_ID = 100, 103, 109, 110, 116
DIR_POINTER, DIRECTORY, FREE_LIST, NOP = 101, 102, 106, 108
BLOCK_START, BLOCK_END = 104, 105
REF_FILE_NAME, REF_ROLE = 118, 115
ROLE_NEXT_FILE = 2
CH_INFO, CH_NAME = 203, 258
MEAS_DATE, COMMENT, NAME = 204, 206, 233
SUBJECT_SEX, SUBJECT_HAND, SUBJECT_BIRTHDAY = 405, 406, 404
ANNOTATION_CHANNELS = 3801
DATA_BUFFERS = frozenset({300, 302})

IDS = frozenset({FILE_ID, BLOCK_ID, PARENT_FILE_ID, PARENT_BLOCK_ID, REF_FILE_ID})
PLUMBING = frozenset({DIR_POINTER, DIRECTORY, FREE_LIST, NOP, 107})
NAME_LISTS = frozenset({3417, 3502, 3503, 3507})
"""Names of channels, with colons between them."""

SUBJECT_BLOCK, REF_BLOCK, ANNOTATIONS_BLOCK = 106, 118, 3810
RAW_BLOCKS = frozenset({102, 112, 119})
"""Raw data, continuous data, raw data under active shielding."""
KEPT_BLOCKS = frozenset(
    {
        *(100, 101, *RAW_BLOCKS, SUBJECT_BLOCK, REF_BLOCK),
        *(107, 108, 109, 110, 113, 115, 121, 126),  # head points, HPI, channels, events
        *(313, 314, 357, 359, 361, 370, 371),  # projections, matrices, bad channels, CTF
        *(500, 501, 502, 503, 504, 505, 900, 901),  # what MaxFilter did
        ANNOTATIONS_BLOCK,
    }
)
OTHER_KINDS_BLOCKS = frozenset({104, 200, 310, 351, 352, 355, 356, 373, 374})
"""Evoked data, MRI, models, covariances, epochs, components: no raw recordings."""

NUMBERS = frozenset(
    {
        *range(200, 204),  # channel count, sampling rate, packing
        *(REF_ROLE, 117, 207, 208, 209, 211, 213, 214, 215, 216, 219, 220),
        *range(222, 227),  # coordinate transformation, filters, calibrations, HPI
        *(228, 229, 230, 231, 234, 235, 236, 282),
        *range(240, 248),  # HPI fits
        *(250, 251, 252, 253, 254, 255, 256, 257, 350, 351),  # channels
        *(263, 264, 265, 266, 267, 268, 269, 270, 271, 272, 278, 279, 800),  # MaxFilter
        *(300, 301, 302, 303, 600, 601, 602, 603, 701, 702, 703),
        *(3411, 3412, 3414, 3415, 3416, 3504, 3505, 3506),
        *(3560, 3561, 3562, 3563, 3565, 3567, 3568, 3569, 3580, 3581, 3582, 3612),
    }
)
"""Tags whose values are numbers."""
NUMBER_TYPES = frozenset({2, 3, 4, 5, 7, 8, 9, 11, 13, 14, 16, 20, 21, 23, 30, 33, 34, 35, 36})
"""Types of such values: whole and broken numbers, and structures of them; no text, no void."""

IDENTIFYING_TEXTS = frozenset(
    {154, 155, 158, 212, 401, 402, 403, 409, 410, 501, 502, 503, 504, 3550, 3551, 1101}
)
"""Serial number, site, experimenter, names, identifiers, project, paths."""
