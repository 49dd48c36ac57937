"""The demonstration's ending: sharing the session with outsiders, first refused, then released.

Everything is done by ``winxnat``'s own commands, called in this process, by people who are
invented with the session: an administrator, an officer, a lead, a steward, a custodian and a
member of the study's team. The outside server is a second sandbox. Not here: the session's way to
BIDS (``demo``).
"""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import sandbox_process
from deploy.sandbox_process import RunningSandbox
from xnat_client.cli.main import run
from xnat_client.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_UNSAFE

FAMILY, VERSION, RELEASE_PROJECT = "demo-heads", "1.0.0", "DEMO_EXTERNAL"
OUTSIDE_DIR, RECORDS_DIR = "outside", "records"
LEFT_OUT = ("anat", "fmap")
"""Kinds of images that may show a face; taking it off takes minutes, and is not waited for."""

_FORM = ("example-open-form", "2.0")
_AGREEMENT = "data-use-agreement"
_CITATION = {
    "title": "A made head",
    "creators": [{"name": "Lead, Invented"}],
    "publisher": "Invented Institute",
    "year": 2026,
    "funding": [],
    "ethics": ["INVENTED/1"],
    "description": "One made session of a head that nobody has.",
}
_STATEMENTS = {
    "dpia": ("officer", "The assessment covers the sharing of made data."),
    "risk": ("officer", "Nobody can be identified again, because there is nobody."),
}
_RIGHTS = (
    "--intellectual-property", "The session is made; it is ours to share.",
    "--third-party-data", "Nothing of anybody else is in it.",
    "--export-control", "Noise in a box is not controlled.",
)  # fmt: skip
_ROLES = {
    "administrator": "administrator",
    "officer": "officer",
    "lead": "lead",
    "steward": "steward",
    "custodian": "custodian",
    "team": "study-team",
}
_WITHOUT = ("WINXNAT_SHARING_DATABASE", "WINXNAT_SIGNING_KEY", "WINXNAT_PERSON", "XNAT_HOST")

Say = Callable[[str], None]


