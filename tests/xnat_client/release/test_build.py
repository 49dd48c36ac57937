"""A build from a real server: no canary gets out, the refused is not in it, kills do no harm."""

from __future__ import annotations

import base64
import gzip
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.builders import canaries, sharing
from tests.builders.live_folders import paths_below
from xnat_client.cli import main
from xnat_client.errors import (
    BadInputError,
    ConflictError,
    NotAllowedError,
    NotFoundError,
    UsageError,
)
from xnat_client.release import manifest
from xnat_client.release.build import build_release
from xnat_client.release.request import BuildResult
from xnat_client.sharing import clock, evidence, site_key
from xnat_client.sharing.database.tables import (
    AuditEntry,
    Evidence,
    Release,
    ReleaseFile,
    ReleaseParticipant,
)
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.home import DATABASE_VARIABLE, Home
from xnat_client.sharing.link_table import LinkState, LinkTable, table_path
from xnat_client.sharing.records import consent as consents
from xnat_client.sharing.records.consent import ConsentLine
from xnat_client.sharing.vocabulary import (
    ConsentEvent,
    DataType,
    Level,
    Outcome,
    ReleaseState,
    Role,
)
from xnat_client.upload.scan import choose_study, scan_folder
from xnat_client.upload.send import UploadTarget, upload_session

from .conftest import HEAD, Built, Maker, Releasing, consent


@dataclass(frozen=True)
class Haystack:
    """All that a build left, in lower case: bytes, names, records, what it told."""

    files: bytes
    records: bytes


@pytest.fixture(scope="module")
def haystack(canary_study: Built) -> Haystack:
    releasing, result = canary_study
    assert result.folder is not None
    parts = [path.read_bytes() for path in result.folder.rglob("*") if path.is_file()]
    parts += [gzip.decompress(each) for each in parts if each.startswith(b"\x1f\x8b")]
    parts += [path.relative_to(result.folder).as_posix().encode()
              for path in result.folder.rglob("*")]  # fmt: skip
    with releasing.database.transaction() as session:
        rows = [
            repr({column.name: getattr(row, column.name) for column in table.__table__.columns})
            for table in (Evidence, AuditEntry, Release, ReleaseFile)
            for row in session.scalars(sa.select(table))
        ]
    told = "\n".join([*rows, *releasing.told, repr(result)])
    return Haystack(b"\n".join(parts).lower(), told.lower().encode())


@pytest.mark.parametrize("kind", canaries.KINDS)
def test_a_release_holds_no_canary_of_the_kind(kind: str, haystack: Haystack) -> None:
    canary = canaries.KINDS[kind].lower()

    forms = {canary.encode(), canary.encode("utf-16-le"), canary.replace("-", "").encode()}

    assert not [form for form in forms if form in haystack.files or form in haystack.records]


def test_there_were_canaries_to_be_found(canary_study: Built) -> None:
    """The same search finds them in the source: it is not blind."""
    releasing, _ = canary_study
    sessions = json.dumps(
        releasing.server.transport.get_json(
            f"/data/projects/{releasing.project_id}/experiments", doing="look",
            query={"format": "json", "columns": "ID,label,subject_label"},
        )
    )  # fmt: skip

    assert canaries.KINDS["session label"] in sessions
    assert all(label in sessions for label in canaries.SUBJECTS)
    assert len(canaries.KINDS) >= 30


def test_the_canary_study_is_released_whole_with_every_check_met(canary_study: Built) -> None:
    _, result = canary_study

    outcomes = {one.check_id: one.outcome for one in result.evidence}

    assert outcomes == dict.fromkeys(
        ("headers", "faces", "secrets", "tables", "quality", "bids"), Outcome.MET
    )
    assert (result.participants, result.sessions, result.refusals) == (4, 4, ())


def test_the_data_are_still_data(canary_study: Built) -> None:
    _, result = canary_study
    assert result.folder is not None

    names = {path.name.partition("_")[2] for path in result.folder.rglob("sub-*_*")}

    assert {
        "ses-1_task-rest_bold.nii.gz",
        "ses-1_dir-AP_dwi.nii.gz",
        "ses-1_dir-AP_dwi.bval",
    } <= names
    assert any(name.endswith("_eeg.edf") for name in names)
    assert any(name.endswith("_eeg.vhdr") for name in names)


