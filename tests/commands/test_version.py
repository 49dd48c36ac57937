"""The version that commands carry."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from commands.version import distribution_version, version_of_tree

ROOT = Path(__file__).resolve().parents[2]


def test_version_is_that_of_the_project_file():
    """The installed version equals the one in pyproject.toml (else: install again)."""
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert distribution_version() == stated


def test_source_tree_without_installation_has_a_version(tmp_path: Path):
    """Copied code with a project file beside it, not installed, imports and knows its version."""
    shutil.copytree(ROOT / "commands", tmp_path / "commands")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "winxnat"\nversion = "9.8.7"\n')
    program = "import commands; print(commands.find('dicom-to-bids').image)"

    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )

    assert done.stdout == "winxnat/dicom-to-bids:9.8.7\n"


def test_unknown_version_is_an_error_with_a_remedy(tmp_path: Path):
    """Code that is neither installed nor in a source tree says what to do."""
    with pytest.raises(RuntimeError, match="pip install"):
        version_of_tree(tmp_path)
