"""The version that all commands, images and reports of this distribution carry."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "winxnat"


@cache
def distribution_version() -> str:
    """Return the version of the installed distribution, or that of the source tree.

    Raises
    ------
    RuntimeError
        The package is neither installed nor part of a source tree with a ``pyproject.toml``.
    """
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return version_of_tree(Path(__file__).resolve().parents[1])


def version_of_tree(root: Path) -> str:
    """Return the version that the ``pyproject.toml`` in `root` states."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, KeyError) as error:
        raise RuntimeError(
            f"Cannot tell the version of {DISTRIBUTION}: it is not installed and {root} holds no "
            "pyproject.toml of it. Install it with: pip install ."
        ) from error
    return str(project["version"])
