"""Declared against actual: every difference, how bad it is, and what would undo it.

Pure: two descriptions in, differences out. Whatever is unknown is a difference of severity high,
never silence. Sentences name projects, user names and accession numbers, never labels of
participants. Not here: reading (``observe``), acting (``repair``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xnat_client.projects import Accessibility
from xnat_client.sharing.reconcile.drift import (
    CloseVersion,
    Drift,
    EndShare,
    MakePrivate,
    OpenAgain,
    RemoveMember,
    SuspendReleases,
    unknown,
)
from xnat_client.sharing.reconcile.observe import ObservedProject, ObservedSite
from xnat_client.sharing.reconcile.site_rules import SiteRules, compare_site
from xnat_client.sharing.server_side.access import OWNERS, Shared, is_wider
from xnat_client.sharing.server_side.content import compare_files
from xnat_client.sharing.server_side.declared import (
    DeclaredProject,
    DeclaredResource,
    ProjectRole,
)
from xnat_client.sharing.vocabulary import DriftClass, Severity


def compare(
    declared: Mapping[str, DeclaredProject],
    observed: ObservedSite,
    site: SiteRules,
) -> list[Drift]:
    """Return all differences, the worst first."""
    found = [*compare_site(observed, site)]
    if observed.projects is None:
        found.append(unknown("", "The list of projects cannot be read; nothing is known of them."))
    else:
        for project_id, project in sorted(observed.projects.items()):
            wanted = declared.get(project_id)
            found += (
                _undeclared(project, site.service_login)
                if wanted is None
                else _project(wanted, project, observed.logins)
            )
        missing = sorted(declared.keys() - observed.projects.keys())
        found += [
            Drift(
                DriftClass.GHOST,
                Severity.MEDIUM,
                project_id,
                f"The {declared[project_id].role.value} project is declared but not on the server.",
            )
            for project_id in missing
            if declared[project_id].role is not ProjectRole.RELEASE
            or declared[project_id].open_releases
        ]
        found += _shares(declared, observed)
    return sorted(found, key=lambda one: (-one.severity, one.project_id, one.what))


# One project ----------------------------------------------------------------------------------


def _undeclared(project: ObservedProject, service_login: str) -> Iterator[Drift]:
    if _is_lost_release(project, service_login):
        yield from _lost_release(project, service_login)
        return
    who = project.accessibility.value if project.accessibility else "unknown"
    yield unknown(
        project.project_id,
        f"Nothing is declared of this project (it is {who}); declare it with "
        "'winxnat share declare'.",
    )


def _is_lost_release(project: ObservedProject, service_login: str) -> bool:
    """Tell whether the service alone owns a project that the records do not know.

    Nobody else writes release projects, and the service owns no others: the records lost it.
    """
    owners = {one.login for one in project.members or () if one.group == OWNERS}
    return bool(service_login) and owners == {service_login}


def _lost_release(project: ObservedProject, service_login: str) -> Iterator[Drift]:
    what = "The service alone owns the project, as a release project, but the records know none;"
    yield unknown(project.project_id, f"{what} restore newer records, or delete it.")
    if project.accessibility is not Accessibility.PRIVATE:
        word = project.accessibility.value if project.accessibility else "unknown"
        yield Drift(
            DriftClass.OVER_EXPOSED_LEVEL,
            Severity.CRITICAL,
            project.project_id,
            f"{what} it is {word} and is closed.",
            MakePrivate(project.project_id),
        )
    for member in project.members or ():
        if member.login != service_login:
            yield Drift(
                DriftClass.OVER_EXPOSED_PEOPLE,
                Severity.CRITICAL,
                project.project_id,
                f"{what} account {member.login} is in its group {member.group} and is taken out.",
                RemoveMember(project.project_id, member),
            )


def _project(
    wanted: DeclaredProject, project: ObservedProject, logins: frozenset[str] | None
) -> Iterator[Drift]:
    yield from _level(wanted, project)
    yield from _people(wanted, project, logins)
    if wanted.role is ProjectRole.RELEASE:
        yield from _release_content(wanted, project)
        if wanted.contradiction:
            yield unknown(
                wanted.project_id,
                f"The records contradict themselves: {wanted.contradiction}. It stays closed.",
            )
        for release_pk, reason in sorted(wanted.fallen.items()):
            yield Drift(
                DriftClass.STALE,
                Severity.HIGH,
                wanted.project_id,
                f"Release {release_pk} may not be read any more: {reason}",
                SuspendReleases(wanted.project_id, (release_pk,), reason),
            )


def _level(wanted: DeclaredProject, project: ObservedProject) -> Iterator[Drift]:
    close = MakePrivate(wanted.project_id)
    if project.accessibility is None:
        word = "an unknown word" if project.accessibility_word else "nothing"
        # Setting it to private cannot make it worse, whatever the server meant.
        yield unknown(
            wanted.project_id, f"The server says {word} about who sees the project.", close
        )
    elif is_wider(project.accessibility, wanted.accessibility):
        yield Drift(
            DriftClass.OVER_EXPOSED_LEVEL,
            Severity.CRITICAL,
            wanted.project_id,
            f"The {wanted.role.value} project is {project.accessibility.value} but declared "
            f"{wanted.accessibility.value}.",
            close,
        )
    elif (
        wanted.role is ProjectRole.RELEASE
        and wanted.accessibility is Accessibility.PUBLIC
        and project.accessibility is not Accessibility.PUBLIC
    ):
        yield Drift(
            DriftClass.UNDER_EXPOSED,
            Severity.LOW,
            wanted.project_id,
            f"The release is open but its project is {project.accessibility.value}.",
            OpenAgain(wanted.project_id),
        )


def _people(
    wanted: DeclaredProject, project: ObservedProject, logins: frozenset[str] | None
) -> Iterator[Drift]:
    if project.members is None:
        yield unknown(wanted.project_id, "The users of the project cannot be read.")
        return
    if wanted.allowed is not None:
        for member in project.members:
            if member.group not in wanted.allowed.get(member.login, frozenset()):
                yield Drift(
                    DriftClass.OVER_EXPOSED_PEOPLE,
                    Severity.CRITICAL,
                    wanted.project_id,
                    f"Account {member.login} is in the group {member.group} of the "
                    f"{wanted.role.value} project without being declared.",
                    RemoveMember(wanted.project_id, member),
                )
    there = {member.login for member in project.members}
    missing = wanted.readers - there
    strangers = frozenset() if logins is None else missing - logins
    for login in sorted(missing - strangers):
        yield Drift(
            DriftClass.UNDER_EXPOSED,
            Severity.LOW,
            wanted.project_id,
            f"Account {login} may read the release but is not among its collaborators.",
            OpenAgain(wanted.project_id),
        )
    without = wanted.without_account + len(strangers)
    if without:
        yield Drift(
            DriftClass.UNDER_EXPOSED,
            Severity.LOW,
            wanted.project_id,
            f"{without} declared readers have no account on this server.",
        )


def _release_content(wanted: DeclaredProject, project: ObservedProject) -> Iterator[Drift]:
    if project.resources is None or project.objects is None:
        yield unknown(wanted.project_id, "What the release project holds cannot be read.")
        return
    reasons = [
        f"It holds {len(ids)} {kind.value}; a release project holds none."
        for kind, ids in sorted(project.objects.items())
        if ids
    ]
    for label in project.resources:
        resource = wanted.resources.get(label)
        if resource is None:
            reasons.append(f"It holds the resource {label}, which is no release's.")
        else:
            found = _resource(wanted, project, label, resource)
            reasons += [one for one in found if isinstance(one, str)]
            yield from (one for one in found if isinstance(one, Drift))
    for reason in reasons:
        # Where nobody reads it there is nothing to close; a person clears it away.
        is_read = wanted.is_open
        yield Drift(
            DriftClass.FOREIGN_FILE,
            Severity.CRITICAL if is_read else Severity.MEDIUM,
            wanted.project_id,
            reason,
            SuspendReleases(wanted.project_id, wanted.open_releases, reason) if is_read else None,
        )
    for label, resource in sorted(wanted.resources.items()):
        if resource.is_open and label not in project.resources:
            yield _incomplete(wanted, label)


def _resource(
    wanted: DeclaredProject, project: ObservedProject, label: str, resource: DeclaredResource
) -> list[Drift | str]:
    files = project.files.get(label)
    if files is None:
        return [unknown(wanted.project_id, f"The files of resource {label} cannot be read.")]
    if not resource.is_open:
        # A version that is being sent, or that was closed: right only where nobody reads it.
        if not wanted.is_open:
            return []
        return [
            Drift(
                DriftClass.FOREIGN_FILE,
                Severity.CRITICAL,
                wanted.project_id,
                f"It is read and holds the resource {label}, whose version is not published.",
                CloseVersion(wanted.project_id, resource.release_pk),
            )
        ]
    difference = compare_files(resource.files, files)
    found: list[Drift | str] = []
    if difference.changed:
        found.append(
            f"{len(difference.changed)} files of resource {label} are not the approved ones."
        )
    if difference.foreign:
        found.append(f"{len(difference.foreign)} files of resource {label} are in no manifest.")
    if difference.missing:
        found.append(_incomplete(wanted, label))
    return found


def _incomplete(wanted: DeclaredProject, label: str) -> Drift:
    return Drift(
        DriftClass.UNDER_EXPOSED,
        Severity.MEDIUM,
        wanted.project_id,
        f"Files of resource {label} are missing; send them again with 'winxnat release apply'.",
    )


# Shares ---------------------------------------------------------------------------------------


def _shares(declared: Mapping[str, DeclaredProject], observed: ObservedSite) -> Iterator[Drift]:
    if observed.owners is None:
        yield unknown("", "The owners of subjects and sessions cannot be read.")
    for share in observed.shares():
        source = declared.get(share.owner)
        receiver = declared.get(share.receiver)
        protected = {ProjectRole.SOURCE, ProjectRole.RELEASE}
        secret = (source is not None and source.role in protected) or (
            receiver is not None and receiver.role in protected
        )
        kind = "Subject" if share.kind is Shared.SUBJECT else "Session"
        if not share.owner:
            yield unknown(
                share.receiver, f"To which project {share.object_id} belongs cannot be read."
            )
        elif secret:
            yield Drift(
                DriftClass.FOREIGN_SHARE,
                Severity.CRITICAL,
                share.owner,
                f"{kind} {share.object_id} is shared into project {share.receiver}.",
                EndShare(share),
            )
    for project in (observed.projects or {}).values():
        wanted = declared.get(project.project_id)
        if project.objects is None and (wanted is None or wanted.role is not ProjectRole.RELEASE):
            yield unknown(project.project_id, "The subjects and sessions cannot be listed.")
