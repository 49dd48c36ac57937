"""The files that a build is given, read before anything is fetched or written.

What a build would stumble over after hours, or in silence, is refused here; a dry run asks the
same. Not here: what speaks against a release (``checks``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xnat_client.errors import BadInputError, UsageError
from xnat_client.release.steps import EXIT_BAD_INPUT, run_program


def read_citation(path: Path) -> dict[str, Any]:
    """Return what the file of a citation holds.

    What is still missing for sharing is told later, by the condition ``citation``; refused is
    what could only be written down wrongly.

    Raises
    ------
    BadInputError
        It is no JSON object, or a creator in it has no name.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInputError("The citation's file cannot be read as JSON. Mend it.") from error
    if not isinstance(document, dict) or not isinstance(document.get("creators", []), list):
        raise BadInputError(
            'The citation\'s file must hold one object, with "creators" as a list. Mend it.'
        )
    for number, creator in enumerate(document.get("creators", ()), start=1):
        name = creator.get("name") if isinstance(creator, Mapping) else creator
        if not isinstance(name, str) or not name.strip():
            raise BadInputError(
                f'Creator {number} in the citation\'s file has no "name". Give each creator one.'
            )
    return document


def check_map(path: Path) -> None:
    """Refuse a map of series to BIDS names that ``dicom-to-bids`` would refuse for each session.

    Raises
    ------
    BadInputError
        It cannot be used; the command that tells each problem with its line is named.
    UsageError
        Whether it can be used could not be found out.
    """
    ended = run_program(["bids", "check-map", str(path)])
    if ended.returncode == EXIT_BAD_INPUT:
        raise BadInputError(
            f"The map {path.name} cannot be used. What is wrong with it, line by line, says: "
            f"winxnat bids check-map {path.name}"
        )
    if ended.returncode:
        raise UsageError(
            f"The map {path.name} could not be checked (exit code {ended.returncode}). Install "
            f"winxnat[dicom-to-bids]; what it says: winxnat bids check-map {path.name}"
        )
