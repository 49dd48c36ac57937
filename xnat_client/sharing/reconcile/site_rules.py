"""The site as a whole: settings that weaken it, administrators, readers of everything.

Not here: its projects (``compare``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xnat_client.sharing.reconcile.drift import Drift, LeaveSiteGroup, SetBack, unknown
from xnat_client.sharing.reconcile.observe import ObservedSite
from xnat_client.sharing.vocabulary import DriftClass, ServerSide, Severity


@dataclass(frozen=True)
class SiteRules:
    """What the records say of a server as a whole.

    Attributes
    ----------
    side : ServerSide
        Inside servers require log-in and keep all projects private.
    single : bool
        Whether outsiders have accounts on an inside server because there is no other.
    has_open : bool
        Whether an open release stands on it.
    administrators : frozenset of str
        User names of declared administrators, and the service account.
    service_login : str
        The account that writes release projects and is their only owner.
    """

    side: ServerSide
    single: bool
    has_open: bool
    administrators: frozenset[str]
    service_login: str = ""


@dataclass(frozen=True)
class _Property:
    name: str
    safe: bool
    meaning: str
    severity: Severity = Severity.HIGH


_EVERYWHERE = (
    _Property("userRegistration", safe=False, meaning="people make enabled accounts themselves"),
    _Property("restrictUserListAccessToAdmins", safe=True, meaning="every user may list users"),
    _Property("uiAllowNonAdminProjectCreation", safe=False, meaning="any user makes projects"),
    _Property("par", safe=False, meaning="owners let people in past the agreement",
              severity=Severity.MEDIUM),
)  # fmt: skip
_INSIDE = (_Property("requireLogin", safe=True, meaning="the site is read without log-in"),)
_NEVER_OPEN = _Property(
    "securityAllowNonPrivateProjects", safe=False, meaning="owners can open projects"
)


def compare_site(observed: ObservedSite, rules: SiteRules) -> Iterator[Drift]:
    """Yield what is wrong with a site as a whole."""
    if observed.settings is None:
        yield unknown("", "The settings of the site cannot be read.")
    else:
        yield from _properties(observed.settings, rules)
    yield from _people(observed, rules)
    if observed.sharing_banned is False:
        yield _weakened("Re-sharing is not banned (feature project_sharing).", Severity.HIGH)
    elif observed.sharing_banned is None:
        yield _weakened(
            "The server does not say whether re-sharing is banned; shares are looked for in each "
            "cycle.",
            Severity.LOW,
        )
    if rules.single and rules.side is ServerSide.INSIDE:
        yield _weakened(
            "One server is both inside and outside: every account of an outsider stands beside "
            "the source projects, and an open release is read by every account. A second server "
            "is the right shape.",
            Severity.MEDIUM,
        )


def _properties(settings: Mapping[str, Any], rules: SiteRules) -> Iterator[Drift]:
    wanted = [*_EVERYWHERE]
    if rules.side is ServerSide.INSIDE:
        wanted += _INSIDE
        if not rules.has_open:
            wanted.append(_NEVER_OPEN)
    for rule in wanted:
        found = settings.get(rule.name)
        if str(found).lower() == str(rule.safe).lower():
            continue
        if found is None:
            yield unknown("", f"The site does not say its property {rule.name}.")
            continue
        yield Drift(
            DriftClass.WEAKENED_SITE,
            rule.severity,
            "",
            f"The site's property {rule.name} is {str(found).lower()}: {rule.meaning}.",
            SetBack(rule.name, rule.safe),
        )


def _people(observed: ObservedSite, rules: SiteRules) -> Iterator[Drift]:
    if observed.administrators is None:
        yield unknown("", "The administrators of the site cannot be listed.")
    for login in sorted((observed.administrators or frozenset()) - rules.administrators):
        # Taking the last administrator away could lock everybody out: a person decides.
        yield Drift(
            DriftClass.OVER_EXPOSED_PEOPLE,
            Severity.HIGH,
            "",
            f"Account {login} is an administrator of the site without being declared.",
        )
    if observed.site_readers is None:
        yield unknown("", "Who reads every project of the site cannot be listed.")
    for member in observed.site_readers or ():
        if member.login not in rules.administrators:
            yield Drift(
                DriftClass.OVER_EXPOSED_PEOPLE,
                Severity.CRITICAL,
                "",
                f"Account {member.login} is in the group {member.group}, which reads every "
                "project.",
                LeaveSiteGroup(member),
            )


def _weakened(what: str, severity: Severity) -> Drift:
    return Drift(DriftClass.WEAKENED_SITE, severity, "", what)
