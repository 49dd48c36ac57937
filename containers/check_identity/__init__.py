"""Checks that a folder holds no identity; judges the output of scrubbing, whoever scrubbed.

Reads files as bytes and by format with public libraries and with its own copy of the tables of
the standard. Not here, on purpose: any code of the scrubber, whose errors this must not share.
"""

from __future__ import annotations

from containers.check_identity.check import CheckSettings, check_tree
from containers.check_identity.known import KnownKind, KnownString, KnownStrings
from containers.check_identity.result import CheckResult, CriterionOutcome, Status

__all__ = [
    "CheckResult",
    "CheckSettings",
    "CriterionOutcome",
    "KnownKind",
    "KnownString",
    "KnownStrings",
    "Status",
    "check_tree",
]
