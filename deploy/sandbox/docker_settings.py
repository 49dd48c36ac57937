"""The Container Service's server settings, as ``/xapi/docker/server`` has them.

Not here: HTTP (``docker_api``) and choosing the engine (``engines``).
"""

from __future__ import annotations

import json
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
