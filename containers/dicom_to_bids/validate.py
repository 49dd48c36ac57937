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
from typing import Any, Self

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
    """Validate the data set at ``root`` and wait for the verdict, as `Validation` does."""
    with Validation(root, scratch_dir) as validation:
        return validation.verdict()


class Validation:
    """A run of the validator beside whatever else there is to do; it ends with the block.

    The data set must not change while it runs.
    """

    def __init__(self, root: Path, scratch_dir: Path) -> None:
        bundle = Path(bids_validator_deno.__file__).with_name("bids-validator.js")
        # Started without its own launcher, which would permit network, writing and programs.
        self._command = [
            *(os.fsdecode(find_deno_bin()), "run", "--no-prompt", "--allow-read", "--allow-env"),
            *(str(bundle), "--format", "json", str(root)),
        ]
        # Its runtime wants a writable place for its cache, which the user of a container may lack.
        self._environment = {
            "HOME": str(scratch_dir),
            "DENO_DIR": str(scratch_dir / "deno"),
            "DENO_NO_UPDATE_CHECK": "1",
            "NO_COLOR": "1",
        }
        # Files, because a pipe that nobody reads yet would stop it.
        self._answer_path = scratch_dir / "validator.out"
        self._errors_path = scratch_dir / "validator.err"

    def __enter__(self) -> Self:
        """Start the validator."""
        with self._answer_path.open("wb") as answer, self._errors_path.open("wb") as errors:
            self._process = subprocess.Popen(
                self._command, stdout=answer, stderr=errors, env=self._environment
            )
        return self

    def __exit__(self, *_: object) -> None:
        """End the validator where it still runs."""
        self._process.kill()
        self._process.wait()

    def verdict(self) -> Verdict:
        """Wait for the verdict.

        Raises
        ------
        ToolFailedError
            The validator ended abnormally, or answered something else than JSON.
        subprocess.TimeoutExpired
            It did not end; the entry point says so.
        """
        code = self._process.wait(_LONGEST_S)
        if code not in {0, _FOUND_ERRORS}:
            text = self._errors_path.read_text("utf-8", errors="replace")
            lines = [line for line in text.splitlines() if line.startswith("error:")]
            said = re.sub(r"\S*/\S*", "(path)", lines[0]) if lines else "nothing"
            raise ToolFailedError(
                f"The BIDS validator ended with code {code} instead of a verdict on the tree; it "
                f"said {said}."
            )
        try:
            return _verdict(json.loads(self._answer_path.read_text("utf-8")))
        except (ValueError, KeyError, TypeError) as error:
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
