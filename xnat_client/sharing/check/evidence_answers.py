"""What the evidence says: headers, faces, secrets, tables, quality, BIDS, and the files themselves.

Not here: how evidence is made (``xnat_client.release``), what it rests on (``freshness``).
"""

from __future__ import annotations

from collections.abc import Mapping

from xnat_client.sharing import evidence
from xnat_client.sharing.check import face_answers, freshness, records_answers
from xnat_client.sharing.check.freshness import Freshness
from xnat_client.sharing.check.reading import Facts
from xnat_client.sharing.database.tables import Evidence
from xnat_client.sharing.evidence import CheckId
from xnat_client.sharing.finding import Answer, met, not_met, not_needed, unknown
from xnat_client.sharing.vocabulary import Outcome

CHECK_OF: dict[str, CheckId] = {
    "headers": CheckId.HEADERS,
    "faces": CheckId.FACES,
    "labels": CheckId.SECRETS,
    "tables": CheckId.TABLES,
    "quality": CheckId.QUALITY,
    "bids": CheckId.BIDS,
}
"""Which check's evidence answers which prerequisite."""

_WHAT = {
    CheckId.HEADERS: "identities in headers",
    CheckId.FACES: "faces",
    CheckId.SECRETS: "secret strings of the study",
    CheckId.TABLES: "people who stand out in tables",
    CheckId.QUALITY: "quality",
    CheckId.BIDS: "errors of the BIDS format",
}
_NOT_BUILT = "No release was built yet"


def of_files(facts: Facts) -> Answer:
    """Answer whether folder, manifest and records agree."""
    if facts.freshness is None:
        return not_met(f"{_NOT_BUILT}.", "study team", "Build one (winxnat release build).")
    if facts.freshness.file_reasons:
        return not_met(
            facts.freshness.file_reasons[0],
            "study team",
            "Find out who changed it; build the next version.",
        )
    return met(f"All {len(facts.freshness.files)} files are those of the manifest.")


def of_check(facts: Facts, check: CheckId) -> Answer:
    """Answer what the newest evidence of a check says, if it still counts."""
    if facts.freshness is None:
        return unknown(
            f"{_NOT_BUILT}, so nobody looked for {_WHAT[check]}.",
            "study team",
            "Build one (winxnat release build); its checks are part of it.",
        )
    files = facts.freshness.files
    covered = [path for path in files if evidence.covers(check, path)]
    row = facts.evidence.get(check)
    images = {path: files[path] for path in covered}
    if check is CheckId.FACES and (rejected := face_answers.of_rejections(facts, files)):
        return rejected
    if not covered and files and (row is None or row.outcome is Outcome.NOT_NEEDED):
        return not_needed("The release holds nothing that this check is about.")
    if row is None:
        return unknown(
            f"There is no evidence of the check {check.value}.",
            "study team",
            "Build the release again; its checks are part of it.",
        )
    return _of_evidence(facts, facts.freshness, row, images)


def _of_evidence(facts: Facts, now: Freshness, row: Evidence, images: Mapping[str, str]) -> Answer:
    check = CheckId(row.check_id)
    stale = freshness.evidence_reasons(row, now.files, now.criteria, accepted=now.accepted)
    if stale:
        return not_met(stale[0], "study team", "Build the next version, or run its checks again.")
    if check is CheckId.FACES and _was_looked_at(facts, row, images):
        return met("Doubtful images were looked at by the steward.")
    return _of_outcome(row, check, len(images))


def _was_looked_at(facts: Facts, row: Evidence, images: Mapping[str, str]) -> bool:
    """Tell whether a person decided what the check could not tell; never against the check."""
    statement = records_answers.statement_of(facts, "faces")
    return (
        row.outcome is Outcome.UNKNOWN
        and row.files == len(images)
        and statement is not None
        and face_answers.accepts_all(statement, images.values())
        and statement.release_pk == row.release_pk
        and statement.made_at >= row.made_at
    )


def _of_outcome(row: Evidence, check: CheckId, covered: int) -> Answer:
    if row.outcome is Outcome.MET and row.files == covered:
        return met(f"{row.files} files were looked at for {_WHAT[check]}.")
    if row.outcome is Outcome.NOT_MET:
        return not_met(
            f"The check {check.value} found something in the release.",
            "study team",
            "Read its evidence (winxnat release show), mend the source, build the next version.",
        )
    return unknown(
        f"The check {check.value} could not tell.",
        "study team",
        "Read its evidence (winxnat release show) and build the next version.",
    )
