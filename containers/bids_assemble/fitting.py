"""Whether the results of sessions fit into one dataset: every subject one person, no file twice.

Labels are compared in the form that XNAT has them; they are not shown, because some sites use
hospital numbers. Not here: writing (``merge``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from containers.bids_assemble.results import SessionResult
from containers.contract import BadInputError


def fitting_results(
    results: Sequence[SessionResult],
) -> tuple[tuple[SessionResult, ...], tuple[str, ...]]:
    """Return each session once, and what a person should know.

    Raises
    ------
    BadInputError
        All reasons why the results do not fit together, in one message.
    """
    faults = [*_merged_subjects(results), *_split_subjects(results), *_mixed_levels(results)]
    kept, conflicts, notes = _each_once(results)
    faults += conflicts
    if faults:
        raise BadInputError(f"Cannot assemble a dataset: {' '.join(faults)}")
    return kept, (*notes, *_differences(results))


def _grouped(
    results: Iterable[SessionResult], key: Callable[[SessionResult], object]
) -> list[list[SessionResult]]:
    groups: defaultdict[object, list[SessionResult]] = defaultdict(list)
    for result in results:
        groups[key(result)].append(result)
    return list(groups.values())


def _merged_subjects(results: Sequence[SessionResult]) -> Iterable[str]:
    # Without regard to case: many file systems hold sub-A1 and sub-a1 for one folder.
    for group in _grouped(results, lambda result: result.subject.casefold()):
        shown = f"sub-{group[0].subject}"
        unknown = sum(not result.given_subject for result in group)
        people = {result.given_subject for result in group if result.given_subject}
        if len(people) + unknown > 1:
            yield (
                f"{shown} stands for {len(people) + unknown} subjects, whose labels differ only "
                "in characters that BIDS drops (or are not known); give each a label of its own "
                'in "subject_label" of the map and convert these sessions again.'
            )


def _split_subjects(results: Sequence[SessionResult]) -> Iterable[str]:
    labelled = [result for result in results if result.given_subject]
    for group in _grouped(labelled, lambda result: result.given_subject):
        labels = sorted({f"sub-{result.subject}" for result in group})
        if len(labels) > 1:
            yield (
                f"{', '.join(labels)} are one subject of the project, converted with different "
                "maps; convert all its sessions again with one map."
            )


def _mixed_levels(results: Sequence[SessionResult]) -> Iterable[str]:
    for group in _grouped(results, lambda result: result.subject):
        if len({result.session is None for result in group}) > 1:
            yield (
                f"sub-{group[0].subject} has results with and without a session folder; convert "
                "all its sessions again with one map."
            )


def _each_once(
    results: Sequence[SessionResult],
) -> tuple[tuple[SessionResult, ...], list[str], list[str]]:
    kept, conflicts, notes = [], [], []
    for group in _grouped(results, lambda result: result.place.casefold()):
        if len({_content(result) for result in group}) == 1:
            kept.append(group[0])
            if len(group) > 1:
                notes.append(f"{group[0].place} was found {len(group)} times, all the same.")
        else:
            conflicts.append(
                f"{group[0].place} is the place of {len(group)} different results, whose session "
                "labels may differ only in characters that BIDS drops; give each session a label "
                'of its own in "session_label" of the map, or take the outdated result away.'
            )
    return tuple(kept), conflicts, notes


def _content(result: SessionResult) -> tuple[object, ...]:
    files = sorted((str(file.path), file.sha256) for file in result.files)
    return (result.given_subject, result.given_session, *files)


def _differences(results: Sequence[SessionResult]) -> Iterable[str]:
    maps = {result.map_digest for result in results}
    if len(maps) > 1:
        yield (
            f"The sessions were converted with {len(maps)} different maps (or without one); "
            "the same series may have different names."
        )
    versions = {str(result.description.get("BIDSVersion")) for result in results}
    if len(versions) > 1:
        yield f"The sessions follow different versions of BIDS: {', '.join(sorted(versions))}."
