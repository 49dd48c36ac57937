"""Declared against actual: each kind of difference, from made descriptions of both.

The expected classes, severities and acts are those of the table of the reconcile loop.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from xnat_client.projects import Accessibility
from xnat_client.resources import RemoteFile
from xnat_client.sharing.reconcile.compare import compare
from xnat_client.sharing.reconcile.drift import (
    CloseVersion,
    Drift,
    EndShare,
    LeaveSiteGroup,
    MakePrivate,
    OpenAgain,
    RemoveMember,
    SetBack,
    SuspendReleases,
)
from xnat_client.sharing.reconcile.observe import ObservedProject, ObservedSite
from xnat_client.sharing.reconcile.site_rules import SiteRules
from xnat_client.sharing.server_side.access import Member, Shared
from xnat_client.sharing.server_side.content import WantedFile
from xnat_client.sharing.server_side.declared import (
    DeclaredProject,
    DeclaredResource,
    ProjectRole,
)
from xnat_client.sharing.vocabulary import DriftClass, ServerSide, Severity

SERVICE = Member("service", "owner")
NOTHING = {Shared.SUBJECT: frozenset[str](), Shared.EXPERIMENT: frozenset[str]()}
SAFE = {
    "userRegistration": False,
    "restrictUserListAccessToAdmins": True,
    "uiAllowNonAdminProjectCreation": False,
    "par": False,
    "requireLogin": True,
    "securityAllowNonPrivateProjects": False,
}
RULES = SiteRules(
    ServerSide.INSIDE, single=False, has_open=False, administrators=frozenset({"service"})
)
SOURCE = DeclaredProject(
    "SRC",
    ProjectRole.SOURCE,
    allowed={"lead": frozenset({"owner"}), "service": frozenset({"owner"})},
)
FILES = {"a.txt": WantedFile(2, "aa" * 16), "sub-1/b.txt": WantedFile(3, "bb" * 16)}
RELEASE = DeclaredProject(
    "REL",
    ProjectRole.RELEASE,
    allowed={"service": frozenset({"owner"}), "reader": frozenset({"collaborator"})},
    readers=frozenset({"reader"}),
    resources={"RELEASE_1_0_0": DeclaredResource(7, is_open=True, files=FILES)},
)


def a_file(path: str, size_bytes: int, md5: str) -> RemoteFile:
    return RemoteFile(path, f"/data/x/files/{path}", size_bytes, md5, "RELEASE_1_0_0")


RIGHT_FILES = tuple(a_file(path, one.size_bytes, one.md5) for path, one in FILES.items())
GOOD_SOURCE = ObservedProject(
    "SRC", Accessibility.PRIVATE, "private", (Member("lead", "owner"), SERVICE), NOTHING
)
GOOD_RELEASE = ObservedProject(
    "REL",
    Accessibility.PRIVATE,
    "private",
    (Member("reader", "collaborator"), SERVICE),
    NOTHING,
    ("RELEASE_1_0_0",),
    {"RELEASE_1_0_0": RIGHT_FILES},
)


def a_site(*projects: ObservedProject, **other: object) -> ObservedSite:
    site = ObservedSite(
        settings=SAFE,
        sharing_banned=True,
        administrators=frozenset({"service"}),
        site_readers=(),
        logins=frozenset({"reader", "lead"}),
        projects={one.project_id: one for one in projects},
        owners={},
        requests=1,
        troubles=(),
    )
    return replace(site, **other)  # type: ignore[arg-type]


def found(
    declared: DeclaredProject, project: ObservedProject, **other: object
) -> list[tuple[DriftClass, Severity, type]]:
    drifts = compare({declared.project_id: declared}, a_site(project, **other), RULES)
    return [(one.drift, one.severity, type(one.repair)) for one in drifts]


@pytest.mark.parametrize(("declared", "project"), [(SOURCE, GOOD_SOURCE), (RELEASE, GOOD_RELEASE)])
def test_nothing_is_reported_where_all_is_as_declared(
    declared: DeclaredProject, project: ObservedProject
):
    """A project that is as declared, on a site as it should be, gives no difference."""
    assert found(declared, project) == []


OVER_LEVEL = (DriftClass.OVER_EXPOSED_LEVEL, Severity.CRITICAL, MakePrivate)
OVER_PEOPLE = (DriftClass.OVER_EXPOSED_PEOPLE, Severity.CRITICAL, RemoveMember)
FOREIGN = (DriftClass.FOREIGN_FILE, Severity.CRITICAL, SuspendReleases)
UNKNOWN = (DriftClass.UNKNOWN, Severity.HIGH, type(None))
MISSING_READER = (DriftClass.UNDER_EXPOSED, Severity.LOW, OpenAgain)


@pytest.mark.parametrize("level", [Accessibility.PROTECTED, Accessibility.PUBLIC])
@pytest.mark.parametrize(("declared", "project"), [(SOURCE, GOOD_SOURCE), (RELEASE, GOOD_RELEASE)])
def test_a_project_wider_than_declared_is_closed(
    declared: DeclaredProject, project: ObservedProject, level: Accessibility
):
    """Protected and public are both too wide for a source and for a release by agreement."""
    assert found(declared, replace(project, accessibility=level)) == [OVER_LEVEL]


def test_an_unknown_accessibility_word_is_closed_and_never_passed_over():
    """A word that XNAT should not say counts as open."""
    project = replace(GOOD_SOURCE, accessibility=None, accessibility_word="semi-public")

    assert found(SOURCE, project) == [(DriftClass.UNKNOWN, Severity.HIGH, MakePrivate)]


@pytest.mark.parametrize(
    "member",
    [
        Member("stranger", "collaborator"),
        Member("stranger", "owner"),
        Member("stranger", "ad_hoc_group"),
        Member("lead", "member"),
        Member("Lead", "owner"),
    ],
)
def test_whoever_is_not_declared_in_a_source_project_is_taken_out(member: Member):
    """Unknown accounts, custom groups, other groups than declared, other spellings."""
    project = replace(GOOD_SOURCE, members=(*GOOD_SOURCE.members, member))

    assert found(SOURCE, project) == [OVER_PEOPLE]


@pytest.mark.parametrize("group", ["owner", "member", "ad_hoc"])
def test_a_reader_of_a_release_is_a_collaborator_and_nothing_more(group: str):
    """A declared reader who became owner or member could open the project."""
    project = replace(GOOD_RELEASE, members=(Member("reader", group), SERVICE))

    assert found(RELEASE, project) == [OVER_PEOPLE]


def test_a_missing_reader_is_let_in_last():
    """Under-exposure is of low severity and repaired."""
    project = replace(GOOD_RELEASE, members=(SERVICE,))

    assert found(RELEASE, project) == [MISSING_READER]


def test_a_reader_whose_account_the_server_lacks_is_noted_and_not_let_in():
    """Nothing is repaired for an account that does not exist: XNAT would send an invitation."""
    project = replace(GOOD_RELEASE, members=(SERVICE,))

    assert found(RELEASE, project, logins=frozenset()) == [
        (DriftClass.UNDER_EXPOSED, Severity.LOW, type(None))
    ]


@pytest.mark.parametrize(
    "files",
    [
        (*RIGHT_FILES, a_file("sub-1/scan.dcm", 9, "cc" * 16)),
        (RIGHT_FILES[0], a_file("sub-1/b.txt", 3, "dd" * 16)),
        (RIGHT_FILES[0], a_file("sub-1/b.txt", 4, "bb" * 16)),
        (RIGHT_FILES[0], a_file("sub-1/b.txt", 3, "")),
        (*RIGHT_FILES, RIGHT_FILES[0]),
    ],
    ids=["foreign", "other digest", "other size", "no digest", "listed twice"],
)
def test_a_file_that_nobody_approved_suspends_the_release(files: tuple[RemoteFile, ...]):
    """A foreign or changed file closes the release project."""
    project = replace(GOOD_RELEASE, files={"RELEASE_1_0_0": files})

    assert found(RELEASE, project) == [FOREIGN]


def test_a_missing_file_is_reported_and_suspends_nothing():
    """A file that is gone exposes nobody."""
    project = replace(GOOD_RELEASE, files={"RELEASE_1_0_0": RIGHT_FILES[:1]})

    assert found(RELEASE, project) == [(DriftClass.UNDER_EXPOSED, Severity.MEDIUM, type(None))]


@pytest.mark.parametrize("kind", list(Shared))
def test_a_subject_or_session_of_its_own_suspends_the_release(kind: Shared):
    """A release project holds no subjects and no sessions, whose files nobody would compare."""
    project = replace(GOOD_RELEASE, objects={**NOTHING, kind: frozenset({"XNAT_X1"})})

    assert found(RELEASE, project, owners={(kind, "XNAT_X1"): "REL"}) == [FOREIGN]


def test_a_resource_of_no_release_suspends_what_is_published():
    """Any other resource of the project is read by the release's readers too."""
    project = replace(
        GOOD_RELEASE,
        resources=("NOTES", "RELEASE_1_0_0"),
        files={"NOTES": (), "RELEASE_1_0_0": RIGHT_FILES},
    )

    assert found(RELEASE, project) == [FOREIGN]


