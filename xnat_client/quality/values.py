"""A session's quality as few short numbers that XNAT can list, sort and search by.

They are custom variables of the session (``docs/decisions`` says why). A session has several
images; each variable takes the worst of them, so that a limit finds every session in which any
image is beyond it. Not here: how they are searched (``winxnat search``, pyxnat, the UI).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from qc.norms import measured
from qc.pool import Row, split
from xnat_client.address import check_project_id, path_of
from xnat_client.errors import RefusedError
from xnat_client.listings import list_rows

if TYPE_CHECKING:
    from xnat_client.sessions import Session
    from xnat_client.transport import Transport

_WORST = {"max": max, "min": min}
_PREFIX = MappingProxyType({
    "winqc": "winqc",
    "MRIQC": "mriqc",
    "mriqc-substituted": "mriqcsub",
})  # fmt: skip
"""Software by the beginning of its variables: values of different software never share one."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One searchable number of a session: the worst of one measure over images of one kind."""

    name: str
    modality: str
    measure: str
    worst: str


VARIABLES: tuple[Variable, ...] = (
    Variable("t1_cjv", "T1w", "cjv", "max"),
    Variable("t1_cnr", "T1w", "cnr", "min"),
    Variable("t1_snr", "T1w", "snr_total", "min"),
    Variable("t1_efc", "T1w", "efc", "max"),
    Variable("bold_fd", "bold", "fd_mean", "max"),
    Variable("bold_fd_perc", "bold", "fd_perc", "max"),
    Variable("bold_tsnr", "bold", "tsnr", "min"),
    Variable("bold_dvars", "bold", "dvars_nstd", "max"),
    Variable("bold_slice", "bold", "slice_z_max", "max"),
    Variable("dwi_motion", "dwi", "b0_motion_max", "max"),
    Variable("dwi_dropout", "dwi", "slice_dropout_max", "max"),
)
"""With ``version`` twelve of each software."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written to one session: new text by variable; old text where it differs."""

    session: Session
    old: Mapping[str, str]
    new: Mapping[str, str]

    @property
    def differing(self) -> dict[str, str]:
        """Return the variables that are not yet as they should be."""
        return {name: text for name, text in self.new.items() if self.old.get(name, "") != text}


def session_values(rows: Iterable[Row]) -> dict[str, str]:
    """Return the variables of one session.

    Parameters
    ----------
    rows : iterable of Row
        All images of the session. Of one software with several major versions the newest counts.

    Returns
    -------
    dict
        Text by the variable's name; a measure without value has no variable.
    """
    found: dict[str, str] = {}
    newest: dict[str, str] = {}
    tables = split(rows)
    for table in tables:
        newest[table.kind[0]] = max(newest.get(table.kind[0], ""), table.kind[1], key=_as_number)
    for table in tables:
        software, major, _, modality = table.kind
        if major != newest[software]:
            continue
        prefix = _PREFIX[software]
        found[f"{prefix}_version"] = max(row.version for row in table.rows)
        for variable in VARIABLES:
            values = [
                value
                for row in table.rows
                if (value := measured(row, variable.measure)) is not None
            ]
            if variable.modality == modality and values:
                worst = _WORST[variable.worst](values)
                found[f"{prefix}_{variable.name}"] = f"{worst:.5g}"
    return found


def plan_changes(
    transport: Transport,
    project_id: str,
    values: Mapping[str, Mapping[str, str]],
    sessions: Sequence[Session],
) -> list[Change]:
    """Return what would be written, session by session.

    Parameters
    ----------
    values : Mapping
        Variables by the session's ID on the server. A session without any gets empty ones in
        place of those it has.
    """  # fmt: skip
    names = [
        f"{prefix}_{name}"
        for prefix in _PREFIX.values()
        for name in ("version", *(variable.name for variable in VARIABLES))
    ]
    changes = []
    held = _held(transport, project_id, {one.xsi_type for one in sessions}, names)
    for session in sessions:
        old = held.get(session.session_id, {})
        new = dict(values.get(session.session_id, {}))
        new |= {name: "" for name, text in old.items() if text and name not in new}
        changes.append(Change(session, old, new))
    return changes


def write_changes(transport: Transport, changes: Sequence[Change]) -> int:
    """Write what differs, read it back, and return how many sessions were written.

    Raises
    ------
    RefusedError
        The server does not show what was written.
    """
    written = [change for change in changes if change.differing]
    for change in written:
        session = change.session
        transport.request(
            "PUT",
            session.path,
            doing=f"store quality values of session {session.label}",
            query={
                f"{session.xsi_type}/fields/field[name={name}]/field": text
                for name, text in change.differing.items()
            },
        )
    projects = {change.session.project_id for change in written}
    for project_id in projects:
        mine = [change for change in written if change.session.project_id == project_id]
        names = sorted({name for change in mine for name in change.differing})
        held = _held(transport, project_id, {one.session.xsi_type for one in mine}, names)
        for change in mine:
            shown = held.get(change.session.session_id, {})
            if any(shown.get(name, "") != text for name, text in change.differing.items()):
                raise RefusedError(
                    f"The server does not show the quality values that were written to session "
                    f"{change.session.label}. Look whether the account may edit it."
                )
    return len(written)


def _held(
    transport: Transport, project_id: str, xsi_types: Iterable[str], names: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return the variables that sessions have, by ID; one listing for each data type."""
    held: dict[str, dict[str, str]] = {}
    for xsi_type in sorted(xsi_types):
        columns = {f"{xsi_type}/fields/field[name={name}]/field": name for name in names}
        rows = list_rows(
            transport,
            path_of("data", "projects", check_project_id(project_id), "experiments"),
            doing=f"list the quality values of project {project_id}",
            query={"xsiType": xsi_type, "columns": ",".join(["ID", *columns])},
        )
        by_header = {path.lower(): name for path, name in columns.items()}
        for row in rows:
            held[row.get("ID", "")] = {
                by_header[header.lower()]: text
                for header, text in row.items()
                if header.lower() in by_header and text
            }
    return held


def _as_number(text: str) -> int:
    return int(text) if text.isdigit() else -1
