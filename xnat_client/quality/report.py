"""The group page of many images: made from records, written to a folder or a project's resource.

Not here: how the page looks (``qc.report.group``), where records come from (``files``).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qc.ratings import BadRatingError, Rating, rating_line, read_rating
from qc.report.group import Entry, make_group_page
from qc.table import make_table
from xnat_client.address import check_project_id, path_of
from xnat_client.errors import BadInputError, NotFoundError, RefusedError
from xnat_client.resources import read_file_rows

if TYPE_CHECKING:
    from xnat_client.quality.files import Found
    from xnat_client.transport import Transport

PAGE, TABLE, VERDICTS = "group.html", "group.tsv", "verdicts.json"
GROUP_RESOURCE, RATINGS_RESOURCE = "QC_GROUP", "QC_RATINGS"
_CONTENT_TYPES = {".html": "text/html", ".tsv": "text/tab-separated-values",
                  ".json": "application/json"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """A group report.

    Attributes
    ----------
    files : Mapping
        Bytes by file name: page, table, verdicts.
    images, to_review : int
        How many images, and how many of them a person should look at.
    """

    files: Mapping[str, bytes]
    images: int
    to_review: int


def make_report(title: str, found: Sequence[Found], ratings: Sequence[Rating] = ()) -> Report:
    """Return the group report of records.

    Parameters
    ----------
    title : str
        A name without identity.
    """
    entries = [Entry(each.row, each.thumbnail, each.page) for each in found]
    page = make_group_page(title, entries, ratings)
    verdicts = {
        table: {
            name: {"verdict": each.verdict.value, "reasons": list(each.reasons)}
            for name, each in sorted(judgements.items())
        }
        for table, judgements in page.judgements.items()
    }
    review = sum(
        each["verdict"] == "review" for table in verdicts.values() for each in table.values()
    )
    files = {
        # Names of local files need not be text; a page of them still is.
        PAGE: page.text.encode(errors="replace"),
        TABLE: make_table(each.row for each in found).encode(errors="replace"),
        VERDICTS: (json.dumps(verdicts, indent=2, sort_keys=True) + "\n").encode(),
    }
    return Report(files, len(found), review)


def write_report(report: Report, out_dir: Path) -> None:
    """Write a report's files into a folder; each appears whole or not at all."""
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for name, content in report.files.items():
            partial = out_dir / f".{name}.partial"
            partial.write_bytes(content)
            partial.replace(out_dir / name)
    except OSError as error:
        raise BadInputError(f"The report could not be written ({error.strerror}).") from error


def store_report(transport: Transport, project_id: str, report: Report) -> None:
    """Store a report as the project's resource ``QC_GROUP``, in place of an earlier one.

    Raises
    ------
    RefusedError
        The server does not list what was sent.
    """
    for name, content in report.files.items():
        _put(transport, project_id, GROUP_RESOURCE, name, content, overwrite=True)
    held = {
        file.path: file.size_bytes
        for file in read_file_rows(
            transport,
            _files(project_id, GROUP_RESOURCE),
            doing=f"list the report of project {project_id}",
        )
    }
    if any(held.get(name) != len(content) for name, content in report.files.items()):
        raise RefusedError(
            f"The server does not list the report of project {project_id} as it was sent. Look at "
            f"its resource {GROUP_RESOURCE}."
        )


def store_rating(transport: Transport, project_id: str, rating: Rating) -> None:
    """Add one rating to the project; each is a file of its own, so that none replaces another."""
    content = rating_line(rating).encode()
    name = f"rating-{uuid.uuid4().hex}.json"
    _put(transport, project_id, RATINGS_RESOURCE, name, content, overwrite=False)


def read_project_ratings(transport: Transport, project_id: str) -> list[Rating]:
    """Return all ratings of a project; none if nobody rated.

    Raises
    ------
    BadInputError
        A file among them is no rating.
    """
    doing = f"read the ratings of project {project_id}"
    try:
        files = read_file_rows(transport, _files(project_id, RATINGS_RESOURCE), doing=doing)
    except NotFoundError:
        return []
    ratings = []
    for file in files:
        body = transport.request("GET", file.uri, doing=doing).body
        try:
            ratings.append(read_rating(body))
        except BadRatingError as error:
            raise BadInputError(
                f"A file of the resource {RATINGS_RESOURCE} of project {project_id} is no rating. "
                "Take it away, or mend it."
            ) from error
    return ratings


def _files(project_id: str, resource: str) -> str:
    return path_of("data", "projects", check_project_id(project_id), "resources", resource, "files")


def _put(  # noqa: PLR0913  # where, what, and whether over an old one
    transport: Transport,
    project_id: str,
    resource: str,
    name: str,
    content: bytes,
    *,
    overwrite: bool,
) -> None:
    suffix = Path(name).suffix
    query = {"inbody": "true", "format": suffix[1:].upper(), "content": "QC"}
    if overwrite:
        query["overwrite"] = "true"
    transport.request(
        "PUT",
        f"{_files(project_id, resource)}{path_of(name)}",
        doing=f"store {name} at project {project_id}",
        query=query,
        headers={"Content-Type": _CONTENT_TYPES[suffix]},
        body=content,
    )