def test_folder_manifest_and_records_say_the_same(canary_study: Built) -> None:
    releasing, result = canary_study
    assert result.folder is not None

    with releasing.database.transaction() as session:
        rows = session.scalars(
            sa.select(ReleaseFile).where(ReleaseFile.release_pk == result.release_pk)
        ).all()
    found = {
        path.relative_to(result.folder).as_posix(): manifest.digests_of(path)
        for path in result.folder.rglob("*")
        if path.is_file()
    }

    assert manifest.verify(result.folder, result.manifest_sha256) == []
    assert {row.path: (row.size_bytes, row.sha256, row.md5) for row in rows} == found


def test_the_evidence_is_bound_to_the_files_and_goes_stale_with_them(canary_study: Built) -> None:
    releasing, result = canary_study
    assert result.folder is not None
    path = result.folder / "README.md"
    before = path.read_bytes()
    with releasing.database.transaction() as session:
        release = session.get(Release, result.release_pk)
        assert release is not None
        now = clock.now(session)
        fresh = evidence.stale_reasons(session, releasing.home, release, now)
        path.write_bytes(before + b"\n")
        stale = evidence.stale_reasons(session, releasing.home, release, now)
        path.write_bytes(before)

    assert not [reason for reason in fresh if "criteria" not in reason]
    assert [reason for reason in stale if "README.md was changed" in reason]


def test_no_time_of_the_work_is_left_on_the_files(canary_study: Built) -> None:
    _, result = canary_study
    assert result.folder is not None

    gzip_times = {path.read_bytes()[3:8] for path in result.folder.rglob("*.gz")}

    assert gzip_times == {b"\0" * 5}
    assert {path.stat().st_mtime for path in result.folder.rglob("*.nii.gz")} == {0.0}


def test_nothing_is_left_in_quarantine(canary_study: Built) -> None:
    releasing, _ = canary_study

    assert list(releasing.home.quarantine_dir.iterdir()) == []


def test_only_the_sealed_link_table_links_a_label_to_a_participant(canary_study: Built) -> None:
    releasing, result = canary_study
    assert result.folder is not None
    table = LinkTable.open(releasing.home, releasing.family)

    with releasing.database.transaction() as session:
        custodian = releasing.site.acting(Role.CUSTODIAN)
        now = clock.now(session)
        found = [
            table.lookup(session, custodian, label, 1, now=now)[""]
            for label in (*canaries.SUBJECTS, HEAD)
        ]

    assert table.state is LinkState.SEALED
    assert sorted(found) == sorted(path.name for path in result.folder.glob("sub-*"))


def test_a_complete_build_is_not_repeated_by_accident(canary_study: Built) -> None:
    releasing, _ = canary_study

    with pytest.raises(ConflictError, match="sealed"):
        releasing.build()


def test_a_family_named_for_the_source_is_refused(canary_study: Built) -> None:
    releasing, _ = canary_study

    with pytest.raises(UsageError, match="will be public"):
        releasing.build(family=releasing.project_id, release_project="OTHER")
    with pytest.raises(UsageError, match="will be public"):
        releasing.build(
            version="1.1.0",
            citation={"title": "Scans", "creators": [{"name": canaries.SUBJECTS[1]}]},
        )


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"family": "other-heads"}, id="another family's project"),
        pytest.param({"version": "2.0.0", "level": Level.OPEN}, id="another level's project"),
    ],
)
def test_a_release_project_is_for_one_family_and_level(
    changes: dict[str, object], canary_study: Built
) -> None:
    releasing, _ = canary_study

    with pytest.raises(ConflictError, match="another family or level"):
        releasing.build(**changes)


def test_who_is_not_of_the_study_may_not_build(canary_study: Built) -> None:
    releasing, _ = canary_study

    with pytest.raises(NotAllowedError):
        build_release(
            releasing.home, releasing.database, releasing.server, releasing.request(),
            releasing.site.acting(Role.ADMINISTRATOR),
        )  # fmt: skip


# A second study: one participant who can be released, one whose head cannot be defaced, one who
# consented to less, one of whom the records know nothing.


