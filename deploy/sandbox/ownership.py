"""An object given to another project: its row, its folder, and what belongs to it.

No rights and no labels are checked here (``sharing`` does). An object's own experiments and
assessors stay with their projects.
"""

from __future__ import annotations

import sqlite3
from pathlib import PurePosixPath

from deploy.sandbox import objects, records
from deploy.sandbox.folders import FolderChanges
from deploy.sandbox.objects import Experiment, Kind, Project, Subject
from deploy.sandbox.store import now_text


def move_subject(
    connection: sqlite3.Connection,
    changes: FolderChanges,
    subject: Subject,
    receiver: Project,
    label: str,
) -> None:
    """Make a project the owner of a subject; a share into it ends."""
    records.unshare(connection, Kind.SUBJECT, subject.id, receiver.id)
    connection.execute(
        "UPDATE subject SET project = ?, label = ?, last_modified = ? WHERE id = ?",
        (receiver.id, label, now_text(), subject.id),
    )
    changes.move(
        PurePosixPath(subject.project) / "subjects" / subject.label,
        receiver.dir / "subjects" / label,
    )


def move_experiment(
    connection: sqlite3.Connection,
    changes: FolderChanges,
    experiment: Experiment,
    receiver: Project,
    label: str,
) -> None:
    """Make a project the owner of an experiment; a share into it ends.

    A session takes its folder along, with the folders of its assessors in it; an assessor's
    folder stays in its session's.
    """
    before = objects.experiment_dir(connection, experiment)
    records.unshare(connection, Kind.EXPERIMENT, experiment.id, receiver.id)
    connection.execute(
        "UPDATE experiment SET project = ?, label = ?, last_modified = ? WHERE id = ?",
        (receiver.id, label, now_text(), experiment.id),
    )
    if experiment.session_id is not None:
        changes.move(before, before.with_name(label))
    else:
        changes.move(before, receiver.arc_dir / label)
