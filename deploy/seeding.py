"""A new sandbox filled from a seed, over its own HTTP interface: whole, or not at all.

Not here: what a seed may say (``deploy.seed_document``).
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from commands.catalog import find
from commands.service_json import command_to_json
from deploy import sandbox_process
from deploy.checked_yaml import Place
from deploy.sandbox_process import RunningSandbox
from deploy.seed_document import (
    SeedCommand,
    SeedDocument,
    SeedError,
    SeedProject,
    SeedResource,
    SeedSession,
    SeedSubject,
    SeedUser,
)
from xnat_client.address import path_of
from xnat_client.commands_registry import ensure_registered
from xnat_client.errors import XnatClientError
from xnat_client.exchange import StreamBody
from xnat_client.session import connect
from xnat_client.transport import CHUNK_BYTES, Transport
from xnat_client.upload.scan import choose_study, scan_folder
from xnat_client.upload.send import UploadTarget, upload_session

_JSON = {"Content-Type": "application/json"}
_GROUPS = {"owners": "Owners", "members": "Members", "collaborators": "Collaborators"}


class SeedingError(SeedError):
    """The server refused a part of the seed; the message says which line and why."""


def start_seeded(
    root: Path,
    seed_path: Path,
    *,
    port: int = 0,
    engine: str = "auto",
    host: str = sandbox_process.LOOPBACK,
) -> Seeded:
    """Start a new sandbox and fill it; on any trouble nothing of it is left.

    Parameters
    ----------
    root : Path
        A folder that is new, empty, or left over from a start that came to nothing.
    seed_path : Path
        The YAML file.

    Raises
    ------
    SeedError
        The seed cannot be read, or the server refuses a part of it.
    SandboxError
        The folder is in use, or the sandbox cannot start.
    """
    document = SeedDocument(seed_path)
    existed = root.exists()
    sandbox_process.require_new(root)
    try:
        server = sandbox_process.start(root, port=port, engine=engine, host=host, incomplete=True)
        Filling(server, document).go()
        sandbox_process.complete(root)
    except BaseException:
        if (root / sandbox_process.INCOMPLETE_FILE_NAME).exists():
            sandbox_process.reset(root)
        if existed:
            root.mkdir(exist_ok=True)
        raise
    return Seeded(server, tuple(user.login for user in document.seed.users))


@dataclass(frozen=True, slots=True)
class Seeded:
    """A sandbox that answers, and the accounts that its seed gave it."""

    server: RunningSandbox
    logins: tuple[str, ...]


class Filling:
    """One seed going into one server."""

    def __init__(self, server: RunningSandbox, document: SeedDocument) -> None:
        self._server = server
        self._document = document
        self._place: Place = ()

    def go(self) -> None:
        """Make everything that the seed describes, in its order."""
        password = sandbox_process.admin_password(self._server.root)
        seed = self._document.seed
        try:
            with connect(self._server.url, sandbox_process.ADMIN_USER, password) as opened:
                for n, user in enumerate(seed.users):
                    self._at("users", n)
                    self._user(opened.transport, user)
                for n, project in enumerate(seed.projects):
                    self._project(opened.transport, project, ("projects", n))
                for n, command in enumerate(seed.commands):
                    self._at("commands", n)
                    self._command(opened.transport, command)
        except XnatClientError as error:
            raise self._refused(str(error)) from error
        except OSError as error:
            raise self._refused(f"A file cannot be read: {error.strerror}.") from error

    def _at(self, *place: int | str) -> None:
        self._place = place

    def _refused(self, reason: str) -> SeedingError:
        where = self._document.where(self._place)
        return SeedingError(f"{where}: {reason} Nothing was kept.")

    def _user(self, transport: Transport, user: SeedUser) -> None:
        if user.password_from is None:
            password = secrets.token_urlsafe(18)
            host = urlsplit(self._server.url).hostname or sandbox_process.LOOPBACK
            netrc_path = self._server.netrc_of(user.login)
            sandbox_process.write_netrc(netrc_path, user.login, password, host)
        else:
            password = os.environ[user.password_from]
        account = {
            "username": user.login,
            "password": password,
            "email": user.email or f"{user.login}@example.org",
            "enabled": True,
            "verified": True,
        }
        transport.request(
            "POST", "/xapi/users", doing=f"make user {user.login}",
            headers=_JSON, body=json.dumps(account).encode(),
        )  # fmt: skip
        for role in user.roles:
            path = path_of("xapi", "users", user.login, "roles", role)
            transport.request("PUT", path, doing=f"give {user.login} the role {role}")

    def _project(self, transport: Transport, project: SeedProject, place: Place) -> None:
        self._at(*place)
        path = path_of("data", "projects", project.id)
        doing = f"make project {project.id}"
        query = {
            "xsiType": "xnat:projectData",
            "xnat:projectData/name": project.title or project.id,
            "accessibility": project.accessibility,
        }
        if project.description:
            query["xnat:projectData/description"] = project.description
        transport.request("PUT", path, doing=doing, query=query)
        seen: set[str] = set()
        for group, logins in project.members:
            for login in logins:
                # A person is in one group of a project; the first one named is the strongest.
                if login not in seen:
                    seen.add(login)
                    member = path + path_of("users", _GROUPS[group], login)
                    transport.request("PUT", member, doing=f"add {login} to {project.id}")
        self._resources(transport, path, project.resources, place)
        for n, subject in enumerate(project.subjects):
            self._subject(transport, project, subject, (*place, "subjects", n))

    def _subject(
        self, transport: Transport, project: SeedProject, subject: SeedSubject, place: Place
    ) -> None:
        self._at(*place)
        path = path_of("data", "projects", project.id, "subjects", subject.label)
        self._put(transport, path, "xnat:subjectData", subject.fields, f"subject {subject.label}")
        self._resources(transport, path, subject.resources, place)
        for n, session in enumerate(subject.sessions):
            target = UploadTarget(project.id, subject.label, session.label)
            self._session(transport, target, session, (*place, "sessions", n))

    def _session(
        self, transport: Transport, target: UploadTarget, session: SeedSession, place: Place
    ) -> None:
        self._at(*place)
        path = path_of(
            "data", "projects", target.project_id, "subjects", target.subject_label,
            "experiments", session.label,
        )  # fmt: skip
        if session.dicom is not None:
            upload_session(transport, choose_study(scan_folder(Path(session.dicom))), target)
        if session.type is not None or session.fields:
            what = f"session {session.label}"
            self._put(transport, path, session.type, session.fields, what)
        for n, scan in enumerate(session.scans):
            below = (*place, "scans", n)
            self._at(*below)
            address = path + path_of("scans", scan.id)
            self._put(transport, address, scan.type, scan.fields, f"scan {scan.id}")
            self._resources(transport, address, scan.resources, below)
        self._resources(transport, path, session.resources, place)

    def _put(
        self,
        transport: Transport,
        path: str,
        xsi_type: str | None,
        fields: Mapping[str, str],
        what: str,
    ) -> None:
        query = dict(fields) if xsi_type is None else {"xsiType": xsi_type, **fields}
        transport.request("PUT", path, doing=f"make {what}", query=query)
        if fields:
            self._check_fields(transport, path, fields, what)

    def _check_fields(
        self, transport: Transport, path: str, fields: Mapping[str, str], what: str
    ) -> None:
        """Refuse fields that the server passed over, as XNAT does with names it does not know."""
        item = transport.get_json(path, doing=f"read {what} back", query={"format": "json"})
        stored = set(_leaves(item))
        names, values = {name.lower() for name, _ in stored}, {value for _, value in stored}
        for name, value in fields.items():
            # Short names need not be the field's own; values may be stored in another spelling.
            if name.rpartition("/")[2].lower() not in names and value not in values:
                self._at(*self._place, "fields", name)
                raise self._refused(f"{what[0].upper()}{what[1:]} has no field of this name.")

    def _resources(
        self, transport: Transport, owner: str, resources: list[SeedResource], place: Place
    ) -> None:
        for n, resource in enumerate(resources):
            self._at(*place, "resources", n)
            path = owner + path_of("resources", resource.label)
            described = {"format": resource.format, "content": resource.content}
            query = {name: text for name, text in described.items() if text}
            doing = f"make resource {resource.label}"
            transport.request("PUT", path, doing=doing, query=query)
            for m, source in enumerate(resource.files):
                self._at(*place, "resources", n, "files", m)
                for file, name in _files(Path(source)):
                    self._upload(transport, f"{path}/files{path_of(*name.split('/'))}", file, query)

    @staticmethod
    def _upload(transport: Transport, path: str, file: Path, query: Mapping[str, str]) -> None:
        body = StreamBody(_opener(file), file.stat().st_size)
        transport.request(
            "PUT", path, doing=f"store {file.name}", query={**query, "inbody": "true"}, body=body
        )

    def _command(self, transport: Transport, command: SeedCommand) -> None:
        if command.name is not None:
            document = command_to_json(find(command.name))
        else:
            document = self._command_file(Path(command.file or ""))
        ensure_registered(transport, document, command.projects)

    def _command_file(self, path: Path) -> Any:
        try:
            document = json.loads(path.read_bytes())
        except ValueError as error:
            raise self._refused(f"{path} is no JSON.") from error
        needed = ("name", "image", "version")
        if not isinstance(document, dict) or any(not document.get(name) for name in needed):
            raise self._refused(f"{path} is no command: it needs {', '.join(needed)}.")
        return document


def _files(source: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file with its name in the resource, sorted."""
    if source.is_file():
        yield source, source.name
        return
    for path in sorted(source.rglob("*")):
        if path.is_file():
            yield path, path.relative_to(source).as_posix()


def _opener(path: Path) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    return chunks


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the last part of each name in a JSON document with its value as text."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(below, key.rpartition("/")[2])
    elif isinstance(value, list):
        for below in value:
            yield from _leaves(below, name)
    else:
        yield name, str(value)
