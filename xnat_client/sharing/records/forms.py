"""Consent forms: each version with what it allows, and whether the officer accepts it.

What a version allows is never changed: a new reading of it is a new version. Not here: what
participants signed (``consent``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import BadInputError, ConflictError, NotFoundError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import ConsentForm, ConsentRecord, ReleaseParticipant
from xnat_client.sharing.records import people
from xnat_client.sharing.records.mappings import fields_of, read_yaml
from xnat_client.sharing.vocabulary import DataType, Level, Role


@dataclass(frozen=True)
class FormScope:
    """What a version of a form allows.

    Attributes
    ----------
    form_id, version : str
        The form and its version.
    highest_level : Level
        The highest level that its text asks for.
    data_types : tuple of DataType
        The kinds of data that its text names.
    duo_codes : tuple of str
        Codes of the Data Use Ontology (such as ``GRU``, ``HMB``, ``DS``) that its text means.
    purpose_review : bool
        Whether its text promises that the purpose of each use is looked at.
    """

    form_id: str
    version: str
    highest_level: Level
    data_types: tuple[DataType, ...]
    duo_codes: tuple[str, ...] = ()
    purpose_review: bool = False


def add_form(session: Session, actor: Actor, scope: FormScope, *, now: datetime) -> ConsentForm:
    """Put a version of a form on record; it counts once the officer accepts it.

    Raises
    ------
    ConflictError
        That version is on record with another scope.
    """
    allowed = (Role.OFFICER, Role.ADMINISTRATOR, Role.STEWARD)
    people.require_any_role(session, actor, *allowed, now=now)
    there = session.get(ConsentForm, (scope.form_id, scope.version))
    if there is not None:
        if scope_of(there) != scope:
            raise ConflictError(
                f"Form {scope.form_id} version {scope.version} is on record with another scope. "
                "What a version allows is not changed; give it another version."
            )
        return there
    row = ConsentForm(
        form_id=scope.form_id,
        version=scope.version,
        highest_level=scope.highest_level,
        data_types=sorted(kind.value for kind in scope.data_types),
        duo_codes=sorted(scope.duo_codes),
        purpose_review=scope.purpose_review,
    )
    session.add(row)
    session.flush()
    after = {"level": scope.highest_level.word, "data_types": row.data_types}
    change = chain.Change("form.add", "form", _name(row), {}, after)
    chain.append(session, actor, change, now=now)
    return row


def scope_of(row: ConsentForm) -> FormScope:
    """Return what a form on record allows."""
    return FormScope(
        row.form_id,
        row.version,
        row.highest_level,
        tuple(DataType(kind) for kind in sorted(row.data_types)),
        tuple(sorted(row.duo_codes)),
        row.purpose_review,
    )


def set_accepted(  # noqa: PLR0913  # which form, and what is decided
    session: Session,
    actor: Actor,
    form_id: str,
    version: str,
    *,
    accepted: bool,
    now: datetime,
) -> None:
    """Accept a version of a form, or judge it insufficient; the officer decides.

    Once it is not accepted, consents on it count as unknown and releases that rest on them are
    found by ``releases_on``.

    Raises
    ------
    NotFoundError
        There is no such version.
    """
    people.require_any_role(session, actor, Role.OFFICER, now=now)
    row = form_of(session, form_id, version)
    if row.accepted == accepted:
        return
    row.accepted = accepted
    row.accepted_by = actor.person_id if accepted else None
    row.accepted_at = now if accepted else None
    session.flush()
    change = chain.Change(
        "form.accept" if accepted else "form.reject",
        "form",
        _name(row),
        {"accepted": not accepted},
        {"accepted": accepted},
    )
    chain.append(session, actor, change, now=now)


def form_of(session: Session, form_id: str, version: str) -> ConsentForm:
    """Return a version of a form.

    Raises
    ------
    NotFoundError
        There is none.
    """
    row = session.get(ConsentForm, (form_id, version))
    if row is None:
        raise NotFoundError(f"The records have no form {form_id} version {version}.")
    return row


def all_forms(session: Session) -> list[ConsentForm]:
    """Return all versions of all forms."""
    return list(
        session.scalars(sa.select(ConsentForm).order_by(ConsentForm.form_id, ConsentForm.version))
    )


def releases_on(session: Session, form_id: str, version: str) -> list[int]:
    """Return the numbers of all releases with a participant who ever signed a version."""
    query = (
        sa.select(ReleaseParticipant.release_pk)
        .join(ConsentRecord, ConsentRecord.participant_pk == ReleaseParticipant.participant_pk)
        .where(ConsentRecord.form_id == form_id, ConsentRecord.form_version == version)
        .distinct()
        .order_by(ReleaseParticipant.release_pk)
    )
    return list(session.scalars(query))


def read_scopes(path: Path) -> list[FormScope]:
    """Read a scope map: a YAML list ``forms`` (see ``winxnat share template consent-forms``).

    Raises
    ------
    BadInputError
        The file is not such a map; the text says which entry and field.
    """
    document = fields_of(read_yaml(path), "the scope map", {"forms"})
    entries = document["forms"]
    if not isinstance(entries, list) or not entries:
        raise BadInputError("The scope map needs a list 'forms' with at least one form.")
    return [_scope(entry, f"form {number}") for number, entry in enumerate(entries, start=1)]


def _scope(entry: Any, where: str) -> FormScope:
    required = {"id", "version", "highest_level", "data_types"}
    fields = fields_of(entry, where, required, {"duo_codes", "purpose_review", "note"})
    review = fields.get("purpose_review", False)
    if not isinstance(review, bool):
        raise BadInputError(f"In {where}, 'purpose_review' must be true or false.")
    return FormScope(
        _text(fields, "id", where),
        _text(fields, "version", where),
        _level(fields["highest_level"], where),
        tuple(_kinds(fields["data_types"], where)),
        tuple(sorted(str(code) for code in fields.get("duo_codes") or ())),
        review,
    )


def _text(fields: Mapping[str, Any], name: str, where: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not value.strip():
        # A version such as 2.10 without quotes would be read as the number 2.1.
        raise BadInputError(f"In {where}, '{name}' must be a text; put it between quotes.")
    return value.strip()


def _level(word: Any, where: str) -> Level:
    try:
        return Level.from_word(str(word))
    except ValueError as error:
        words = ", ".join(level.word for level in Level)
        raise BadInputError(f"In {where}, 'highest_level' must be one of {words}.") from error


def _kinds(words: Any, where: str) -> list[DataType]:
    known = {kind.value: kind for kind in DataType}
    if not isinstance(words, list) or not words or not {*map(str, words)} <= known.keys():
        raise BadInputError(
            f"In {where}, 'data_types' must be a list of some of {', '.join(known)}."
        )
    return sorted({known[str(word)] for word in words})


def _name(row: ConsentForm) -> str:
    return f"{row.form_id}/{row.version}"
