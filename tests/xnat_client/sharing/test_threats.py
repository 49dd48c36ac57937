"""Each threat of the sharing policy that this part can meet, by its number.

Every test here tries the threat itself, shortly; the rooms' own tests go deeper. Met in the portal
and not here: T7 (counts in a public search), T11 (stolen portal sessions), T12 (forwarded links),
T13 (scraping), T14 (other users' files by number), T16 (scripts in pages), T26 (a search index),
T29 (load on the search page), T30 (what the portal's pages are made of).
"""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from scipy.stats import spearmanr
from sqlalchemy.orm import Session

from tests.builders import decided, watched
from tests.builders.decided import Signers
from tests.builders.sharing import INSIDE, NOW, OUTSIDE, Site, fresh_records, make_site
from tests.builders.watched import Servers
from xnat_client.cli.main import run
from xnat_client.errors import NotAllowedError, XnatClientError
from xnat_client.projects import Accessibility, get_accessibility
from xnat_client.release import labels, manifest
from xnat_client.release.disclosure import check_tables
from xnat_client.release.search import Searcher
from xnat_client.release.spellings import Secret, SecretKind
from xnat_client.sharing import decisions, evidence, grants, opening, withdrawal
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.approvals import Decision
from xnat_client.sharing.audit.verify import verify
from xnat_client.sharing.check import freshness
from xnat_client.sharing.database.tables import Release, ReleaseFile
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.evidence import CheckId, CheckResult
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.reconcile.cycle import run_cycle
from xnat_client.sharing.records import agreements
from xnat_client.sharing.records.agreement_text import read_agreement
from xnat_client.sharing.records.agreements import Signing
from xnat_client.sharing.vocabulary import (
    ConsentEvent,
    Level,
    Outcome,
    ReleaseState,
    Role,
    Severity,
)

_TEMPLATES = Path(agreements.__file__).parents[1] / "templates"


