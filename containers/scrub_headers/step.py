"""Copies a folder without the identities in its headers, tables, names and texts.

Every file is copied by the rules of its kind or left out with a reason; what is not known is
never passed through. The copy is then searched by ``check_identity``, which shares no code with
the rules; a doubt there withholds all of it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from containers.check_identity import (
    CheckResult,
    CheckSettings,
    KnownKind,
    KnownString,
    KnownStrings,
    Status,
    check_tree,
)
from containers.check_identity.tables import OPTION_CODES
from containers.contract import (
    REPORT_DIR_NAME,
    Accounted,
    BadInputError,
    ParameterValue,
    StepInput,
    StepReport,
    UnsafeOutputError,
    UsageError,
)
from containers.scrub_headers.bids_files import sidecar_identities
from containers.scrub_headers.copying import (
    Outcome,
    Rules,
    Task,
    copy_items,
    read_identities,
    worker_count,
)
from containers.scrub_headers.gather import HeaderIdentity
from containers.scrub_headers.inventory import Item, Kind, items_of, planned_names
from containers.scrub_headers.key_store import (
    PASSPHRASE_FILE_VARIABLE,
    PASSPHRASE_VARIABLE,
    Keys,
    KeyStoreError,
    passphrase_from_environment,
    passphrase_from_file,
    read,
)
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.paths import Naming, plain_label
from containers.scrub_headers.profile import Profile, load_profile

if TYPE_CHECKING:
    from containers.recordings import Recording

RESULT_DIR_NAME = "scrubbed"
_UNCHECKED_DIR_NAME = "unchecked"
"""Holds the copy until it is checked, so that none has the result's name when the run is killed."""
CHECK_FILE_NAME = "check.json"
SITE_KEYS_PATH = Path("/run/secrets/winxnat-keys")
SITE_PASSPHRASE_PATH = Path("/run/secrets/winxnat-keys-passphrase")
"""Where an administrator may mount the site's keys into the container."""
_DEFAULT_PROFILE = "external"
_SHOWN = 5
_SHORTEST_LABEL = 4
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_SUBJECT_FOLDER = re.compile(r"(?:^|/)sub-([A-Za-z0-9]+)(?:/|_)")
_KEEPING_PLACES = frozenset(OPTION_CODES.values()) - {"retain_longitudinal_full_dates"}
"""What a copy may declare where the profile retains the institution; with its address, which
criterion 32 refuses unless that is agreed."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """The parameters of the call, checked."""

    profile: Profile
    subject_label: str | None
    session_label: str | None
    is_strict: bool


def run(step_input: StepInput) -> StepReport:
    """Copy the folder without identities.

    Parameters
    ----------
    step_input : StepInput
        Parameters: ``profile`` (name of a profile), ``subject-label`` and ``session-label``
        (the new labels), ``known`` (file of further identity strings), ``keys`` and
        ``keys-passphrase`` (files of a key store; without them the pseudonyms of this run are
        never made again), ``strict`` (a file that is left out stops the run).

    Raises
    ------
    UsageError
        A parameter or the key store is wrong.
    BadInputError
        There is no file, or none that may be copied.
    UnsafeOutputError
        The check of the copy found an identity or could not rule one out, or a file is left out
        and ``strict`` is set.
    """
    wish = _wish(step_input.parameters)
    keys, is_lasting = _keys(step_input.parameters)
    extra = _extra_known(step_input.parameters.get("known"))
    items = items_of(step_input.input_dir)
    if not items:
        raise BadInputError("Cannot scrub the folder: it holds no file. Name another one.")
    identities = read_identities(items, worker_count())
    known = _known(identities.values(), extra, wish.profile) + _beside_dicom(items, step_input)
    rules, tasks, notes = _plan(step_input, wish, keys, _for_texts(known), (items, identities))
    outcomes = copy_items(rules, tasks, worker_count())
    _drop_empty_folders(rules.out_dir)
    _refuse_if_nothing_is_left(outcomes, wish)
    checked = _check(rules.out_dir, known, wish.profile)
    rules.out_dir.rename(step_input.output_dir / RESULT_DIR_NAME)
    report_dir = step_input.output_dir / REPORT_DIR_NAME
    report_dir.mkdir()
    text = json.dumps(checked.to_json(), indent=2)
    (report_dir / CHECK_FILE_NAME).write_text(f"{text}\n", encoding="utf-8")
    return _report(wish, outcomes, checked, notes, is_lasting=is_lasting)


def _wish(parameters: Mapping[str, ParameterValue]) -> _Wish:
    labels: dict[str, str | None] = {}
    for kind in ("subject", "session"):
        label = str(parameters.get(f"{kind}-label") or "").strip()
        if label and not _LABEL.fullmatch(label):
            raise UsageError(
                f"The {kind} label must be 1 to 32 letters, digits, _ or -, and begin with a "
                "letter or digit; give another label."
            )
        if label and not plain_label(label):
            raise UsageError(f"The {kind} label has no letter or digit; give another label.")
        labels[kind] = label or None
    return _Wish(
        profile=load_profile(str(parameters.get("profile") or _DEFAULT_PROFILE)),
        subject_label=labels["subject"],
        session_label=labels["session"],
        is_strict=parameters.get("strict") is True,
    )


def _keys(parameters: Mapping[str, ParameterValue]) -> tuple[Keys, bool]:
    """Return the keys of this run, and whether they outlive it."""
    given, passphrase_file = parameters.get("keys"), parameters.get("keys-passphrase")
    if given is None and passphrase_file is None and SITE_KEYS_PATH.is_file():
        given, passphrase_file = str(SITE_KEYS_PATH), str(SITE_PASSPHRASE_PATH)
    if given is None:
        if passphrase_file is not None:
            raise UsageError("A passphrase was given, but no key store. Give keys as well.")
        return Keys.new(), False
    if passphrase_file is not None:
        passphrase: str | None = passphrase_from_file(Path(str(passphrase_file)))
    else:
        passphrase = passphrase_from_environment()
    if passphrase is None:
        raise KeyStoreError(
            "The key store needs its passphrase: give keys-passphrase (a file), or set "
            f"{PASSPHRASE_VARIABLE} or {PASSPHRASE_FILE_VARIABLE}."
        )
    return read(Path(str(given)), passphrase, is_private_copy=True), True


def _extra_known(given: ParameterValue) -> KnownStrings:
    return KnownStrings.from_file(Path(str(given))) if given else KnownStrings()


def _known(
    identities: Iterable[HeaderIdentity], extra: KnownStrings, profile: Profile
) -> KnownStrings:
    """Return the study's identity strings, without those that the profile retains."""
    found: set[KnownString] = set()
    for each in identities:
        ids = list(each.identifiers)
        ids += [] if profile.retain_institution_identity else each.institution
        ids += [] if profile.retain_device_identity else each.device
        for kind, values in (
            (KnownKind.NAME, each.names),
            (KnownKind.ID, ids),
            (KnownKind.DATE, each.dates),
        ):
            found.update(KnownString(kind, value) for value in values)
    in_order = sorted(found, key=lambda one: (one.kind, one.text))
    return KnownStrings.of(in_order, is_from_headers=True) + extra


