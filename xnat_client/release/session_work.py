"""One session's way through quarantine: fetched, scrubbed, converted, defaced, measured.

A session comes out as a BIDS tree under new labels with what its steps found, or as a refusal with
the reason; nothing in between. What is finished is kept until the build ends, so that a build that
was broken off goes on where it stopped. Not here: which sessions (``plan``), the release's own
folder (``assembly``).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xnat_client.release import secret_strings, sources, tree
from xnat_client.release.labels import new_label
from xnat_client.release.server_steps import COMMANDS as SERVER_COMMANDS
from xnat_client.release.spellings import Secret, SecretKind
from xnat_client.release.steps import EXIT_BAD_INPUT, EXIT_UNSAFE, StepRun, run_step
from xnat_client.sharing.vocabulary import Level

if TYPE_CHECKING:
    from xnat_client.release.plan import PlannedSession
    from xnat_client.release.request import BuildRequest
    from xnat_client.release.server_steps import ServerSteps
    from xnat_client.transport import Transport

TREE_DIR = "tree"
_DONE_FILE = "done.json"
_SECRETS_FILE = "secrets.json"
_REPORTS_DIR = "reports"
_FORM = 1
"""Of the finished session's record; another number makes it anew."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The new labels of one session: ``sub-`` and ``ses-`` are not part of them."""

    subject: str
    session: str

    @property
    def folder(self) -> str:
        """Return the session's folder below the dataset."""
        return f"sub-{self.subject}/ses-{self.session}"


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all sessions of a build share.

    Attributes
    ----------
    quarantine_dir : Path
        Of this build alone; readable by its owner only.
    on_server : ServerSteps or None
        Runs the steps after scrubbing, where they do not run here.
    """

    request: BuildRequest
    quarantine_dir: Path
    version: str
    on_server: ServerSteps | None = None


@dataclass(slots=True)
class SessionOutcome:
    """What became of a session.

    Attributes
    ----------
    refused_by : str
        ``headers``, ``faces``, ``bids`` or ``build``; empty where the tree is complete.
    reason : str
        Why; a sentence of the step.
    faces : dict of str to str
        Image (path below the dataset) to what was done about its face.
    quality : list of dict
        winqc's rows, by measure.
    not_measured : dict of str to str
        Image to why it has no measures.
    left_out : dict of str to int
        Files that are not in the tree, by reason.
    tools : dict of str to str
        Step to its version.
    """

    refused_by: str = ""
    reason: str = ""
    faces: dict[str, str] = field(default_factory=dict)
    quality: list[dict[str, str]] = field(default_factory=list)
    not_measured: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)


class _RefusedError(Exception):
    """The session cannot go in."""

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(reason)
        self.check = check


class SessionWork:
    """The work on one session, in a folder of its own below the quarantine.

    Parameters
    ----------
    planned : PlannedSession
        Whose files they are.
    labels : Labels
        The new labels; also the name of the folder.
    """

    def __init__(self, workshop: Workshop, planned: PlannedSession, labels: Labels) -> None:
        self._workshop = workshop
        self._planned = planned
        self._labels = labels
        self.folder = workshop.quarantine_dir / f"{labels.subject}-{labels.session}"
        self.tree_dir = self.folder / TREE_DIR
        self._outcome = SessionOutcome()
        self._left_out: Counter[str] = Counter()
        # Names that sessions have in quarantine on a server: two participants may both have a
        # ses-1, a project not. They are secret, as they must not be in the release.
        self._server_names = (
            {command: new_label(()) for command in sorted(SERVER_COMMANDS)}
            if workshop.on_server is not None
            else {}
        )

    def run(self, transport: Transport) -> SessionOutcome:
        """Do the work, or take over what an earlier build has finished.

        Raises
        ------
        XnatClientError
            The server does not answer; the build can be started again.
        """
        finished = self._finished()
        if finished is not None:
            return finished
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700, parents=True)
        try:
            self._through_the_steps(transport)
        except _RefusedError as error:
            self._outcome.refused_by, self._outcome.reason = error.check, str(error)
            self._keep_reports()
            shutil.rmtree(self.tree_dir, ignore_errors=True)
        self._outcome.left_out = dict(sorted(self._left_out.items()))
        self._clear()
        if self._outcome.refused_by != "build":
            self._write_done()
        return self._outcome

    def secrets(self) -> set[Secret]:
        """Return the secret strings of this session's records and headers."""
        return secret_strings.read_own_file(self.folder / _SECRETS_FILE)

    def _through_the_steps(self, transport: Transport) -> None:
        source_dir = self.folder / "source"
        sources.fetch(transport, self._planned.files, source_dir)
        self._gather_secrets(transport, source_dir)
        self._scrub(source_dir)
        shutil.rmtree(source_dir)
        self._convert()
        session_dir = self.tree_dir / f"sub-{self._labels.subject}"
        self._left_out.update(tree.keep_released(session_dir, self._workshop.request.leave_out))
        self._deface()
        tree.mend_tables(self.tree_dir)
        if not any(tree.files_of(self.tree_dir)):
            raise _RefusedError("build", "Nothing of the session is left to be released.")
        self._measure()

    def _gather_secrets(self, transport: Transport, source_dir: Path) -> None:
        found, _ = sources.session_secrets(transport, self._planned.source)
        found |= self._planned.files.secrets
        found |= {Secret(SecretKind.ID, name) for name in self._server_names.values()}
        for path in tree.files_of(source_dir):
            found |= secret_strings.from_headers(path)
        secret_strings.write_known_file(self.folder / _SECRETS_FILE, found)

    def _step(
        self, command: str, source: str, options: Mapping[str, str], check: str
    ) -> tuple[StepRun, Path]:
        out_dir = self.folder / command
        folders = (self.folder / source, out_dir)
        on_server = self._workshop.on_server
        if on_server is not None and command in self._server_names:
            names = (self._labels.subject, self._server_names[command])
            run = on_server.run(command, folders, options, names)
        else:
            engine = self._workshop.request.engine
            run = run_step(command, folders, options, self.folder / "scratch", engine)
        if run.version:
            self._outcome.tools[command] = run.version
        if run.is_done or command == "winqc":
            return run, out_dir
        if run.exit_code in {EXIT_BAD_INPUT, EXIT_UNSAFE}:
            raise _RefusedError(check, run.said)
        raise _RefusedError("build", f"{command} ended with code {run.exit_code}: {run.said}")

    def _scrub(self, source_dir: Path) -> None:
        request = self._workshop.request
        options = {"profile": "open" if request.level is Level.OPEN else "external"}
        if sources.BIDS_DIR in self._planned.files.kinds:
            options |= {"subject-label": self._labels.subject}
            options |= {"session-label": self._labels.session}
        if request.known_path is not None:
            options["known"] = str(request.known_path.absolute())
        run, _ = self._step("scrub-headers", source_dir.name, options, "headers")
        for row in run.accounted():
            if row["outcome"] != "done":
                self._left_out[f"scrub-headers: {row['reason']}"] += 1

    def _convert(self) -> None:
        scrubbed = Path("scrub-headers", "scrubbed")
        labels = {"subject-label": self._labels.subject, "session-label": self._labels.session}
        self.tree_dir.mkdir()
        map_path = self._workshop.request.map_path
        for kind, command in (
            (sources.DICOM_DIR, "dicom-to-bids"),
            (sources.RECORDING_DIR, "eeg-to-bids"),
        ):
            if kind not in self._planned.files.kinds:
                continue
            # On a server both come from the quarantine project.
            options = {} if command in self._server_names else dict(labels)
            if command == "dicom-to-bids" and map_path is not None and options:
                options["map"] = str(map_path.absolute())
            run, out_dir = self._step(command, str(scrubbed / kind), options, "bids")
            for row in run.accounted():
                if row["outcome"] != "done":
                    self._left_out[f"{command}: {row['reason']}"] += 1
            if command in self._server_names:
                tree.rename_session(
                    out_dir / "bids", self._server_names[command], self._labels.session
                )
            self._take(out_dir / "bids")
        if sources.BIDS_DIR in self._planned.files.kinds:
            self._take(self.folder / scrubbed / sources.BIDS_DIR)
        shutil.rmtree(self.folder / "scrub-headers", ignore_errors=True)

    def _take(self, bids_dir: Path) -> None:
        """Add the session's folder of a BIDS result; texts and tables of the dataset are made."""
        found = [path for path in bids_dir.glob("sub-*") if path.is_dir()]
        expected = f"sub-{self._labels.subject}"
        if [path.name for path in found] != [expected]:
            raise _RefusedError(
                "bids", "The converted session holds another subject than the one it is made for."
            )
        shutil.copytree(found[0], self.tree_dir / expected, dirs_exist_ok=True)

    def _deface(self) -> None:
        images = self._images_to_deface()
        by_rule = [image for image in images if tree.shows_no_face(image)]
        self._outcome.faces = {self._shown(image): "by rule no face" for image in by_rule}
        if len(by_rule) == len(images):
            return
        # On a server a run that fails leaves no report, by which a person could look.
        options = {"fail-when-refused": "false"} if "deface" in self._server_names else {}
        run, out_dir = self._step("deface", TREE_DIR, options, "faces")
        rows = {str(row["subject"]): row for row in run.accounted()}
        for image in set(images) - set(by_rule):
            row = rows.get(tree.stem_of(image), {})
            if row.get("outcome") == "done" and row.get("outputs"):
                self._take_defaced(image, row, out_dir)
            elif row.get("outcome") == "left-out":
                self._leave_out_image(image)
            elif row.get("outcome") == "failed":
                raise _RefusedError("faces", run.said)
            else:
                raise _RefusedError("faces", "deface does not account for an image.")

    def _images_to_deface(self) -> list[Path]:
        """Return the session's images without those with which ``deface`` cannot begin."""
        images = tree.images_of(self.tree_dir)
        kinds = tree.NOT_DEFACED
        # Without one magnitude image to be cut, those of phase have nothing to be cut by.
        if all(
            tree.suffix_of(one) in kinds | tree.PHASES or tree.shows_no_face(one) for one in images
        ):
            kinds |= tree.PHASES
        for image in images:
            if tree.suffix_of(image) in kinds:
                self._leave_out_image(image)
        return tree.images_of(self.tree_dir)

    def _leave_out_image(self, image: Path) -> None:
        self._left_out["deface: a kind of image that it does not handle"] += 1
        tree.remove_image(image)

    def _take_defaced(self, image: Path, row: Mapping[str, Any], out_dir: Path) -> None:
        relative = image.relative_to(self.tree_dir)
        outputs = {str(one) for one in row["outputs"]}
        defaced = out_dir / "defaced" / relative
        if f"defaced/{relative.as_posix()}" not in outputs or not defaced.is_file():
            raise _RefusedError("faces", "deface gives an image under another name than its own.")
        shutil.copyfile(defaced, image)
        sidecar = defaced.with_name(f"{tree.stem_of(image)}.json")
        shutil.copyfile(sidecar, image.with_name(sidecar.name))
        self._outcome.faces[self._shown(image)] = (
            "no face left to take out" if row.get("reason") else "defaced"
        )

    def _measure(self) -> None:
        images = [self._shown(image) for image in tree.images_of(self.tree_dir)]
        if not images and "electrophysiology" not in tree.data_types_of(self.tree_dir):
            return
        states = {self._outcome.faces[image] for image in images} or {""}
        defaced = {"defaced": "yes"}.get(states.pop(), "no") if len(states) == 1 else "unknown"
        run, out_dir = self._step("winqc", TREE_DIR, {"defaced": defaced}, "quality")
        table = out_dir / "qc" / "winqc.tsv"
        if run.is_done and table.is_file():
            lines = table.read_text(encoding="utf-8").splitlines()
            names = lines[0].split("\t")
            for line in lines[1:]:
                self._outcome.quality.append(dict(zip(names, line.split("\t"), strict=True)))
        measured = {row["image"] for row in self._outcome.quality}
        reasons = {str(row["subject"]): str(row["reason"]) for row in run.accounted()}
        for image in images:
            stem = tree.stem_of(Path(image))
            if stem not in measured:
                said = next((why for name, why in reasons.items() if stem in name and why), "")
                self._outcome.not_measured[image] = said or run.said or "winqc gives no measures."

    def _shown(self, image: Path) -> str:
        return image.relative_to(self.tree_dir).as_posix()

    def _keep_reports(self) -> None:
        """Copy the steps' pages to where a person wants to look at them."""
        target = self._workshop.request.reports_dir
        if target is None:
            return
        for report in sorted(self.folder.glob("*/report")):
            place = target / self.folder.name / report.parent.name
            shutil.copytree(report, place, dirs_exist_ok=True)

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name not in {TREE_DIR, _SECRETS_FILE}:
                shutil.rmtree(path, ignore_errors=True)

    def _fingerprint(self) -> str:
        """Return a digest over all that the result depends on."""
        request = self._workshop.request
        lines = [
            f"{_FORM} {self._workshop.version} {self._labels.folder} {request.level.word}",
            f"{request.engine} {request.on_server} {' '.join(sorted(request.leave_out))}",
            *(_digest_of(path) for path in (request.map_path, request.known_path)),
            *(
                f"{one.path} {one.file.uri} {one.file.md5} {one.file.size_bytes}"
                for one in self._planned.files.wanted
            ),
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _write_done(self) -> None:
        document = {
            "fingerprint": self._fingerprint(),
            "files": dict(self._digests()),
            **{name: getattr(self._outcome, name) for name in SessionOutcome.__slots__},
        }
        partial = self.folder / f".{_DONE_FILE}"
        partial.write_text(json.dumps(document), encoding="utf-8")
        partial.replace(self.folder / _DONE_FILE)

    def _finished(self) -> SessionOutcome | None:
        """Return what an earlier build has finished, if it is of the same things and whole."""
        try:
            document = json.loads((self.folder / _DONE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        is_same = document.pop("fingerprint", "") == self._fingerprint()
        # A refusal is looked at again: its reason may have been mended, and its reports are wanted.
        if not is_same or document.get("refused_by"):
            return None
        if document.pop("files", None) != dict(self._digests()):
            return None
        return SessionOutcome(**document)

    def _digests(self) -> Iterator[tuple[str, str]]:
        for path in tree.files_of(self.tree_dir):
            yield path.relative_to(self.tree_dir).as_posix(), _digest_of(path)


def _digest_of(path: Path | None) -> str:
    if path is None:
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