@pytest.fixture(scope="module")
def mixed_study(make_releasing: Maker) -> Releasing:
    releasing = make_releasing("mixed")
    transport = releasing.server.transport
    for label in ("Kleiber41", "Kleiber43", "Kleiber44"):
        files = canaries.with_phase_map(label)
        canaries.put_bids_session(transport, releasing.project_id, label, files)
    files = canaries.with_undefaceable_head("Kleiber42")
    canaries.put_bids_session(transport, releasing.project_id, "Kleiber42", files)
    consent(releasing, "Kleiber41")
    consent(releasing, "Kleiber42")
    consent(releasing, "Kleiber43", Level.MEMBERS)
    return releasing


@pytest.fixture(scope="module")
def refused(mixed_study: Releasing) -> BuildResult:
    return mixed_study.build()


def test_a_dry_run_counts_and_leaves_nothing(mixed_study: Releasing) -> None:
    result = build_release(
        mixed_study.home, mixed_study.database, mixed_study.server,
        mixed_study.request(family="dry-heads"), mixed_study.site.acting(Role.STUDY_TEAM),
        dry_run=True,
    )  # fmt: skip

    excluded = {(one.reason, one.sessions) for one in result.excluded}

    assert (result.participants, result.is_dry_run) == (2, True)
    assert excluded == {
        ("consent to a lower level only", 1),
        ("not in the records of participants", 1),
    }
    assert not (mixed_study.home.releases_dir / "dry-heads").exists()


def _records_of(releasing: Releasing) -> list[tuple[str, int]]:
    return sorted(
        (path.relative_to(releasing.home.folder).as_posix(), path.stat().st_size)
        for path in paths_below(releasing.home.folder)
        if "sqlite" not in path.name and path.name != "build.lock"
    )


@pytest.mark.parametrize(
    ("changes", "text", "kind", "said"),
    [
        ({"known_path": "k.txt"}, "", BadInputError, "holds none"),
        ({"map_path": "m.yaml"}, "version: 1\nrulez: []\n", BadInputError, "check-map m.yaml"),
        ({"release_server": "elsewhere"}, "", NotFoundError, "no server elsewhere"),
        ({"citation": {"title": "Kleiber41"}}, "", UsageError, "will be public"),
        (
            {"level": Level.OPEN, "sessions": ("Kleiber43_MR1",)},
            "",
            RefusedByPolicyError,
            "lower level",
        ),
    ],
)
def test_a_dry_run_is_refused_where_the_build_is(  # noqa: PLR0913  # the columns of the table
    mixed_study: Releasing,
    tmp_path: Path,
    *,
    changes: dict[str, object],
    text: str,
    kind: type[Exception],
    said: str,
) -> None:
    """The same sentence for both, and nothing is written by either."""
    given = {
        name: tmp_path / str(value) if name.endswith("_path") else value
        for name, value in changes.items()
    }
    for path in given.values():
        if isinstance(path, Path):
            path.write_text(text)
    before = _records_of(mixed_study)
    request = mixed_study.request(**{"family": "refused-heads", **given})

    for dry_run in (True, False):
        with pytest.raises(kind, match=said):
            build_release(
                mixed_study.home, mixed_study.database, mixed_study.server, request,
                mixed_study.site.acting(Role.STUDY_TEAM), dry_run=dry_run,
            )  # fmt: skip
        assert _records_of(mixed_study) == before


