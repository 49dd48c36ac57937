"""Consent of everybody in a release: to its level, and to each kind of its data.

Not here: what a line of consent means (``records.consent``), data-use codes (``data_use``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from xnat_client.sharing.check.reading import Facts
from xnat_client.sharing.finding import Answer, met, not_met, unknown
from xnat_client.sharing.records.consent import Effective
from xnat_client.sharing.vocabulary import DataType, Level

_SUBJECT = re.compile(r"sub-([^/]+)/")
_NAMED_AT_MOST = 10
_KINDS = {kind.value: kind for kind in DataType}


def of_level(facts: Facts) -> Answer:
    """Answer whether everybody consented to the level."""
    if not facts.participants:
        return unknown(
            "No participant is recorded.",
            "study team",
            "Record the participants and their consent (winxnat share consent import).",
        )
    strangers = [number for number in facts.participants if number not in facts.consents]
    if strangers:
        return unknown(
            f"{_persons(strangers)} of the release belong to no participant of its study.",
            "study team",
            "Build the release again.",
        )
    counted = _count_in_files(facts)
    if counted is not None and counted != len(facts.participants):
        return unknown(
            f"The files hold {counted} participants, the records {len(facts.participants)}.",
            "study team",
            "Build the release again.",
        )
    return _everybody(facts)


def _everybody(facts: Facts) -> Answer:
    unsure, lacking = [], []
    for number in sorted(facts.participants):
        consent = facts.consents[number]
        if _is_unknown(consent):
            unsure.append(number)
        elif not _reaches(consent, facts.level):
            lacking.append(number)
    if lacking:
        more = f" Of {_persons(unsure)} it is not known." if unsure else ""
        return not_met(
            f"{_persons(lacking)} did not consent to level {facts.level.word}, or withdrew.{more}",
            "study team",
            "Leave them out, or ask them.",
        )
    if unsure:
        return unknown(
            f"The consent of {_persons(unsure)} is not known, or its form is not accepted.",
            "study team",
            "Record their consent, have the officer accept the form, or leave them out.",
        )
    return met(f"All {len(facts.participants)} participants consented to it.")


def _is_unknown(consent: Effective) -> bool:
    return consent.unknown is not None or (consent.level is None and consent.withdrawn is None)


def _reaches(consent: Effective, level: Level) -> bool:
    known = consent.withdrawn is None and consent.level is not None
    return known and (consent.level or Level.PRIVATE) >= level


def of_data_types(facts: Facts) -> Answer:
    """Answer whether everybody consented to each kind of data of theirs."""
    if not facts.participants:
        return unknown("No participant is recorded.", "study team", "Record the participants.")
    nameless = [
        number
        for number, words in facts.participants.items()
        if not words or any(word not in _KINDS for word in words)
    ]
    if nameless:
        return unknown(
            f"Which kinds of data there are of {_persons(nameless)} is not recorded.",
            "study team",
            "Record the study's kinds of data (winxnat share study update).",
        )
    lacking: dict[str, list[int]] = {}
    for number, words in sorted(facts.participants.items()):
        consent = facts.consents.get(number)
        allowed = frozenset() if consent is None or consent.withdrawn else consent.data_types
        for word in words:
            if _KINDS[word] not in allowed:
                lacking.setdefault(word, []).append(number)
    if lacking:
        said = "; ".join(f"{word}: {_persons(found)}" for word, found in sorted(lacking.items()))
        return not_met(
            f"Consent does not cover {said}.", "study team", "Leave these data out, or ask."
        )
    return met("Consent covers each kind of data.")


def _count_in_files(facts: Facts) -> int | None:
    """Count the labels under which the release has files; None before anything was built."""
    if facts.freshness is None:
        return None
    found = (_SUBJECT.match(path) for path in facts.freshness.files)
    return len({match.group(1) for match in found if match})


def _persons(numbers: Iterable[int]) -> str:
    """Name participants by number; many by their count."""
    known = sorted(numbers)
    shown = ", ".join(str(number) for number in known[:_NAMED_AT_MOST])
    noun = "participant" if len(known) == 1 else "participants"
    rest = len(known) - _NAMED_AT_MOST
    return f"{noun} {shown}" + (f" and {rest} more" if rest > 0 else "")