def _beside_dicom(items: Sequence[Item], step_input: StepInput) -> KnownStrings:
    """Return the identity strings of sidecars, recordings, and names of BIDS subjects."""
    found: set[KnownString] = set()
    for item in items:
        if item.kind is not Kind.DICOM:
            label = _owner(item, step_input.input_dir, {})
            # "01" and "pilot" are found in every file and identify nobody.
            if len(label) >= _SHORTEST_LABEL and any(map(str.isdigit, label)):
                found.add(KnownString(KnownKind.ID, label))
        if item.kind is Kind.JSON:
            found |= sidecar_identities(item.paths[0])
        if item.recording is not None:
            found |= _of_recording(item.recording)
    in_order = sorted(found, key=lambda one: (one.kind, one.text))
    return KnownStrings.of(in_order, is_from_headers=True)


def _of_recording(recording: Recording) -> set[KnownString]:
    from containers.recordings import (  # noqa: PLC0415 - an extra of its own
        RefusedRecordingError,
        identity_of,
    )

    try:
        texts = identity_of(recording).texts
    except RefusedRecordingError:
        # It is refused again, with the reason, when it is to be copied.
        return set()
    return {KnownString(KnownKind.TEXT, text) for text in texts}


def _for_texts(known: KnownStrings) -> KnownIdentities:
    kinds = {KnownKind.NAME: "names", KnownKind.DATE: "dates"}
    found: dict[str, list[str]] = {"names": [], "identifiers": [], "dates": []}
    for each in known.strings:
        found[kinds.get(each.kind, "identifiers")].append(each.text)
    return KnownIdentities.of(**found)


