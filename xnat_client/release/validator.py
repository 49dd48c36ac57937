"""The official BIDS validator over a release folder, offline. Not here: what follows from it."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from xnat_client.errors import RefusedError, UsageError

_DISTRIBUTION = "bids-validator-deno"
_FOUND_ERRORS = 16
"""The validator's exit code when the dataset has errors."""
_LONGEST_S = 4 * 3600


@dataclass(frozen=True, slots=True)
class BidsVerdict:
    """Codes of the findings with how often each occurs; never a file or a value."""

    errors: dict[str, int]
    warnings: dict[str, int]
    version: str


def validate(root: Path, scratch_dir: Path) -> BidsVerdict:
    """Validate the dataset at ``root``.

    Raises
    ------
    UsageError
        The validator is not installed.
    RefusedError
        It ended without a verdict.
    """
    found = find_spec("bids_validator_deno")
    if found is None or found.origin is None:
        raise UsageError(
            "The BIDS validator is not installed, and a release needs its verdict. "
            'Install it: pip install "winxnat[release]"'
        )
    from deno import find_deno_bin  # type: ignore[import-untyped]  # noqa: PLC0415  # no types; an extra

    bundle = Path(found.origin).with_name("bids-validator.js")
    # Started without its own launcher, which would permit network, writing and programs.
    command = [
        *(os.fsdecode(find_deno_bin()), "run", "--no-prompt", "--allow-read", "--allow-env"),
        *(str(bundle), "--format", "json", str(root)),
    ]
    environment = {
        "HOME": str(scratch_dir),
        "DENO_DIR": str(scratch_dir / "deno"),
        "DENO_NO_UPDATE_CHECK": "1",
        "NO_COLOR": "1",
    }
    try:
        ended = subprocess.run(
            command, env=environment, capture_output=True, timeout=_LONGEST_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        issues = json.loads(ended.stdout)["issues"]["issues"]
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as error:
        raise RefusedError(
            "The BIDS validator ended without a verdict on the release. Build it again; if it "
            f"stays so, install {_DISTRIBUTION} anew."
        ) from error
    if ended.returncode not in {0, _FOUND_ERRORS}:
        raise RefusedError(
            f"The BIDS validator ended with code {ended.returncode} on the release. Build it again."
        )
    counts = {
        severity: Counter(str(one["code"]) for one in issues if one.get("severity") == severity)
        for severity in ("error", "warning")
    }
    return BidsVerdict(
        dict(sorted(counts["error"].items())),
        dict(sorted(counts["warning"].items())),
        f"{_DISTRIBUTION} {version(_DISTRIBUTION)}",
    )
