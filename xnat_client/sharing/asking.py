"""Asking the approvers of a proposed release for their decision, by e-mail.

The message names the release, its digest and how much differs from the version before; never a
label, a path or a participant. A proposal stands whether or not anybody could be told. Not here:
how e-mail is sent (``mail``), notices to recipients (``notices``), the proposal (``decisions``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from xnat_client.errors import XnatClientError
from xnat_client.release import manifest
from xnat_client.sharing import evidence, standing
from xnat_client.sharing.database.tables import Person, Release
from xnat_client.sharing.home import Home
from xnat_client.sharing.levels import APPROVERS
from xnat_client.sharing.mail import MailSettings, NotSentError, open_mailer
from xnat_client.sharing.records import people
from xnat_client.sharing.versions import version_key
from xnat_client.sharing.vocabulary import Level


@dataclass(frozen=True)
class Question:
    """One message and those whom it goes to.

    Attributes
    ----------
    recipients : mapping of str to str
        Person to e-mail address; those who approve in any of the roles that the level needs.
    """

    subject: str
    text: str
    recipients: Mapping[str, str]


@dataclass(frozen=True)
class Asked:
    """Who was told of a proposal.

    Attributes
    ----------
    told : tuple of str
        Persons whose message the mail server took.
    not_told : tuple of str
        The other approvers.
    why : str
        Why not, one sentence; empty if all were told.
    """

    told: tuple[str, ...]
    not_told: tuple[str, ...]
    why: str = ""


def question_of(session: Session, home: Home, release: Release, now: datetime) -> Question:
    """Return what the approvers of a proposed release are asked."""
    persons = {
        person
        for role in APPROVERS[release.level]
        for person in people.persons_with(session, role, release.study_pk, now)
        if release.level < Level.EXTERNAL or person != release.requested_by
    }
    name = f"{release.family} {release.version}"
    text = (
        f"Release {name} is proposed for the level '{release.level.word}' and waits for your "
        f"decision.\n\nmanifest     {release.manifest_sha256}\n"
        f"proposed by  {release.requested_by}\n\n{difference(session, home, release)}\n\n"
        f"Look at it (winxnat release show {name}), verify your copy (winxnat release verify), "
        "then approve or reject it (winxnat release approve, reject). What you do not approve "
        "stays closed.\n"
    )
    addresses = {one: session.get_one(Person, one).email for one in sorted(persons)}
    return Question(f"Decision needed: release {name}", text, addresses)


def difference(session: Session, home: Home, release: Release) -> str:
    """Say in counts what differs from the newest published version before; no path, no label."""
    own = version_key(release.version)
    older = [
        one
        for one in standing.same_line(session, release)
        if one.published_at is not None and version_key(one.version) < own
    ]
    if not older:
        return "It is the first release of its family at this level."
    before = older[-1]
    folders = [evidence.release_folder(home, one) for one in (before, release)]
    try:
        found = manifest.compare(*folders)
    except manifest.ManifestError:
        return f"What differs from version {before.version} cannot be told: a manifest is missing."
    return (
        f"Against version {before.version}: {len(found.added)} files added, "
        f"{len(found.removed)} removed, {len(found.changed)} changed; "
        f"{found.participants_before} participants before, {found.participants_after} now."
    )


def ask(question: Question, environment: Mapping[str, str] | None = None) -> Asked:
    """Send a question by e-mail, if the site has a mail server; never raises for its troubles."""
    known = os.environ if environment is None else environment
    everybody = tuple(question.recipients)
    if not known.get("WINXNAT_SMTP"):
        return Asked((), everybody, "No mail server is named in WINXNAT_SMTP; tell them yourself.")
    told, why = [], ""
    try:
        with open_mailer(MailSettings.from_environment(known)) as mailer:
            for person, address in question.recipients.items():
                try:
                    mailer.send(address, question.subject, question.text)
                except NotSentError as error:
                    why = f"{person}: {error}"
                else:
                    told.append(person)
    except XnatClientError as error:
        why = str(error)
    return Asked(tuple(told), tuple(one for one in everybody if one not in told), why)