class SharingDemoError(Exception):
    """A command of the ending did not do what it should; the message is the command's own."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """One condition that was not met or not known when sharing was first tried."""

    key: str
    what: str


@dataclass(frozen=True, slots=True)
class Shared:
    """What the ending did.

    Attributes
    ----------
    refusals : tuple of Refusal
        What spoke against sharing at first.
    conditions : int
        How many conditions the level has.
    manifest_sha256 : str
        The released manifest's digest, which both approvers signed.
    files : int
        Files that were sent to the outside server and verified there.
    project : str
        Address of the release project on the outside server.
    """

    refusals: tuple[Refusal, ...]
    conditions: int
    manifest_sha256: str
    files: int
    project: str


def share(  # noqa: PLR0913  # what is shared from where, and who is told
    inside: RunningSandbox,
    project: str,
    subject: str,
    *,
    folder: Path,
    engine: str,
    say: Say,
) -> Shared:
    """Try to share a project's session with outsiders, be refused, do what is asked, release it.

    Parameters
    ----------
    inside : RunningSandbox
        The server with the session.
    folder : Path
        Gets the outside server, the records, and in ``release`` a copy of the released files.
    engine : str
        What runs the steps of the build: ``process`` or ``docker``.
    say : callable
        Is told each part as it begins.

    Raises
    ------
    SharingDemoError
        A command ended otherwise than it should.
    """
    outside = sandbox_process.start(folder / OUTSIDE_DIR, engine=engine)
    with _environment(folder) as records:
        commands = _Commands(inside, outside, folder / RECORDS_DIR)
        say("recording who decides, and trying to share the session with outsiders")
        commands.make_site(project)
        refusals, conditions = commands.check(project)
        for one in refusals:
            if one.key in {"consent", "headers", "faces"}:
                say(f"  refused: {one.what}")
        say("recording consent, the agreement and statements")
        commands.meet_conditions(project, subject, records / "texts")
        say("building the release: scrubbed, converted again, searched for secrets, measured")
        manifest = commands.build(project, records, engine)
        say("approved by the lead and the steward, each with a key of their own")
        commands.approve(manifest, records)
        say("publishing it on a second sandbox, the outside server")
        files = commands.publish()
        released = records / "releases" / FAMILY / VERSION
        commands.verify(released, manifest)
        shutil.copytree(released, folder / "release")
    address = f"{outside.url}/data/projects/{RELEASE_PROJECT}"
    return Shared(tuple(refusals), conditions, manifest, files, address)


def stop(folder: Path) -> None:
    """Stop the outside server, if it was started."""
    if (folder / OUTSIDE_DIR).exists():
        sandbox_process.stop(folder / OUTSIDE_DIR)


class _Commands:
    """The commands of the ending, each by the person whose duty it is."""

    def __init__(self, inside: RunningSandbox, outside: RunningSandbox, home: Path) -> None:
        self._inside, self._outside, self._home = inside, outside, home

    def make_site(self, project: str) -> None:
        """Make the records with their people, servers and the study."""
        self._call(
            "share", "init", "--administrator", "administrator", "--administrator-name",
            "Invented Administrator", "--officer", "officer", "--officer-name", "Invented Officer",
        )  # fmt: skip
        for side, server in (("inside", self._inside), ("outside", self._outside)):
            self._as(
                "administrator", "share", "server", "add", side, server.url, "--side", side,
                "--service-account", sandbox_process.ADMIN_USER,
            )  # fmt: skip
        for person in ("lead", "steward", "custodian", "team"):
            name = f"Invented {person.capitalize()}"
            self._as("administrator", "share", "person", "add", person, "--name", name)
        self._as("officer", "share", "person", "give", "steward", "steward")
        self._as("officer", "share", "person", "give", "custodian", "custodian")
        self._as(
            "administrator", "share", "study", "add", project, "--server", "inside",
            "--lead", "lead", "--ethics", "INVENTED/1", "--dpia", "INVENTED/2",
            "--retention", "2040-01-01", "--data-type", "imaging",
        )  # fmt: skip
        self._as("administrator", "share", "person", "give", "team", "study-team",
                 "--study", project)  # fmt: skip

    def check(self, project: str) -> tuple[list[Refusal], int]:
        """Return what speaks against sharing, and how many conditions there are."""
        arguments = ("share", "check", project, "--level", "external")
        found = self._call(*arguments, expected=EXIT_UNSAFE)["findings"]
        refusals = [Refusal(one["key"], one["what"]) for one in found if one["blocks"]]
        return refusals, sum(one["number"] is not None for one in found)

    def meet_conditions(self, project: str, subject: str, texts: Path) -> None:
        """Record consent, agreement, criteria and statements."""
        self._call("share", "template", "--out", str(texts))
        self._as("officer", "share", "criteria", "adopt")
        self._as("officer", "share", "form", "add", str(texts / "consent-forms.yaml"))
        self._as("officer", "share", "form", "accept", *_FORM)
        self._as("officer", "share", "agreement", "add", str(texts / "agreement.md"))
        self._as(
            "team", "share", "consent", "add", project, "-", "--form", _FORM[0],
            "--form-version", _FORM[1], "--level", "external", "--data-type", "imaging",
            "--date", "2026-01-05", typed=subject,
        )  # fmt: skip
        self._as("lead", "share", "state", "rights", project, *_RIGHTS)
        for key, (person, text) in _STATEMENTS.items():
            self._as(person, "share", "state", key, project, "--text", text)

    def build(self, project: str, folder: Path, engine: str) -> str:
        """Build the release and return the digest of its manifest."""
        citation = folder / "citation.json"
        citation.write_text(json.dumps(_CITATION))
        kinds = [word for kind in LEFT_OUT for word in ("--leave-out", kind)]
        with _login(self._inside):
            built = self._as(
                "team", "release", "build", "--project", project, "--family", FAMILY,
                "--version", VERSION, "--level", "external", "--release-server", "outside",
                "--release-project", RELEASE_PROJECT, "--agreement", f"{_AGREEMENT}@1.0.0",
                "--duo", "GRU", "--citation", str(citation), "--engine", engine, *kinds,
            )  # fmt: skip
        return str(built["manifest_sha256"])

    def approve(self, manifest: str, folder: Path) -> None:
        """Propose the release and have it approved by two people with keys of their own."""
        self._as("team", "release", "propose", FAMILY, VERSION)
        for person in ("lead", "steward"):
            key = ("--key", str(folder / f"{person}.pem"))
            self._as(person, "release", "key", *key)
            self._as(person, "release", "approve", FAMILY, VERSION, "--manifest", manifest, *key)

    def publish(self) -> int:
        """Publish the release and return how many files were sent and verified."""
        with _login(self._outside):
            done = self._as("administrator", "release", "apply", FAMILY, VERSION)
        return int(done["files_sent"])

    def verify(self, folder: Path, manifest: str) -> None:
        """Compare the released files with the manifest that was approved."""
        self._call("release", "verify", str(folder), "--expect", manifest)
        self._call("audit", "verify")

    def _as(self, person: str, *arguments: str, typed: str = "") -> dict[str, Any]:
        reason = "the demonstration"
        who = ("--person", person, "--role", _ROLES[person], "--reason", reason)
        return self._call(*arguments, *who, typed=typed)

    def _call(self, *arguments: str, expected: int = EXIT_DONE, typed: str = "") -> dict[str, Any]:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), _typing(typed):
            code = run([*arguments, "--json"])
        if code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt
        if code != expected:
            # What was refused stands in the document, progress and errors in the other stream.
            said = "\n".join(part.getvalue().strip() for part in (err, out))
            what = f"winxnat {' '.join(arguments[:2])} ended with code {code} and not {expected}."
            raise SharingDemoError(f"{what}\n{said}")
        lines = out.getvalue().strip().splitlines()
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return found


@contextmanager
def _environment(folder: Path) -> Iterator[Path]:
    """Let the commands find records and keys of their own in a folder; yield the records'."""
    records = folder / RECORDS_DIR
    records.mkdir(mode=0o700)
    with _variables(
        {
            "WINXNAT_SHARING": str(records),
            "WINXNAT_LINK_KEYS": str(folder / "keys"),
            "WINXNAT_KEY_PASSPHRASE": secrets.token_urlsafe(16),
            **dict.fromkeys(_WITHOUT),
        }
    ):
        yield records


@contextmanager
def _login(server: RunningSandbox) -> Iterator[None]:
    password = sandbox_process.admin_password(server.root)
    with _variables({"XNAT_USER": sandbox_process.ADMIN_USER, "XNAT_PASS": password}):
        yield


@contextmanager
def _variables(wanted: Mapping[str, str | None]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in wanted}
    _set(wanted)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _typing(text: str) -> Iterator[None]:
    """Let a command that asks read this: a label is never an argument."""
    before = sys.stdin
    sys.stdin = io.StringIO(f"{text}\n")
    try:
        yield
    finally:
        sys.stdin = before
