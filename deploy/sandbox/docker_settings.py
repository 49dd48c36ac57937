"""The Container Service's server settings, as ``/xapi/docker/server`` has them.

Not here: HTTP (``docker_api``) and choosing the engine (``engines``).
"""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

_NAME = "docker-server"

DEFAULTS: dict[str, Any] = {
    "id": 1,
    "name": "Local backend",
    "host": "unix:///var/run/docker.sock",
    "cert-path": None,
    "swarm-mode": False,
    "backend": "docker",
    "path-translation-xnat-prefix": None,
    "path-translation-docker-prefix": None,
    "pull-images-on-xnat-init": False,
    "container-user": None,
    "auto-cleanup": True,
    "swarm-constraints": [],
    "max-concurrent-finalizing-jobs": None,
    "status-email-enabled": False,
    "gpu-vendor": None,
    "archive-pvc-name": None,
}


_CONSTRAINT = re.compile(r"(node|engine)\.[A-Za-z0-9_.-]{1,200}")
_VALUE = re.compile(r"[A-Za-z0-9_.:/-]{1,200}")


class ConstraintError(ValueError):
    """A swarm constraint cannot be used; the text says why."""


def check_constraints(given: Any) -> list[dict[str, Any]]:
    """Return constraints of a swarm's nodes as they are stored.

    Raises
    ------
    ConstraintError
        They are no list of attribute, comparator and one value each.
    """
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise ConstraintError("'swarm-constraints' must be a list of JSON objects.")
    for each in given:
        values = each.get("values")
        if not isinstance(each.get("attribute"), str) or not _CONSTRAINT.fullmatch(
            each["attribute"]
        ):
            raise ConstraintError("A constraint's 'attribute' is like node.role or node.labels.X.")
        if each.get("comparator") not in {"==", "!="}:
            raise ConstraintError("A constraint's 'comparator' is == or !=.")
        if not isinstance(values, list) or not values:
            raise ConstraintError("A constraint has 'values': a list of one text.")
        if not all(isinstance(value, str) and _VALUE.fullmatch(value) for value in values):
            raise ConstraintError("The values of a constraint are texts without blanks.")
        if each.get("user-settable", False) is not False or len(values) > 1:
            raise ConstraintError(
                "A constraint with several values, for people to choose from at launch, is not "
                "there: give one value, and 'user-settable': false."
            )
    return [dict(each) for each in given]


def constraints(settings: dict[str, Any]) -> tuple[str, ...]:
    """Return the settings' constraints in Docker's words, such as ``node.role==worker``."""
    return tuple(
        f"{each['attribute']}{each['comparator']}{each['values'][0]}"
        for each in settings["swarm-constraints"]
    )


def load(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return the settings in force."""
    row = connection.execute("SELECT value FROM setting WHERE name = ?", (_NAME,)).fetchone()
    return dict(DEFAULTS) if row is None else {**DEFAULTS, **json.loads(row["value"])}


def save(connection: sqlite3.Connection, settings: dict[str, Any]) -> None:
    """Store settings; they apply to the next launch."""
    value = json.dumps(settings)
    connection.execute(
        "INSERT INTO setting VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = ?",
        (_NAME, value, value),
    )
