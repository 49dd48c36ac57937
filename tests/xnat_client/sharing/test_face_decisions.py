"""A person's decisions on defaced images: what blocks, and what counts as looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from tests.builders import decided
from tests.builders.sharing import Site
from xnat_client.cli.main import run as main
from xnat_client.errors import BadInputError
from xnat_client.faces.decisions import parse_review, read_review
from xnat_client.sharing.check import check_release
from xnat_client.sharing.database.tables import Release, ReleaseFile
from xnat_client.sharing.evidence import CheckId, covers
from xnat_client.sharing.finding import Finding
from xnat_client.sharing.home import DATABASE_VARIABLE, HOME_VARIABLE, Home
from xnat_client.sharing.records import statements
from xnat_client.sharing.vocabulary import Level, Outcome, Role

pytestmark = pytest.mark.usefixtures("link_keys")


@pytest.fixture
def draft(session: Session, home: Home, site: Site, now: datetime) -> Release:
    """A draft at level EXTERNAL that lacks nothing but its approvals."""
    decided.prepare(session, site, now=now)
    return decided.draft(session, home, site, now=now)


def _document(chosen: dict[str, str], **changes: object) -> str:
    rows = [
        {"image": "sub-1_T1w", "sha256": digest, "decision": decision, "reason": "a nose is left",
         "decided_at": "2026-03-04T10:11:12.000Z"}
        for digest, decision in chosen.items()
    ]  # fmt: skip
    document = {"format": "winxnat-deface-decisions", "version": 1, "reviewer": "steward",
                "decisions": rows}  # fmt: skip
    return json.dumps(document | changes)


def _images(session: Session, release: Release) -> list[str]:
    rows = session.query(ReleaseFile).filter(ReleaseFile.release_pk == release.release_pk)
    return [row.sha256 for row in rows if row.path.endswith(".nii.gz")]


def _state(
    session: Session, site: Site, text: str, now: datetime, release: int | None = None
) -> int:
    review = parse_review(text)
    said = text if review is None else review.text
    row = statements.state(session, site.acting(Role.STEWARD), site.study_pk, "faces", said,
                           now=now, release_pk=release)  # fmt: skip
    return row.statement_pk


def _faces(session: Session, home: Home, release: Release, now: datetime) -> Finding:
    found = check_release(session, home, release, Level.EXTERNAL, now=now)
    return next(one for one in found if one.key == "faces")


def test_a_rejected_image_blocks_until_the_statement_is_revoked(
    session: Session, home: Home, site: Site, draft: Release, now: datetime
) -> None:
    """However good the check's evidence and whatever is stated later."""
    image = _images(session, draft)[0]
    assert _faces(session, home, draft, now).outcome is Outcome.MET

    number = _state(session, site, _document({image: "reject"}), now)
    _state(session, site, _document({image: "accept"}), now)
    _state(session, site, "Looked at all images; no face is left.", now)

    found = _faces(session, home, draft, now)
    assert (found.outcome, found.blocks) == (Outcome.NOT_MET, True)
    assert "rejected 1 image of this release" in found.sentence
    assert "nose" not in found.sentence
    statements.revoke(session, site.acting(Role.STEWARD), number, now=now)
    assert _faces(session, home, draft, now).outcome is Outcome.MET


def test_a_rejection_of_another_image_blocks_nothing(
    session: Session, home: Home, site: Site, draft: Release, now: datetime
) -> None:
    """A decision is on the bytes that were looked at, and on no others."""
    _state(session, site, _document({"0" * 64: "reject"}), now)
    assert _faces(session, home, draft, now).outcome is Outcome.MET


def test_a_rejected_image_blocks_under_any_name(
    session: Session, home: Home, site: Site, draft: Release, now: datetime
) -> None:
    """The bytes count: also in a file that by its name need not be searched for faces."""
    files = session.query(ReleaseFile).filter(ReleaseFile.release_pk == draft.release_pk)
    table = next(row for row in files if row.path.endswith(".tsv"))
    assert not covers(CheckId.FACES, table.path)
    _state(session, site, _document({table.sha256: "reject"}), now)
    assert _faces(session, home, draft, now).blocks


def test_decisions_are_read_without_the_libraries_of_pictures() -> None:
    """The records of sharing are installed without Pillow."""
    code = "import sys; sys.modules['PIL'] = None; import xnat_client.sharing.check.face_answers"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_accepting_lifts_no_verdict_of_the_check(
    session: Session, home: Home, site: Site, draft: Release, now: datetime
) -> None:
    """Where the check found a face, a review that accepts all images changes nothing."""
    decided.add_evidence(session, draft, now=now, outcomes={CheckId.FACES: Outcome.NOT_MET})
    accepted = dict.fromkeys(_images(session, draft), "accept")
    _state(session, site, _document(accepted), now, draft.release_pk)
    assert _faces(session, home, draft, now).outcome is Outcome.NOT_MET


