"""Writes into a result's sidecar how it was de-identified, and names the mask beside it.

Not here: what else a sidecar may hold (``scrub-headers``).

References
----------
BIDS 1.11, "De-identification information": DeidentificationMethod and
DeidentificationMethodCodeSequence, after (0012,0063) and (0012,0064); DICOM PS3.16 CID 7050,
113102 DCM "Clean Recognizable Visual Features Option".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from types import MappingProxyType

from commands.version import distribution_version

CODE: Mapping[str, str] = MappingProxyType(
    {
        "CodeValue": "113102",
        "CodingSchemeDesignator": "DCM",
        "CodeMeaning": "Clean Recognizable Visual Features Option",
    }
)
_METHOD, _CODES = "DeidentificationMethod", "DeidentificationMethodCodeSequence"
_AFTER_MOD = (
    "echo",
    "flip",
    "inv",
    "mt",
    "part",
    "proc",
    "hemi",
    "space",
    "split",
    "recording",
    "chunk",
    "seg",
    "res",
    "den",
    "label",
    "desc",
)
"""Entities that BIDS puts behind mod."""
_BIDS_NAME = re.compile(r"sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9]+)*_[A-Za-z0-9]+")


def method_text() -> str:
    """Return what the sidecar says of how the face went."""
    return f"winxnat deface {distribution_version()}: face and ears removed"


def with_method(sidecar: Mapping[str, object]) -> str:
    """Return a sidecar's text with the method and its code added to those it names."""
    document = dict(sidecar)
    methods = document.get(_METHOD)
    known = methods if isinstance(methods, list) else [methods] if methods else []
    document[_METHOD] = [*(each for each in known if each != method_text()), method_text()]
    codes = document.get(_CODES)
    others = codes if isinstance(codes, list) else []
    document[_CODES] = [*(each for each in others if each != dict(CODE)), dict(CODE)]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def mask_target(target: PurePosixPath, stem: str) -> PurePosixPath:
    """Return the path of the mask of a result, as BIDS names it (``mod-T1w_defacemask``)."""
    ending = target.name[len(stem) :]
    if not _BIDS_NAME.fullmatch(stem):
        return target.with_name(f"{stem}_defacemask{ending}")
    *entities, suffix = stem.split("_")
    before = [each for each in entities if each.split("-")[0] not in _AFTER_MOD]
    after = [each for each in entities if each.split("-")[0] in _AFTER_MOD]
    name = "_".join([*before, f"mod-{suffix}", *after, "defacemask"])
    return target.with_name(f"{name}{ending}")
