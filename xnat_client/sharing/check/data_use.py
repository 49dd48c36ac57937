"""Data-use codes: a release promises at least what the strictest of its consent forms demands.

The codes are those of the Data Use Ontology [1]_. A permission (who may use data for what) may be
narrower than the form's, never wider; a modifier (a condition) of any form must be among the
release's. What cannot be compared is not allowed.

References
----------
.. [1] J. Lawson et al., "The Data Use Ontology to streamline responsible access to human
   biomedical datasets", Cell Genomics 1 (2021) 100028; terms at http://purl.obolibrary.org/obo/duo
"""

from __future__ import annotations

from collections.abc import Iterable

from xnat_client.sharing.check.reading import Facts
from xnat_client.sharing.finding import Answer, met, not_met, unknown
from xnat_client.sharing.vocabulary import Level

PERMISSIONS: dict[str, frozenset[str]] = {
    "NRES": frozenset(),
    "GRU": frozenset({"NRES"}),
    "HMB": frozenset({"NRES", "GRU"}),
    "DS": frozenset({"NRES", "GRU", "HMB"}),
    "POA": frozenset({"NRES", "GRU"}),
}
"""Each permission and the wider ones that it lies within."""

MODIFIERS = frozenset(
    {
        "RS", "NMDS", "GSO", "NPU", "NPUNCU", "NCU", "PUB", "COL", "IRB", "GS", "MOR", "TS",
        "US", "PS", "IS", "RTN", "CC",
    }
)  # fmt: skip
"""Conditions that come on top of a permission."""

_NUMBERS = {
    "0000004": "NRES", "0000006": "HMB", "0000007": "DS", "0000011": "POA", "0000042": "GRU",
    "0000012": "RS", "0000015": "NMDS", "0000016": "GSO", "0000018": "NPUNCU", "0000019": "PUB",
    "0000020": "COL", "0000021": "IRB", "0000022": "GS", "0000024": "MOR", "0000025": "TS",
    "0000026": "US", "0000027": "PS", "0000028": "IS", "0000029": "RTN", "0000043": "CC",
    "0000045": "NPU", "0000046": "NCU",
}  # fmt: skip

_FOR_EVERYBODY = frozenset({"NRES", "GRU"})
"""What can be promised of data that everybody can fetch without asking anybody."""


def of_codes(facts: Facts) -> Answer:
    """Answer whether the release's codes agree with the form of every participant."""
    release = facts.release
    forms = {
        consent.form: consent.duo_codes
        for number in facts.participants
        if (consent := facts.consents.get(number)) is not None and consent.form is not None
    }
    if not forms:
        return unknown("No consent form is known.", "study team", "Record the consent.")
    silent = sorted(form for form, codes in forms.items() if not codes)
    if silent:
        return unknown(
            f"Form {silent[0][0]!r} version {silent[0][1]!r} names no data-use codes.",
            "officer",
            "Add the codes to the form (winxnat share form add).",
        )
    if release is None:
        demanded = sorted({code for codes in forms.values() for code in codes})
        return unknown(
            f"The forms demand {', '.join(demanded)}; no release says yet what it promises.",
            "study team",
            "Build one with these codes.",
        )
    said = objections(release.duo_codes, forms.values(), facts.level)
    if said:
        return not_met(said[0], "study team", "Build it with stricter data-use codes.")
    return met(f"The codes {', '.join(sorted(release.duo_codes))} agree with every form.")


def objections(
    promised: Iterable[str], demanded: Iterable[Iterable[str]], level: Level
) -> list[str]:
    """Say what speaks against the codes of a release.

    Parameters
    ----------
    promised : iterable of str
        The release's codes: short names (``GRU``) or numbers (``DUO:0000042``).
    demanded : iterable of iterable of str
        The codes of each consent form.
    level : Level
        At ``OPEN`` nothing that somebody would have to watch over can be promised.
    """
    try:
        own_permission, own_modifiers = _split(promised)
        forms = [_split(codes) for codes in demanded]
    except ValueError as error:
        return [str(error)]
    said = []
    for permission, modifiers in forms:
        if own_permission != permission and permission not in PERMISSIONS[own_permission]:
            said.append(f"{own_permission} allows what a form with {permission} does not.")
        missing = sorted(modifiers - own_modifiers)
        if missing:
            said.append(f"A form demands {', '.join(missing)}; the release does not.")
    if level is Level.OPEN and (own_modifiers or own_permission not in _FOR_EVERYBODY):
        said.append("Open data cannot be bound to a purpose or a condition.")
    return said


def _split(codes: Iterable[str]) -> tuple[str, frozenset[str]]:
    """Return the one permission and the modifiers of a list of codes."""
    named = [_name(code) for code in codes]
    permissions = {code.split(":")[0] for code in named if code.split(":")[0] in PERMISSIONS}
    others = {code for code in named if code.split(":")[0] not in PERMISSIONS}
    strange = sorted(code for code in others if code.split(":")[0] not in MODIFIERS)
    if strange:
        raise ValueError(f"{strange[0]!r} is no data-use code that can be judged.")
    if len(permissions) != 1:
        raise ValueError("Data-use codes hold one permission (such as GRU) and its conditions.")
    permission = permissions.pop()
    # A disease or a population cannot be compared, so it is treated as a condition of its own.
    special = {code for code in named if code.startswith(f"{permission}:")}
    return permission, frozenset(others | special)


def _name(code: str) -> str:
    plain = code.strip()
    for prefix in ("DUO:", "DUO_"):
        if plain.upper().startswith(prefix):
            number = plain[len(prefix) :]
            return _NUMBERS.get(number, plain)
    return plain.upper()