@pytest.fixture(autouse=True)
def keys(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of link tables stand in a folder of this test's own."""
    monkeypatch.setenv("WINXNAT_LINK_KEYS", str(tmp_path_factory.mktemp("keys")))


@pytest.fixture
def session(site: Site) -> Iterator[Session]:
    with site.records.transaction() as opened:
        yield opened


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with watched.running_servers(tmp_path_factory.mktemp("servers")) as running:
        watched.add_source(running.service[INSIDE], "SOURCE")
        yield running


def fire_check(session: Session, home: Home, site: Site, release: Release, now: datetime) -> None:
    decisions.fire(
        session, home, site.acting(Role.STUDY_TEAM), release, ReleaseEvent.CHECK, now=now
    )


def test_t01_owner_opens_the_source_project(site: Site, home: Home, servers: Servers) -> None:
    """The site's property refuses the owner; without it, one cycle makes it private again."""
    inside = servers.service[INSIDE]
    watched.put(inside, "/data/projects/SOURCE/users/Owners/lead")
    owner = servers.as_user(INSIDE, "lead")
    with pytest.raises(NotAllowedError, match="private projects only"):
        watched.put(owner, "/data/projects/SOURCE/accessibility/public")
    watched.site_settings(inside, securityAllowNonPrivateProjects=True)
    watched.put(owner, "/data/projects/SOURCE/accessibility/public")
    owner.close()
    opened = get_accessibility(inside, "SOURCE")

    report = run_cycle(watched.fresh_site(site.records, home, servers), mend_site=True)

    assert opened is Accessibility.PUBLIC
    assert get_accessibility(inside, "SOURCE") is Accessibility.PRIVATE
    assert report.worst is Severity.CRITICAL
    with pytest.raises(NotAllowedError, match="private projects only"):
        watched.put(servers.as_user(INSIDE, "lead"), "/data/projects/SOURCE/accessibility/public")


def test_t02_one_image_that_nobody_looked_at(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """Evidence on faces that leaves out one image of the release is no evidence."""
    decided.prepare(session, site, now=now)
    release = decided.draft(session, home, site, now=now)
    rows = session.query(ReleaseFile).filter(ReleaseFile.release_pk == release.release_pk)
    images = {row.path: row.sha256 for row in rows if evidence.covers(CheckId.FACES, row.path)}
    del images[min(images)]
    short = CheckResult(CheckId.FACES, Outcome.MET, freshness.version_now(), images)
    evidence.add(session, service("a hasty look"), release, short, now=now)

    with pytest.raises(RefusedByPolicyError, match="faces"):
        fire_check(session, home, site, release, now)


@pytest.mark.parametrize("check", list(CheckId))
def test_t03_unknown_counts_as_a_face_and_as_every_other_fault(
    session: Session, home: Home, site: Site, now: datetime, check: CheckId
) -> None:
    """A check that could not tell keeps the release closed as one that objects does."""
    decided.prepare(session, site, now=now)
    release = decided.draft(session, home, site, now=now)
    unknown = {one: Outcome.UNKNOWN if one is check else Outcome.MET for one in CheckId}
    decided.add_evidence(session, release, now=now + timedelta(seconds=1), outcomes=unknown)

    with pytest.raises(RefusedByPolicyError):
        fire_check(session, home, site, release, now + timedelta(seconds=2))


def test_t04_identity_in_the_header_of_a_compressed_file(tmp_path: Path) -> None:
    """The original file's name in a gzip header is found though the content is clean."""
    plain = gzip.compress(b"voxels", mtime=0)
    named = plain[:3] + b"\x08" + plain[4:10] + b"Quixotte_Zebulon.nii\0" + plain[10:]
    (tmp_path / "image.nii.gz").write_bytes(named)

    searcher = Searcher([Secret(SecretKind.NAME, "Quixotte^Zebulon")])

    assert not searcher.folder(tmp_path).is_clean


def test_t05_true_date_of_the_scan_in_any_form(tmp_path: Path) -> None:
    """A day of the study is found as it is written in prose, too."""
    (tmp_path / "README.md").write_text("Measured on 13 August 2017.\n")

    assert not Searcher([Secret(SecretKind.DATE, "2017-08-13")]).folder(tmp_path).is_clean


def test_t06_person_with_a_rare_combination(tmp_path: Path) -> None:
    """One person of 89+ among many others makes the tables unsafe."""
    rows = ["20-29\tfemale"] * 50 + ["89+\tfemale"]
    lines = ["participant_id\tage_band\tsex", *(f"sub-{n}\t{row}" for n, row in enumerate(rows))]
    (tmp_path / "participants.tsv").write_text("\n".join(lines) + "\n")

    assert not check_tables(tmp_path).is_safe


def test_t08_labels_cannot_be_computed_from_anything() -> None:
    """Labels of the same sources differ at every drawing: no function from source to label."""
    drawings = [frozenset(labels.new_label(()) for _ in range(200)) for _ in range(2)]

    assert not drawings[0] & drawings[1]
    assert all(len(drawn) == 200 for drawn in drawings)


def test_t09_order_of_labels_says_nothing_on_the_order_of_acquisition() -> None:
    """Rank correlation of label and order of drawing is that of chance (|rho| < 5 / sqrt(n))."""
    count = 2000
    drawn = [labels.new_label(()) for _ in range(count)]
    ranks = np.argsort(np.argsort(np.array(drawn)))

    rho = spearmanr(np.arange(count), ranks).statistic

    assert abs(rho) < 5 / np.sqrt(count)


def test_t10_same_person_in_two_families_has_two_labels(
    session: Session, home: Home, now: datetime
) -> None:
    """The link tables of two families share neither labels nor keys."""
    from tests.builders.released import add_links  # noqa: PLC0415 - this test alone

    first, second = labels.new_label(()), labels.new_label(())
    one = add_links(session, home, "heads", {1: first}, now=now)
    other = add_links(session, home, "hands", {1: second}, now=now)

    assert one.key_file.read_bytes() != other.key_file.read_bytes()
    assert first != second
    assert first.encode() not in other.path.read_bytes() + one.path.read_bytes()


@pytest.mark.parametrize("what", ["link", "dotted", "twin"])
def test_t15_release_folder_that_leads_elsewhere(tmp_path: Path, what: str) -> None:
    """A link, a name with dots, or two names that differ in case only make no manifest."""
    (tmp_path / "README.md").write_text("x")
    if what == "link":
        (tmp_path / "passwd").symlink_to("/etc/passwd")
    elif what == "dotted":
        (tmp_path / "name.").write_text("x")
    else:
        (tmp_path / "readme.md").write_text("x")

    with pytest.raises(manifest.ManifestError):
        manifest.record_files(tmp_path)


def test_t17_tool_of_a_check_changed_under_its_evidence(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """Evidence of another version of the checks than is installed now does not count."""
    decided.prepare(session, site, now=now)
    release = decided.draft(session, home, site, now=now)
    later = now + timedelta(seconds=1)
    decided.add_evidence(session, release, now=later, version="0.0.1-other")

    with pytest.raises(RefusedByPolicyError):
        fire_check(session, home, site, release, later)


def test_t18_insider_edits_the_consent_table(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """The edit is located by its row, and the release has no readers from that moment on."""
    release = decided.published(session, home, site, now=now, level=Level.OPEN)
    before = grants.readers_of(session, release, now)
    session.flush()
    session.connection().execute(
        sa.text("UPDATE consent_record SET given_on = '2020-01-01' WHERE consent_pk = 2")
    )
    session.expire_all()

    after = grants.readers_of(session, session.get_one(Release, release.release_pk), now)
    found = [one.place for one in verify(session).breaks]

    assert before is None  # everybody
    assert after == set()
    assert found == ["row 2 of consent_record"]


def test_t19_administrator_approves_a_release(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """Who runs the site applies and closes; a signature of theirs approves nothing."""
    decided.prepare(session, site, now=now)
    release = decided.draft(session, home, site, now=now)
    team = site.acting(Role.STUDY_TEAM)
    for event in (ReleaseEvent.CHECK, ReleaseEvent.PROPOSE):
        release = decisions.fire(session, home, team, release, event, now=now)
    actor = site.acting(Role.ADMINISTRATOR)
    signature = Signers().sign(
        session, release, Decision.APPROVE, actor.person_id, Role.ADMINISTRATOR, now=now
    )

    for role in (Role.ADMINISTRATOR, Role.STEWARD):
        claimed = Actor(actor.person_id, role, "I say so")
        with pytest.raises(NotAllowedError):
            decisions.fire(
                session, home, claimed, release, ReleaseEvent.APPROVE, now=now, signature=signature
            )


def test_t20_embargo_does_not_end_early_by_a_wrong_clock(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """On the embargo's last day, in every zone, nothing is published; after it, UTC, it is."""
    decided.prepare(session, site, now=now)
    last = now.date() + timedelta(days=2)
    release = decided.draft(session, home, site, now=now, embargo_until=last)
    release = decided.publish(session, home, site, release, Signers(), now=now)
    held = release.state
    still = datetime.fromisoformat(f"{last}T23:59:59+00:00")
    over = datetime.fromisoformat(f"{last + timedelta(days=1)}T00:00:01+00:00")

    with pytest.raises(RefusedByPolicyError):
        decisions.fire(session, home, service("due"), release, ReleaseEvent.APPLY, now=still)
    decisions.fire(session, home, service("due"), release, ReleaseEvent.APPLY, now=over)

    assert held is ReleaseState.EMBARGOED
    assert session.get_one(Release, release.release_pk).state is ReleaseState.PUBLISHED


def test_t21_consent_withdrawn_between_approval_and_publication(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """The approved release goes back to a draft, and cannot be applied nor approved anew."""
    decided.prepare(session, site, now=now)
    release = decided.draft(session, home, site, now=now)
    team = site.acting(Role.STUDY_TEAM)
    for event in (ReleaseEvent.CHECK, ReleaseEvent.PROPOSE):
        release = decisions.fire(session, home, team, release, event, now=now)
    release = decided.approve_all(session, home, site, release, Signers(), now=now)
    withdrawal.withdraw(
        session, home, team, site.participants[1], ConsentEvent.NO_FURTHER_SHARING,
        given_on=now.date(), now=now,
    )  # fmt: skip

    for event, actor in ((ReleaseEvent.APPLY, service("due")), (ReleaseEvent.CHECK, team)):
        with pytest.raises(RefusedByPolicyError):
            decisions.fire(session, home, actor, release, event, now=now)
    assert session.get_one(Release, release.release_pk).state is ReleaseState.DRAFT


def test_t22_crash_after_the_records_say_published(
    site: Site, home: Home, servers: Servers
) -> None:
    """Published in the records, nothing on the server: nobody reads; one cycle finishes it."""
    world = watched.fresh_site(site.records, home, servers)
    release_pk = watched.approved(world, site, family="crashed")
    with site.records.transaction() as session:
        release = session.get_one(Release, release_pk)
        decisions.fire(session, home, service("due"), release, ReleaseEvent.APPLY, now=NOW)
    watched.grant(world, site, release_pk, site.externals[0])
    project = watched.project_of(world, release_pk)
    before = servers.reads(OUTSIDE, "external1", project)

    run_cycle(world)

    assert not before
    assert servers.reads(OUTSIDE, "external1", project)
    assert not servers.reads(OUTSIDE, "external2", project)


def test_t23_restored_backup_does_not_bring_withdrawn_data_back(
    tmp_path: Path, now: datetime
) -> None:
    """A copied database file from before the withdrawal, put in its place, opens closed."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    with fresh_records(tmp_path) as records:
        path = Path(str(records.engine.url.database))
        home = Home(folder, f"sqlite:///{path}")
        site = make_site(records, now)
        with records.transaction() as session:
            release_pk = decided.published(
                session, home, site, now=now, level=Level.OPEN
            ).release_pk
        backup = tmp_path / "backup.sqlite"
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as copy:
            source.backup(copy)
        with records.transaction() as session:
            withdrawal.withdraw(
                session, home, site.acting(Role.STUDY_TEAM), 1, ConsentEvent.DELETE_EVERYTHING,
                given_on=now.date(), now=now,
            )  # fmt: skip
    for stale in tmp_path.glob(f"{path.name}-*"):
        stale.unlink()
    shutil.copyfile(backup, path)

    database, kept = opening.open_obeying(home)
    with database.transaction() as session:
        release = session.get_one(Release, release_pk)
        state, readers = release.state, grants.readers_of(session, release, now)
        whole = verify(session).is_whole
    database.close()

    assert (kept.restored, state, readers, whole) == (1, ReleaseState.SUSPENDED, set(), True)


def test_t24_source_label_in_what_is_printed_and_logged(
    site: Site, home: Home, now: datetime, capfd: pytest.CaptureFixture[str]
) -> None:
    """No command, failing or not, prints a source label or an XNAT subject's ID."""
    with site.records.transaction() as session:
        decided.published(session, home, site, now=now)
    who = ("--person", site.requester, "--role", "study-team", "--reason", "a letter")
    calls = [
        ("share", "check", "SOURCE", "--level", "open"),
        ("share", "consent", "show", "SOURCE"),
        ("share", "consent", "show", "SOURCE", "--labels"),
        ("share", "consent", "show", "SOURCE", "--history", "1"),
        ("share", "consent", "withdraw", "SOURCE", "1", "no-further-sharing", *who),
        ("share", "consent", "withdraw", "SOURCE", "77", "no-further-sharing", *who),
        ("share", "study", "show", "SOURCE"),
        ("release", "list"),
        ("release", "show", "heads", "1.0.0"),
        ("release", "propose", "heads", "1.0.0", *who),
        ("audit", "show"),
        ("audit", "verify"),
        ("audit", "readers", "heads"),
        ("share", "notices", "list"),
    ]
    for call in calls:
        run([*call])
    run(["share", "consent", "show", "SOURCE", "--json"])
    run(["audit", "show", "--json"])

    printed = "".join(capfd.readouterr())
    assert len(printed) > 2000
    assert "SRC00" not in printed
    assert home.tombstones_path.exists()
    assert "SRC00" not in home.tombstones_path.read_text()


def test_t25_images_sent_straight_to_the_release_site(servers: Servers) -> None:
    """The outside server has no receiver of DICOM to send to."""
    answer = servers.service[OUTSIDE].request(
        "GET", "/xapi/dicomscp", doing="ask for receivers of DICOM"
    )

    assert [one for one in json.loads(answer.body) if one.get("enabled")] == []


def test_t27_translation_is_accepted_instead_of_the_legal_text(
    session: Session, site: Site, now: datetime
) -> None:
    """Only the digest of the legal language is an acceptance."""
    decided.prepare(session, site, now=now)
    digest = "0" * 64
    name = f"{site.externals[0].removeprefix('p-').capitalize()} Person"
    given = Signing(*decided.AGREEMENT, digest, ("no-reidentification",), name, "heads")

    with pytest.raises(XnatClientError):
        agreements.accept(
            session, Actor(site.externals[0], Role.EXTERNAL, "I accept"), given, now=now
        )


def test_t28_agreement_forbids_services_that_keep_what_they_are_given() -> None:
    """The shipped agreement has the clause, and it is ticked by itself."""
    text = read_agreement(_TEMPLATES / "agreement.md")

    ticked = {clause.clause_id for clause in text.clauses if clause.tick}

    assert "no-leaking-services" in ticked
