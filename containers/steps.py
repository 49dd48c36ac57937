"""Where the step of a command lives: one converter from a command's name to its folder.

``dicom-to-bids`` is the folder ``containers/dicom_to_bids`` with ``step.py``, ``Dockerfile``
and ``requirements.lock``. Not here: running a step (``step_run``) or building it (``build``).
"""

from __future__ import annotations

import importlib
from pathlib import Path

from containers.contract import Step

STEPS_DIR = Path(__file__).resolve().parent


def folder_name(command_name: str) -> str:
    """Return the name of a command's folder, which is also its Python name."""
    return command_name.replace("-", "_")


def build_dir(command_name: str) -> Path:
    """Return the folder with a command's Dockerfile and pinned requirements."""
    return STEPS_DIR / folder_name(command_name)


def load_step(command_name: str) -> Step:
    """Import a command's step, and with it the libraries that only this step needs.

    Raises
    ------
    ImportError
        The step or a library of it is not installed here.
    """
    step: Step = importlib.import_module(f"containers.{folder_name(command_name)}.step").run
    return step
