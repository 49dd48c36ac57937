"""Takes MRIQC's records over: names nobody, says truly what made them, and why some are missing.

MRIQC copies a sidecar whole into its record, and its provenance says ``mriqc`` also where programs
were substituted. Not here: running it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from qc.protocol import IMAGE_FIELDS, numbers_of, protocol_hash_of_mriqc

SUBSTITUTED = "mriqc-substituted"
_CRASH_NODE = re.compile(r"^Node:\s+([\w.]+)\s*$", re.MULTILINE)
_CRASH_ERROR = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt))\b", re.MULTILINE)
_KEPT_PROVENANCE = frozenset({"md5sum", "settings", "software", "version", "warnings"})
_KEPT_SETTINGS = frozenset({"fd_thres", "hmc_fsl", "testing", "bspline_grid"})


def clean_record(text: bytes, substitutions: Sequence[str]) -> dict[str, object]:
    """Return one of MRIQC's records without free text, and with true provenance.

    Parameters
    ----------
    text : bytes
        MRIQC's JSON. A value that is not finite, which JSON does not have, becomes null.
    substitutions : sequence of str
        What was substituted; none for the genuine program.

    Raises
    ------
    ValueError
        It is no record.
    """
    record = json.loads(text, parse_constant=lambda _word: None)
    if not isinstance(record, dict):
        raise ValueError("no object")  # noqa: TRY004 - of the text, not of a type
    provenance, meta = record.pop("provenance", None), record.pop("bids_meta", None)
    if not isinstance(provenance, dict) or not isinstance(meta, dict):
        raise ValueError("no provenance")  # noqa: TRY004 - as above
    cleaned: dict[str, object] = {
        key: value
        for key, value in sorted(record.items())
        if value is None or (isinstance(value, int | float) and math.isfinite(value))
    }
    modality = str(meta.get("modality"))
    cleaned["bids_meta"] = {"modality": modality, **numbers_of(meta, IMAGE_FIELDS)}
    kept = {key: provenance[key] for key in sorted(_KEPT_PROVENANCE & provenance.keys())}
    settings = kept.get("settings")
    if isinstance(settings, Mapping):
        kept["settings"] = {key: settings[key] for key in _KEPT_SETTINGS & settings.keys()}
    kept["protocol_hash"] = protocol_hash_of_mriqc(modality, meta, cleaned)
    if substitutions:
        kept["software"] = SUBSTITUTED
        kept["substitutions"] = list(substitutions)
    cleaned["provenance"] = kept
    return cleaned


def crash_reasons(folder: Path) -> list[str]:
    """Return one sentence for each crash file below a folder: node and kind of error.

    The text of an error may hold paths and values of sidecars, so it is not repeated.
    """
    found = []
    for path in sorted(folder.rglob("crash-*.txt")):
        text = path.read_text(encoding="utf-8", errors="replace")
        node = _CRASH_NODE.search(text)
        errors = _CRASH_ERROR.findall(text)
        where = node.group(1).rpartition(".")[2] if node else "unknown"
        found.append(f"The node {where} failed ({errors[-1] if errors else 'unknown error'}).")
    return found
