"""A project with people, sessions, files and commands in a sandbox, made through its interface."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

PATIENCE_S = 60.0
"""How long a launch may take before a test gives up on it."""

FINAL = ("Complete", "Failed", "Killed")
PASSWORD = "a-test-password"


def shell_command(
    line: str,
    *,
    root: str = "Session",
    resource: str | None = "DATA",
    output: str | None = "COPY",
    required: bool = True,
) -> dict[str, Any]:
    """Return a command that gives a line to the shell: a resource at /input, results at /output.

    Parameters
    ----------
    root : str
        Type of the external input, which is named ``root``.
    resource : str or None
        Label of the resource that is mounted; None mounts nothing.
    output : str or None
        Label of the resource that is made below the root; None makes nothing.
    """
    mounts: list[dict[str, Any]] = []
    wrapper: dict[str, Any] = {
        "name": "shell",
        "contexts": [
            {"Session": "xnat:imageSessionData", "Scan": "xnat:imageScanData"}.get(
                root, f"xnat:{root.lower()}Data"
            )
        ],
        "external-inputs": [{"name": "root", "type": root, "required": True}],
    }
    command: dict[str, Any] = {
        "name": f"shell-{secrets.token_hex(4)}",
        "version": "1",
        "image": "lab/shell:1",
        "override-entrypoint": True,
        "command-line": line,
        "mounts": mounts,
        "xnat": [wrapper],
    }
    if resource is not None:
        mounts.append({"name": "in", "path": "/input"})
        wrapper["derived-inputs"] = [
            {
                "name": "files",
                "type": "Resource",
                "derived-from-wrapper-input": "root",
                "matcher": f"@.label == '{resource}'",
                "provides-files-for-command-mount": "in",
            }
        ]
    if output is not None:
        mounts.append({"name": "out", "path": "/output", "writable": True})
        command["outputs"] = [{"name": "made", "mount": "out", "required": required}]
        wrapper["output-handlers"] = [
            {
                "name": "made",
                "accepts-command-output": "made",
                "as-a-child-of": "root",
                "type": "Resource",
                "label": output,
            }
        ]
    return command


@dataclass
class Person:
    """Somebody with an account, and what they send requests with."""

    login: str
    http: requests.Session


@dataclass
class Lab:
    """A private project of its own on a running sandbox, and short words for what tests do."""

    url: str
    admin_password: str
    project: str = field(default_factory=lambda: f"LAB{secrets.token_hex(4)}")

    def __post_init__(self) -> None:
        self.admin = Person("admin", _http("admin", self.admin_password))
        self.put(f"/data/projects/{self.project}?xsiType=xnat:projectData")

    def put(self, path: str, **arguments: Any) -> requests.Response:
        """Send a PUT as the administrator; it must succeed."""
        answer = self.admin.http.put(self.url + path, **arguments)
        assert answer.status_code in (200, 201), (path, answer.status_code, answer.text)
        return answer

    def person(self, role: str | None = "member") -> Person:
        """Make an account with a role in the project (None: no role)."""
        login = f"p{secrets.token_hex(4)}"
        answer = self.admin.http.post(
            f"{self.url}/xapi/users",
            json={
                "username": login,
                "password": PASSWORD,
                "email": f"{login}@example.org",
                "firstName": "Test",
                "lastName": "Person",
                "enabled": True,
                "verified": True,
            },
        )
        assert answer.status_code == 201, answer.text
        if role is not None:
            self.put(f"/data/projects/{self.project}/users/{self.project}_{role}/{login}")
        return Person(login, _http(login, PASSWORD))

    def session(
        self,
        label: str = "E1",
        *,
        subject: str = "S1",
        files: Mapping[str, bytes] | None = None,
        scans: Mapping[str, Mapping[str, bytes]] | None = None,
    ) -> str:
        """Make an MR session; return its ID.

        Parameters
        ----------
        files : Mapping, optional
            Content of the session's own files by ``RESOURCE/path``.
        scans : Mapping, optional
            The same for scans, by scan ID; a scan of ID ``1`` is of type T1w, others BOLD.
        """
        base = f"/data/projects/{self.project}/subjects/{subject}"
        self.put(f"{base}?xsiType=xnat:subjectData")
        made = self.put(f"{base}/experiments/{label}?xsiType=xnat:mrSessionData").text
        for name, content in (files or {}).items():
            self.file(f"/data/experiments/{made}", name, content)
        for scan, parts in (scans or {}).items():
            kind = "T1w" if scan == "1" else "BOLD"
            self.put(f"/data/experiments/{made}/scans/{scan}?xsiType=xnat:mrScanData&type={kind}")
            for name, content in parts.items():
                self.file(f"/data/experiments/{made}/scans/{scan}", name, content)
        return made

    def file(self, owner: str, name: str, content: bytes) -> None:
        """Store a file (``RESOURCE/path``) below an object."""
        resource, _, path = name.partition("/")
        self.put(f"{owner}/resources/{resource}/files/{path}", data=content)

    def read(self, owner: str, name: str) -> bytes | None:
        """Return a file's content as XNAT serves it, or None."""
        resource, _, path = name.partition("/")
        answer = self.admin.http.get(f"{self.url}{owner}/resources/{resource}/files/{path}")
        return answer.content if answer.status_code == 200 else None

    def command(self, document: Mapping[str, Any], *, enable: bool = True) -> int:
        """Store a command and enable its first wrapper; return the wrapper's number."""
        answer = self.admin.http.post(f"{self.url}/xapi/commands", json=document)
        assert answer.status_code == 201, answer.text
        stored = self.admin.http.get(f"{self.url}/xapi/commands/{answer.json()}").json()
        if not stored["xnat"]:
            return int(answer.json())
        wrapper = int(stored["xnat"][0]["id"])
        if enable:
            self.put(f"/xapi/wrappers/{wrapper}/enabled")
            self.put(f"/xapi/projects/{self.project}/wrappers/{wrapper}/enabled")
        return wrapper

    def launch(
        self, who: Person, wrapper: int, root: str, *, name: str = "root", **params: str
    ) -> str:
        """Launch; return the workflow's number."""
        answer = who.http.post(
            f"{self.url}/xapi/projects/{self.project}/wrappers/{wrapper}/root/{name}/launch",
            json={name: root, **params},
        )
        assert answer.status_code == 200, (answer.status_code, answer.text)
        report = answer.json()
        assert report["status"] == "success"
        return str(report["workflow-id"])

    def workflow(self, who: Person, number: str) -> dict[str, Any]:
        """Return the fields of a workflow."""
        answer = who.http.get(f"{self.url}/data/workflows/{number}?format=json")
        assert answer.status_code == 200, answer.text
        fields: dict[str, Any] = answer.json()["items"][0]["data_fields"]
        return fields

    def end(self, who: Person, number: str) -> tuple[str, str]:
        """Wait for the end of a launch; return status and details."""
        fields = self.until(who, number, *FINAL)
        return fields["status"], fields.get("details", "")

    def until(self, who: Person, number: str, *statuses: str) -> dict[str, Any]:
        """Wait until a workflow's status begins with one of these words."""
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            fields = self.workflow(who, number)
            if fields["status"].startswith(statuses):
                return fields
            time.sleep(0.05)
        raise AssertionError(f"workflow {number} stays {fields['status']}")

    def run(self, who: Person, wrapper: int, root: str, **params: str) -> tuple[str, str]:
        """Launch and wait for the end; return status and details."""
        return self.end(who, self.launch(who, wrapper, root, **params))

    def containers(self, who: Person, number: str) -> list[dict[str, Any]]:
        """Return the containers of a workflow, the main one first."""
        everything = who.http.get(f"{self.url}/xapi/projects/{self.project}/containers").json()
        found = [each for each in everything if each["workflow-id"] == number]
        return sorted(found, key=lambda each: each["parent-database-id"] is not None)

    def log(self, who: Person, number: str, name: str = "stdout") -> str:
        """Return a log of a workflow's main container."""
        container = self.containers(who, number)[0]["id"]
        answer = who.http.get(f"{self.url}/xapi/containers/{container}/logs/{name}")
        assert answer.status_code == 200, answer.text
        return answer.text

    def values(
        self, who: Person, document: Mapping[str, Any], root: str, **params: str
    ) -> dict[str, Any]:
        """Launch a command that prints JSON; return it."""
        number = self.launch(who, self.command(document), root, **params)
        status, details = self.end(who, number)
        assert status == "Complete", (status, details)
        found: dict[str, Any] = json.loads(self.log(who, number))
        return found


def _http(login: str, password: str) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no netrc and no proxy of the machine
    session.auth = (login, password)
    return session