def test_a_version_that_is_not_published_is_taken_out_of_a_project_that_is_read():
    """A suspended or half-sent version must not be read by the readers of another one."""
    declared = replace(
        RELEASE,
        resources={
            **RELEASE.resources,
            "RELEASE_1_1_0": DeclaredResource(8, is_open=False, files=FILES),
        },
    )
    project = replace(
        GOOD_RELEASE,
        resources=("RELEASE_1_0_0", "RELEASE_1_1_0"),
        files={"RELEASE_1_0_0": RIGHT_FILES, "RELEASE_1_1_0": ()},
    )

    assert found(declared, project) == [(DriftClass.FOREIGN_FILE, Severity.CRITICAL, CloseVersion)]


def test_a_version_on_its_way_is_no_difference_where_nobody_reads():
    """Files are sent to a closed project; the loop does not take them for foreign ones."""
    declared = replace(
        RELEASE,
        allowed={"service": frozenset({"owner"})},
        readers=frozenset(),
        resources={"RELEASE_1_0_0": DeclaredResource(7, is_open=False, files=FILES)},
    )
    project = replace(GOOD_RELEASE, members=(SERVICE,), files={"RELEASE_1_0_0": RIGHT_FILES[:1]})

    assert found(declared, project) == []


@pytest.mark.parametrize(
    "owner_and_receiver", [("SRC", "ELSE"), ("REL", "ELSE"), ("ELSE", "SRC"), ("ELSE", "REL")]
)
@pytest.mark.parametrize("kind", list(Shared))
def test_every_share_out_of_or_into_a_watched_project_is_ended(
    owner_and_receiver: tuple[str, str], kind: Shared
):
    """Shares of source and release projects are foreign in both directions."""
    owner, receiver = owner_and_receiver
    elsewhere = ObservedProject("ELSE", Accessibility.PRIVATE, "private", (), NOTHING)
    projects = {one.project_id: one for one in (GOOD_SOURCE, GOOD_RELEASE, elsewhere)}
    objects = {**NOTHING, kind: frozenset({"XNAT_X1"})}
    projects[receiver] = replace(projects[receiver], objects=objects)
    site = a_site(*projects.values(), owners={(kind, "XNAT_X1"): owner})
    declared = {
        "SRC": SOURCE,
        "REL": RELEASE,
        "ELSE": DeclaredProject("ELSE", ProjectRole.OTHER, allowed=None),
    }

    drifts = compare(declared, site, RULES)

    ended = [one for one in drifts if isinstance(one.repair, EndShare)]
    assert [(one.drift, one.severity) for one in ended] == [
        (DriftClass.FOREIGN_SHARE, Severity.CRITICAL)
    ]


