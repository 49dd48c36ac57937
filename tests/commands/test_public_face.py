"""The face of the package, and what importing it brings along."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import commands


def test_face_and_list_agree():
    """Every public name of the package stands in its list, and the other way round."""
    offered = {
        name
        for name, value in vars(commands).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }

    assert offered == set(commands.__all__)


def test_list_is_sorted_and_unique():
    """The list of public names is in the order of the linter: constants, classes, the rest."""

    def rank(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    assert commands.__all__ == sorted(set(commands.__all__), key=rank)


def test_import_brings_only_the_standard_library():
    """A fresh interpreter that imports every module here has no other package loaded."""
    program = (
        "import sys; before = set(sys.modules)\n"
        "import commands, commands.generate, commands.exit_codes\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'commands'}))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
