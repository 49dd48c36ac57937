"""Asks the official BIDS validator about the tree, without a network.

Not here: what is done about its verdict (``step``).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bids_validator_deno
from deno import find_deno_bin  # type: ignore[import-untyped]  # ships no type information

from containers.contract import ToolFailedError

VALIDATOR_VERSION = version("bids-validator-deno")
_LONGEST_S = 1800
"""Seconds after which the validator is ended; it takes some for a session."""
_FOUND_ERRORS = 16
"""The validator's exit code when the data set has errors."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Codes of the issues with how often each occurs, and the validator's full answer."""

    errors: Counter[str]
    warnings: Counter[str]
    schema_version: str
    answer: dict[str, Any]

    @property
    def is_valid(self) -> bool:
        """Tell whether there are no errors."""
        return not self.errors


def validate(root: Path, scratch_dir: Path) -> Verdict:
    """Validate the data set at ``root``.

    Raises
    ------
    ToolFailedError
        The validator ended abnormally, or answered something else than JSON.
    subprocess.TimeoutExpired
        It did not end; the entry point says so.
    """
    bundle = Path(bids_validator_deno.__file__).with_name("bids-validator.js")
    # Its runtime wants a writable place for its cache, which the user of a container may lack.
    environment = {
        "HOME": str(scratch_dir),
        "DENO_DIR": str(scratch_dir / "deno"),
        "DENO_NO_UPDATE_CHECK": "1",
        "NO_COLOR": "1",
    }
    # Started without its own launcher, which would permit network, writing and programs.
    result = subprocess.run(
        [
            *(os.fsdecode(find_deno_bin()), "run", "--no-prompt", "--allow-read", "--allow-env"),
            *(str(bundle), "--format", "json", str(root)),
        ],
        capture_output=True,
        check=False,
        env=environment,
        text=True,
        encoding="utf-8",
        timeout=_LONGEST_S,
    )
    if result.returncode not in {0, _FOUND_ERRORS}:
        lines = [line for line in result.stderr.splitlines() if line.startswith("error:")]
        said = re.sub(r"\S*/\S*", "(path)", lines[0]) if lines else "nothing"
        raise ToolFailedError(
            f"The BIDS validator ended with code {result.returncode} instead of a verdict on the "
            f"tree; it said {said}."
        )
    try:
        return _verdict(json.loads(result.stdout))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ToolFailedError(
            "The BIDS validator's answer is not the JSON that version "
            f"{VALIDATOR_VERSION} gives; install that version."
        ) from error


def _verdict(answer: dict[str, Any]) -> Verdict:
    issues = answer["issues"]["issues"]
    by_severity = {
        severity: Counter(
            str(issue["code"]) for issue in issues if issue.get("severity") == severity
        )
        for severity in ("error", "warning")
    }
    schema_version = str(answer["summary"]["schemaVersion"])
    return Verdict(by_severity["error"], by_severity["warning"], schema_version, answer)