def test_an_object_whose_owner_cannot_be_told_is_unknown():
    """A number in a project's list that the site's own list lacks is not taken for its own."""
    project = replace(GOOD_SOURCE, objects={**NOTHING, Shared.EXPERIMENT: frozenset({"XNAT_E1"})})

    assert UNKNOWN in found(SOURCE, project, owners={})


@pytest.mark.parametrize(
    "part", ["settings", "administrators", "site_readers", "projects", "owners"]
)
def test_each_part_of_a_site_that_cannot_be_read_is_unknown(part: str):
    """None is never taken for empty."""
    drifts = compare({}, a_site(**{part: None}), RULES)

    assert [one.drift for one in drifts] == [DriftClass.UNKNOWN]
    assert drifts[0].severity is Severity.HIGH


@pytest.mark.parametrize("part", ["members", "objects", "resources"])
def test_each_part_of_a_project_that_cannot_be_read_is_unknown(part: str):
    """A release project of which something cannot be read is never all good."""
    assert UNKNOWN in found(RELEASE, replace(GOOD_RELEASE, **{part: None}))


def test_files_that_cannot_be_listed_are_unknown():
    """A resource whose list failed is not taken for complete."""
    assert found(RELEASE, replace(GOOD_RELEASE, files={"RELEASE_1_0_0": None})) == [UNKNOWN]


def test_a_project_of_which_nothing_is_declared_is_unknown():
    """A project that appeared beside the declared ones is reported in each cycle."""
    drifts = compare({}, a_site(GOOD_SOURCE), RULES)

    assert [(one.drift, one.severity) for one in drifts] == [(DriftClass.UNKNOWN, Severity.HIGH)]


def test_a_declared_project_that_is_gone_is_a_ghost():
    """The study's source is declared and the server has it no more."""
    drifts = compare({"SRC": SOURCE}, a_site(), RULES)

    assert [(one.drift, one.severity) for one in drifts] == [(DriftClass.GHOST, Severity.MEDIUM)]


def test_a_release_that_may_be_read_no_more_is_suspended():
    """Consent or a signature that fell away closes a release without any event."""
    declared = replace(RELEASE, fallen={7: "The consent of participant 3 does not cover it."})

    drifts = compare({"REL": declared}, a_site(GOOD_RELEASE), RULES)

    assert [(one.drift, one.severity) for one in drifts] == [(DriftClass.STALE, Severity.HIGH)]
    assert isinstance(drifts[0].repair, SuspendReleases)


