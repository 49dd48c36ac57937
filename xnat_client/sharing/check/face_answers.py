"""What people decided on defaced images: a rejected one is never shared, an accepted one is seen.

Decisions stand in statements of the steward, by the image's SHA-256. A rejection blocks every
release that holds the image until the statement is revoked; nothing that anybody accepts lifts a
verdict of the check. Not here: the check's own evidence (``evidence_answers``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from xnat_client.errors import BadInputError
from xnat_client.faces.decisions import FaceReview, parse_review
from xnat_client.sharing.check.reading import Facts
from xnat_client.sharing.database.tables import Statement
from xnat_client.sharing.finding import Answer, not_met, prerequisite


def of_rejections(facts: Facts, files: Mapping[str, str]) -> Answer | None:
    """Return that a person rejected an image of a release; None if nobody did.

    Parameters
    ----------
    files : mapping of str to str
        Path in the release to SHA-256.
    """
    digests = set(files.values())
    rejected: set[str] = set()
    for row in _statements(facts):
        try:
            review = parse_review(row.text)
        except BadInputError:
            return not_met(
                f"The decisions on faces in statement {row.statement_pk} cannot be read.",
                "steward",
                "Revoke it (winxnat share state revoke) and record the review again.",
            )
        if review is not None:
            rejected |= review.rejected.keys() & digests
    if not rejected:
        return None
    count = f"{len(rejected)} image{'s' if len(rejected) > 1 else ''}"
    return not_met(
        f"A person who looked at the defaced images rejected {count} of this release.",
        "study team",
        "Leave them out or deface them again, and build the next version.",
    )


def accepts_all(row: Statement, digests: Collection[str]) -> bool:
    """Tell whether a statement speaks of all images: in words, or accepting each by its digest."""
    try:
        review: FaceReview | None = parse_review(row.text)
    except BadInputError:
        return False
    return review is None or set(digests) <= review.accepted


def _statements(facts: Facts) -> Iterator[Statement]:
    number = prerequisite("faces").number
    return (one for one in facts.statements if one.prerequisite == number)