def test_the_command_line_says_the_same_for_machines(
    mixed_study: Releasing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = mixed_study.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv(DATABASE_VARIABLE, url)
    monkeypatch.setenv("XNAT_USER", mixed_study.server.credentials.user)
    monkeypatch.setenv("XNAT_PASS", mixed_study.server.credentials.password)

    code = main.run([
        "release", "build", "--project", mixed_study.project_id, "--family", "dry-heads",
        "--version", "1.0.0", "--level", "members", "--release-server", "outside",
        "--release-project", "DRY", "--dry-run", "--json", "--person", "p-requester",
        "--role", "study-team", "--reason", "a test", "--home", str(mixed_study.home.folder),
    ])  # fmt: skip

    told = json.loads(capsys.readouterr().out)
    assert (code, told["participants"], told["dry_run"]) == (0, 3, True)
    assert "Kleiber" not in json.dumps(told)


def test_what_deface_refuses_is_not_in_the_release_and_spoils_it(
    mixed_study: Releasing, refused: BuildResult
) -> None:
    assert refused.folder is not None
    outcomes = {one.check_id: one.outcome for one in refused.evidence}

    with mixed_study.database.transaction() as session:
        release = session.get(Release, refused.release_pk)
        inside = session.scalars(
            sa.select(ReleaseParticipant.participant_pk).where(
                ReleaseParticipant.release_pk == refused.release_pk
            )
        ).all()
        assert release is not None
        state = release.state

    assert [one.check for one in refused.refusals] == ["faces"]
    assert (outcomes["faces"], refused.is_complete) == (Outcome.NOT_MET, False)
    assert refused.refusals[0].participant not in inside
    assert len(list(refused.folder.glob("sub-*"))) == 1
    assert not list(refused.folder.rglob("*T1w*"))
    assert state is ReleaseState.DRAFT


def test_a_session_of_which_only_phase_maps_cannot_be_defaced_goes_in_without_them(
    refused: BuildResult,
) -> None:
    assert refused.folder is not None

    names = {path.name.rpartition("_")[2] for path in refused.folder.rglob("sub-*.nii.gz")}

    assert names == {"bold.nii.gz"}
    assert refused.left_out["deface: a kind of image that it does not handle"] == 1


def test_the_site_s_signature_is_of_the_manifest_and_of_no_other(
    mixed_study: Releasing, refused: BuildResult, tmp_path: Path
) -> None:
    assert refused.folder is not None
    key = site_key.public_key(mixed_study.home)
    other = site_key.public_key(Home(tmp_path, ""))
    document = json.loads((refused.folder / "manifest.sig.json").read_text())
    signed = b"winxnat release manifest\n" + (refused.folder / "manifest.json").read_bytes()

    # Another way to the same: raises where the signature is not of these bytes and this key.
    Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(
        base64.b64decode(document["signature"]), signed
    )

    command = ["release", "verify", str(refused.folder), "--key"]
    assert main.run([*command, key]) == 0
    assert main.run([*command, other]) == 3


@pytest.mark.usefixtures("refused")
def test_a_family_whose_link_table_is_lost_gets_no_new_labels(
    mixed_study: Releasing, tmp_path: Path
) -> None:
    path = table_path(mixed_study.home, mixed_study.family)
    path.rename(tmp_path / path.name)

    with pytest.raises(NotFoundError, match="no link table"):
        mixed_study.build()

    (tmp_path / path.name).rename(path)


def test_a_withdrawal_during_the_build_stops_it(
    mixed_study: Releasing, refused: BuildResult
) -> None:
    assert refused.folder is not None
    number = refused.refusals[0].participant

    def say(line: ConsentLine) -> None:
        with mixed_study.database.transaction() as session:
            team = mixed_study.site.acting(Role.STUDY_TEAM)
            consents.record(session, team, number, line, now=clock.now(session))

    def withdraw(sentence: str) -> None:
        if "putting the dataset together" in sentence:
            say(ConsentLine(ConsentEvent.NO_FURTHER_SHARING, date(2026, 2, 1)))

    with pytest.raises(RefusedByPolicyError, match=f"Participant {number} may no longer"):
        build_release(
            mixed_study.home, mixed_study.database, mixed_study.server,
            mixed_study.request(leave_out=("anat",)), mixed_study.site.acting(Role.STUDY_TEAM),
            tell=withdraw,
        )  # fmt: skip

    assert manifest.verify(refused.folder, refused.manifest_sha256) == []
    with pytest.raises(RefusedByPolicyError, match="consent withdrawn"):
        mixed_study.build(sessions=("Kleiber42_MR1",))
    again = ConsentLine(
        ConsentEvent.GIVEN, date(2026, 3, 1), *sharing.FORM, Level.OPEN, tuple(DataType)
    )
    say(again)


def test_without_the_heads_it_is_complete_and_labels_stay(
    mixed_study: Releasing, refused: BuildResult
) -> None:
    assert refused.folder is not None
    before = {path.name for path in refused.folder.glob("sub-*")}

    again = mixed_study.build(leave_out=("anat",))

    assert again.is_complete
    assert again.folder is not None
    assert again.release_pk == refused.release_pk
    assert before < {path.name for path in again.folder.glob("sub-*")}
    assert again.participants == 2


def test_a_label_hidden_among_voxels_stops_the_session_and_is_not_repeated(
    make_releasing: Maker,
) -> None:
    label = "Zaunvogel8177"
    releasing = make_releasing("voxels")
    files = canaries.bids_files(label)
    name = next(name for name in files if name.endswith("_bold.nii.gz"))
    image = bytearray(gzip.decompress(files[name]))
    image[-5000 : -5000 + len(label)] = label.encode()
    files[name] = gzip.compress(bytes(image), mtime=0)
    canaries.put_bids_session(releasing.server.transport, releasing.project_id, label, files)
    consent(releasing, label)

    result = releasing.build()

    assert (result.folder, result.is_complete, result.participants) == (None, False, 0)
    assert [one.check for one in result.refusals] == ["headers"]
    assert label.lower() not in (repr(result) + "".join(releasing.told)).lower()
    assert list(releasing.home.quarantine_dir.iterdir()) == []


@pytest.mark.samples
def test_a_real_session_is_released_with_every_check_met(
    make_releasing: Maker, samples: Path
) -> None:
    releasing = make_releasing("real")
    study = choose_study(scan_folder(samples / "dicom" / "siemens_e11_bold_human"))
    target = UploadTarget(releasing.project_id, "Zeisig71", "Zeisig71_MR1")
    upload_session(releasing.server.transport, study, target)
    consent(releasing, "Zeisig71")

    result = releasing.build()

    assert result.is_complete, [(one.check_id, one.detail) for one in result.evidence]
    assert result.folder is not None
    assert list(result.folder.rglob("*_bold.nii.gz"))


@pytest.mark.docker
def test_a_build_in_containers_meets_every_check_too(make_releasing: Maker) -> None:
    releasing = make_releasing("docker")
    files = canaries.bids_files("Dohle81")
    canaries.put_bids_session(releasing.server.transport, releasing.project_id, "Dohle81", files)
    consent(releasing, "Dohle81")

    result = releasing.build(engine="docker")

    assert result.is_complete, [(one.check_id, one.detail) for one in result.evidence]
    assert result.folder is not None
    assert {path.owner() for path in result.folder.rglob("*")} == {result.folder.owner()}


@pytest.mark.slow
def test_a_build_that_is_killed_anywhere_can_be_run_again(
    make_releasing: Maker, tmp_path: Path
) -> None:
    releasing = make_releasing("killed")
    for label in ("Star61", "Star62"):
        files = canaries.bids_files(label)
        canaries.put_bids_session(releasing.server.transport, releasing.project_id, label, files)
        consent(releasing, label)
    target = releasing.home.releases_dir / releasing.family / "1.0.0"

    for moment in ("choosing", "1 of 2", "2 of 2", "putting"):
        process = _start(releasing, tmp_path)
        assert process.stderr is not None
        for line in process.stderr:
            if moment in line:
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
        assert not target.exists()
    process = _start(releasing, tmp_path)
    _, told = process.communicate(timeout=300)

    assert process.returncode == 0, told
    assert manifest.verify(target) == []
    assert len(list(target.glob("sub-*"))) == 2
    assert list(releasing.home.quarantine_dir.iterdir()) == []
    assert list((releasing.home.releases_dir / releasing.family).iterdir()) == [target]


def _start(releasing: Releasing, folder: Path) -> subprocess.Popen[str]:
    citation = folder / "citation.json"
    citation.write_text('{"title": "Heads in winter", "creators": [{"name": "The Centre"}]}')
    program = [sys.executable, "-c", "from xnat_client.cli.main import main; main()"]
    login = releasing.server.credentials
    url = releasing.database.engine.url.render_as_string(hide_password=False)
    options = {
        "project": releasing.project_id, "family": releasing.family, "version": "1.0.0",
        "level": "external", "release-server": sharing.OUTSIDE, "release-project": "HEADS",
        "licence": "CC-BY-4.0", "citation": str(citation), "person": releasing.site.requester,
        "role": "study-team", "reason": "a test", "home": str(releasing.home.folder),
    }  # fmt: skip
    return subprocess.Popen(
        [*program, "release", "build", *(f"--{name}={value}" for name, value in options.items())],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={
            **os.environ, DATABASE_VARIABLE: url, "XNAT_USER": login.user,
            "XNAT_PASS": login.password,
        },
    )  # fmt: skip