@pytest.mark.parametrize("is_complete", [True, False])
def test_doubtful_images_count_as_seen_only_one_by_one(  # noqa: PLR0913, PLR0917 - fixtures and a case
    session: Session, home: Home, site: Site, draft: Release, now: datetime,
    is_complete: bool,  # noqa: FBT001 - parametrised
) -> None:  # fmt: skip
    """What the check could not tell is settled by a review only if it accepts every image."""
    decided.add_evidence(session, draft, now=now, outcomes={CheckId.FACES: Outcome.UNKNOWN})
    images = _images(session, draft)
    accepted = dict.fromkeys(images if is_complete else images[1:], "accept")
    _state(session, site, _document(accepted), now, draft.release_pk)
    expected = Outcome.MET if is_complete else Outcome.UNKNOWN
    assert _faces(session, home, draft, now).outcome is expected


@pytest.mark.parametrize(
    "text",
    [
        _document({"0" * 64: "reject"}, version=9),
        _document({"0" * 64: "reject"})[:-1],
        _document({"0" * 64: "reject"})[:-1] + ', "format": "other"}',
    ],
    ids=["other version", "cut", "renamed"],
)
def test_decisions_that_cannot_be_read_block(  # noqa: PLR0913, PLR0917 - fixtures and a case
    session: Session, home: Home, site: Site, draft: Release, now: datetime, text: str
) -> None:
    """A statement that begins as a review and is none may hide a rejection."""
    statements.state(session, site.acting(Role.STEWARD), site.study_pk, "faces", text, now=now)
    assert _faces(session, home, draft, now).outcome is Outcome.NOT_MET


ROW = {"sha256": "0" * 64, "decision": "accept", "reason": "", "decided_at": "2026-03-04T10:11:12Z"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 2}, "another version"),
        ({"reviewer": " "}, "who reviewed"),
        ({"decisions": []}, "no image"),
        ({"decisions": [ROW | {"sha256": "abc"}]}, "SHA-256"),
        ({"decisions": [ROW | {"decision": "maybe"}]}, "neither accept nor reject"),
        ({"decisions": [ROW | {"decision": "reject"}]}, "no reason"),
        ({"decisions": [ROW | {"decided_at": "2026-03-04T10:11:12"}]}, "no zone"),
        ({"decisions": [ROW, ROW | {"decision": "reject", "reason": "nose"}]}, "both accepts"),
        ({"decisions": [ROW | {"reason": "x" * 5000}]}, "no text of a line"),
        ({"decisions": [7]}, "neither accept nor reject"),
    ],
)
def test_incomplete_decisions_are_refused(
    changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    """The sentence says what is missing and repeats nothing of the file."""
    path = tmp_path / "decisions.json"
    path.write_text(_document({}, **({"decisions": [ROW]} | changes)), encoding="utf-8")
    with pytest.raises(BadInputError, match=said):
        read_review(path)


def test_another_file_is_no_review(tmp_path: Path) -> None:
    """A file of another kind is refused, and not taken for words."""
    path = tmp_path / "a.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(BadInputError, match="no decisions"):
        read_review(path)


def test_the_command_line_records_a_review(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The steward's file becomes a statement; the lead's log-in does not suffice."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    path = tmp_path / "decisions.json"
    path.write_text(_document({"a" * 64: "reject", "b" * 64: "accept"}), encoding="utf-8")
    who = {"administrator": "a1", "officer": "o1", "steward": "s1", "lead": "l1"}
    by = {
        role: ("--person", one, "--role", role, "--reason", "a test") for role, one in who.items()
    }
    for arguments in (
        ("init", "--administrator", "a1", "--administrator-name", "A",
         "--officer", "o1", "--officer-name", "O"),
        ("server", "add", "inside", "http://inside.test", "--side", "inside",
         "--service-account", "releaser", *by["administrator"]),
        ("person", "add", "l1", "--name", "L", *by["administrator"]),
        ("person", "add", "s1", "--name", "S", *by["administrator"]),
        ("study", "add", "SRC", "--server", "inside", "--lead", "l1", *by["administrator"]),
        ("person", "give", "s1", "steward", "--study", "SRC", *by["officer"]),
    ):  # fmt: skip
        assert main(["share", *arguments]) == 0, arguments
    capsys.readouterr()

    refused = main(["deface", "decisions", str(path), "--project", "SRC", *by["lead"]])
    recorded = main(["deface", "decisions", str(path), "--project", "SRC", *by["steward"]])

    said = capsys.readouterr()
    assert (refused != 0, recorded) == (True, 0), said.err
    assert "1 images accepted, 1 rejected" in said.out