def _plan(
    step_input: StepInput,
    wish: _Wish,
    keys: Keys,
    known: KnownIdentities,
    found: tuple[Sequence[Item], Mapping[int, HeaderIdentity]],
) -> tuple[Rules, list[Task], list[str]]:
    """Decide whose each item is and where its copy goes; with sentences about doubts."""
    items, identities = found
    for label in (wish.subject_label, wish.session_label):
        if label and known.touches(label):
            raise UsageError(
                "A new label holds what identifies the person in the originals (a name, number or "
                "date); choose a label that is not made of them."
            )
    root = step_input.input_dir
    owners = {item.numbers[0]: _owner(item, root, identities) for item in items}
    distinct = sorted({owner for owner in owners.values() if owner})
    one_subject = wish.subject_label is not None or len(distinct) <= 1
    participant = wish.subject_label or (distinct[0] if len(distinct) == 1 else "")
    base = keys.pseudonyms(participant, wish.subject_label)
    naming = Naming(base, known, one_subject, wish.session_label)
    names = planned_names(root, items, identities, naming)
    out_dir = step_input.output_dir / _UNCHECKED_DIR_NAME
    rules = Rules(out_dir, wish.profile, base, known, naming)
    tasks = []
    for item in items:
        owner = participant if one_subject else owners[item.numbers[0]]
        label = base.patient_label if one_subject else keys.labels.get(owner)
        tasks.append(Task(item, names[item.numbers[0]], owner, label))
    notes = []
    if wish.subject_label and len(distinct) > 1:
        notes.append(
            f"The originals name {len(distinct)} different patients or subjects; all got the one "
            "new label. Check that they are one person."
        )
    return rules, tasks, notes


def _owner(item: Item, root: Path, identities: Mapping[int, HeaderIdentity]) -> str:
    """Return what tells participants apart: the patient ID, or the BIDS subject in the path."""
    if item.kind is Kind.DICOM:
        return identities[item.numbers[0]].patient_id
    found = _SUBJECT_FOLDER.search(item.paths[0].relative_to(root).as_posix())
    return found[1] if found else ""


def _drop_empty_folders(root: Path) -> None:
    for folder in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
        with suppress(OSError):
            folder.rmdir()


def _refuse_if_nothing_is_left(outcomes: Sequence[Outcome], wish: _Wish) -> None:
    refused = Counter(each.reason for each in outcomes if each.reason)
    listed = " ".join(f"({count}) {reason}" for reason, count in refused.most_common(_SHOWN))
    if all(each.reason for each in outcomes):
        raise BadInputError(f"Cannot scrub the folder: none of its files may be copied. {listed}")
    if refused and wish.is_strict:
        raise UnsafeOutputError(
            f"{sum(refused.values())} files cannot be vouched for, and strict is set. {listed}"
        )


def _check(root: Path, known: KnownStrings, profile: Profile) -> CheckResult:
    """Search the copy for identities; a doubt withholds it."""
    settings = CheckSettings(
        options=_KEEPING_PLACES if profile.retain_institution_identity else None
    )
    checked = check_tree(root, known, settings=settings)
    # Some criteria are unknown for want of knowledge (no known strings were given): these have no
    # place. A place is something in the copy that could not be judged, which counts as unsafe.
    blocking = [each for each in checked.unmet if each.status is Status.FAIL or each.places]
    if blocking:
        listed = "; ".join(
            f"criterion {each.criterion.id} ({each.count} places)" for each in blocking
        )
        raise UnsafeOutputError(
            f"The scrubbed copy holds what may identify somebody: {listed}. Nothing was "
            "handed on; see docs/check-identity.md for the criteria, and report it."
        )
    return checked


def _report(
    wish: _Wish,
    outcomes: Sequence[Outcome],
    checked: CheckResult,
    notes: Sequence[str],
    *,
    is_lasting: bool,
) -> StepReport:
    changes: Counter[str] = Counter()
    for each in outcomes:
        changes.update(each.changes)
    done = sum(len(each.numbers) for each in outcomes if not each.reason)
    left_out = sum(len(each.numbers) for each in outcomes if each.reason)
    warnings = [*notes, *sorted({note for each in outcomes for note in each.notes})]
    if left_out:
        warnings.append(
            f"{left_out} files are not in the copy; the report lists them by number and reason."
        )
    warnings += [
        each.reason for each in checked.unmet if each.status is Status.UNKNOWN and each.reason
    ][:1]
    if not is_lasting:
        warnings.append(
            "No key store was given: pseudonyms and date offsets of this run cannot be made "
            "again, so other sessions of the same person will not match."
        )
    return StepReport(
        summary=(
            f"{done} of {done + left_out} files are copied without identities, {left_out} left "
            f"out; the check of the copy finds none (profile {wish.profile.name})."
        ),
        accounted=tuple(_rows(outcomes)),
        warnings=tuple(warnings),
        facts={
            "profile": wish.profile.name,
            "profile_version": wish.profile.version,
            "changes": dict(sorted(changes.items())),
            "criteria_version": checked.version,
            "known_strings_searched": checked.known_count,
        },
    )


def _rows(outcomes: Sequence[Outcome]) -> Iterator[Accounted]:
    for each in outcomes:
        for number in each.numbers:
            outputs = tuple(f"{RESULT_DIR_NAME}/{name}" for name in each.outputs)
            outcome = "left-out" if each.reason else "done"
            outcome = "failed" if each.is_fault else outcome
            yield Accounted(f"file {number}", outcome, each.reason, outputs)