def test_an_open_release_that_is_not_public_is_opened():
    """Under-exposure of an open release is repaired by opening it again."""
    declared = DeclaredProject(
        "REL", ProjectRole.RELEASE, Accessibility.PUBLIC, {"service": frozenset({"owner"})},
        resources=RELEASE.resources,
    )  # fmt: skip

    assert found(declared, replace(GOOD_RELEASE, members=(SERVICE,))) == [MISSING_READER]


@pytest.mark.parametrize(
    ("name", "value", "severity"),
    [
        ("requireLogin", False, Severity.HIGH),
        ("securityAllowNonPrivateProjects", True, Severity.HIGH),
        ("userRegistration", True, Severity.HIGH),
        ("restrictUserListAccessToAdmins", False, Severity.HIGH),
        ("uiAllowNonAdminProjectCreation", True, Severity.HIGH),
        ("par", True, Severity.MEDIUM),
    ],
)
def test_each_weakened_property_of_an_inside_site_is_reported(
    name: str, value: object, severity: Severity
):
    """A setting that lets people open or enter is named with what would set it back."""
    (drift,) = compare({}, a_site(settings={**SAFE, name: value}), RULES)

    assert (drift.drift, drift.severity) == (DriftClass.WEAKENED_SITE, severity)
    assert drift.repair == SetBack(name, value=not value)


def test_a_property_that_the_site_does_not_say_is_unknown():
    """A missing property is not taken for its safe value."""
    settings = {name: value for name, value in SAFE.items() if name != "requireLogin"}

    assert [one.drift for one in compare({}, a_site(settings=settings), RULES)] == [
        DriftClass.UNKNOWN
    ]


def test_an_outside_site_may_be_read_without_log_in():
    """An outside site carries open releases; guests and public projects are right there."""
    settings = {**SAFE, "requireLogin": False, "securityAllowNonPrivateProjects": True}
    rules = replace(RULES, side=ServerSide.OUTSIDE)

    assert compare({}, a_site(settings=settings), rules) == []


def test_one_server_for_both_sides_is_said():
    """The degraded mode is named in every cycle."""
    (drift,) = compare({}, a_site(), replace(RULES, single=True))

    assert (drift.drift, drift.severity) == (DriftClass.WEAKENED_SITE, Severity.MEDIUM)


def test_re_sharing_that_is_not_banned_is_high_and_one_that_cannot_be_read_low():
    """Shares are looked for in each cycle, so not knowing the ban is not an alarm."""
    (allowed,) = compare({}, a_site(sharing_banned=False), RULES)
    (silent,) = compare({}, a_site(sharing_banned=None), RULES)

    assert (allowed.severity, silent.severity) == (Severity.HIGH, Severity.LOW)


def test_a_reader_of_all_projects_is_taken_out_and_an_administrator_reported():
    """Groups of the site are closed by the loop; administrators are a person's decision."""
    site = a_site(
        site_readers=(Member("x", "ALL_DATA_ACCESS"),),
        administrators=frozenset({"service", "y"}),
    )

    reader, administrator = compare({}, site, RULES)

    assert isinstance(reader.repair, LeaveSiteGroup)
    assert reader.severity is Severity.CRITICAL
    assert (administrator.repair, administrator.severity) == (None, Severity.HIGH)


def test_the_worst_comes_first():
    """Reports are read from the top."""
    project = replace(GOOD_RELEASE, accessibility=Accessibility.PUBLIC, members=(SERVICE,))

    drifts: list[Drift] = compare({"REL": RELEASE}, a_site(project, sharing_banned=False), RULES)

    assert [one.severity for one in drifts] == [Severity.CRITICAL, Severity.HIGH, Severity.LOW]


LOST = ObservedProject(
    "LOST", Accessibility.PUBLIC, "public", (SERVICE, Member("reader", "collaborator")), NOTHING
)


def test_a_project_that_the_service_alone_owns_is_a_lost_release_and_is_closed() -> None:
    """Restored records may lack the row of a release; its project is closed to everybody."""
    rules = replace(RULES, service_login="service")

    found = {one.repair for one in compare({}, a_site(LOST), rules) if one.project_id == "LOST"}

    assert found == {None, MakePrivate("LOST"), RemoveMember("LOST", LOST.members[1])}  # type: ignore[index]


@pytest.mark.parametrize(
    "members", [(SERVICE, Member("lead", "owner")), (Member("lead", "owner"),), (), None]
)
def test_any_other_undeclared_project_is_reported_and_left(
    members: tuple[Member, ...] | None,
) -> None:
    """What people own may be somebody's work: it counts as open, and a person decides."""
    rules = replace(RULES, service_login="service")
    project = replace(LOST, members=members)

    found = [one for one in compare({}, a_site(project), rules) if one.project_id == "LOST"]

    assert [(one.severity, one.repair) for one in found] == [(Severity.HIGH, None)]
