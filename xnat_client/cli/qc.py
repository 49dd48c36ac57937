"""``winxnat qc``: the quality of many images: group page, searchable values, people's ratings.

Not here: measuring (``winxnat run winqc``), the work itself (``xnat_client.quality``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xnat_client.cli.server_options import (
    json_option,
    open_server,
    print_json,
    server_options,
)

if TYPE_CHECKING:
    from xnat_client.quality.files import Collection
    from xnat_client.quality.report import Report

HELP = "Compare image quality over many sessions: group page, searchable values, ratings."
_DECISIONS = ("accept", "exclude", "unsure")


@click.group(help=HELP)
def qc() -> None:
    """Group of the subcommands on quality."""


@qc.command(
    short_help="Make the group page of local folders.",
    help="""Make the group page of local FOLDERS that hold records of winqc or MRIQC.

Writes group.html, group.tsv and verdicts.json into OUT_DIR. Works without a server.""",
)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", "out_dir", required=True, type=click.Path(path_type=Path))
@click.option("--title", default="Group", show_default=True, help="Heading of the page.")
@click.option("--ratings", type=click.Path(path_type=Path), help="File of people's ratings.")
@json_option
def group(
    *, folders: Sequence[Path], out_dir: Path, title: str, ratings: Path | None, as_json: bool
) -> None:
    """Run ``winxnat qc group``."""
    from qc.ratings import BadRatingError, read_ratings  # noqa: PLC0415  # keeps the help quick
    from xnat_client.errors import BadInputError  # noqa: PLC0415  # likewise
    from xnat_client.quality.files import read_folders  # noqa: PLC0415  # likewise
    from xnat_client.quality.report import make_report, write_report  # noqa: PLC0415  # likewise

    collection = read_folders(folders, out_dir)
    try:
        rated = read_ratings(ratings) if ratings else []
    except (OSError, BadRatingError) as error:
        raise BadInputError("The file of ratings cannot be read, or a line is none.") from error
    report = make_report(title, collection.found, rated)
    write_report(report, out_dir)
    _tell(report, collection, as_json=as_json, where=f"The page is {out_dir / 'group.html'}.")


@qc.command(
    short_help="Make the group page of a project.",
    help="""Make the group page of a project from its sessions' WINQC and MRIQC resources.

It is stored as the project's resource QC_GROUP, in place of an earlier one. With --dry-run nothing
is stored; with --out the files are written into a folder as well.""",
)
@click.option("--project", required=True, help="ID of the project.")
@click.option("--out", "out_dir", type=click.Path(path_type=Path), help="Folder for a copy.")
@click.option("--dry-run", is_flag=True, help="Store nothing on the server.")
@json_option
@server_options
def report(  # noqa: PLR0913  # one parameter for each option
    *,
    project: str,
    out_dir: Path | None,
    dry_run: bool,
    as_json: bool,
    server: str | None,
    user: str | None,
) -> None:
    """Run ``winxnat qc report``."""
    from xnat_client.errors import BadInputError  # noqa: PLC0415  # likewise
    from xnat_client.quality import report as work  # noqa: PLC0415  # likewise
    from xnat_client.quality.files import nothing_but, read_project  # noqa: PLC0415  # likewise

    with open_server(server, user) as opened:
        collection = read_project(opened.transport, project)
        if not collection.found:
            raise BadInputError(
                f"No session of project {project} has a record of winqc or MRIQC"
                f"{nothing_but(collection)} Run winqc first: "
                f"winxnat launch winqc --project {project} --all"
            )
        ratings = work.read_project_ratings(opened.transport, project)
        made = work.make_report(project, collection.found, ratings)
        if out_dir is not None:
            work.write_report(made, out_dir)
        if not dry_run:
            work.store_report(opened.transport, project, made)
    where = "Nothing was stored." if dry_run else f"Stored as resource {work.GROUP_RESOURCE}."
    _tell(made, collection, as_json=as_json, where=where)


@qc.command(
    help="""Store a few quality numbers of each session as custom variables.

Sessions can then be listed and searched by them, for example:
winxnat search sessions --project P --where 'variable.winqc_bold_fd>0.3'.
Each is the worst of the session's images. With --dry-run only the difference is shown."""
)
@click.option("--project", required=True, help="ID of the project.")
@click.option("--session", "sessions", multiple=True, help="Label of a session; else all.")
@click.option("--dry-run", is_flag=True, help="Show what would change; store nothing.")
@json_option
@server_options
def values(  # noqa: PLR0913  # one parameter for each option
    *,
    project: str,
    sessions: Sequence[str],
    dry_run: bool,
    as_json: bool,
    server: str | None,
    user: str | None,
) -> None:
    """Run ``winxnat qc values``."""
    from xnat_client.quality.files import read_project  # noqa: PLC0415  # likewise
    from xnat_client.quality.values import (  # noqa: PLC0415  # likewise
        plan_changes,
        session_values,
        write_changes,
    )

    with open_server(server, user) as opened:
        collection = read_project(opened.transport, project, sessions, pictures=False)
        rows = collection.rows_by_session()
        by_session = {session_id: session_values(found) for session_id, found in rows.items()}
        changes = plan_changes(opened.transport, project, by_session, collection.sessions)
        if not dry_run:
            write_changes(opened.transport, changes)
    differing = {one.session.label: one.differing for one in changes if one.differing}
    if as_json:
        print_json({"project_id": project, "dry_run": dry_run, "changes": differing,
                    "sessions": len(changes)})  # fmt: skip
        return
    for label, variables in differing.items():
        text = ", ".join(f"{name}={text or '(none)'}" for name, text in variables.items())
        click.echo(f"{label}: {text}")
    done = "would change" if dry_run else "written"
    click.echo(f"{len(differing)} of {len(changes)} sessions {done}.")


@qc.command(
    short_help="Add your rating of an image.",
    help="""Add your rating of IMAGE (its name on the group page) to a project.

Ratings are kept apart from measured values; a later one stands beside an earlier one.""",
)
@click.argument("image")
@click.option("--project", required=True, help="ID of the project.")
@click.option("--decision", required=True, type=click.Choice(_DECISIONS))
@click.option("--reason", default="", help="Why; needed unless you accept.")
@json_option
@server_options
def rate(  # noqa: PLR0913  # one parameter for each option
    *,
    image: str,
    project: str,
    decision: str,
    reason: str,
    as_json: bool,
    server: str | None,
    user: str | None,
) -> None:
    """Run ``winxnat qc rate``."""
    from datetime import UTC, datetime  # noqa: PLC0415  # likewise

    from qc.ratings import BadRatingError, Decision, Rating  # noqa: PLC0415  # likewise
    from xnat_client.errors import UsageError  # noqa: PLC0415  # likewise
    from xnat_client.jobs.recognition import user_name  # noqa: PLC0415  # likewise
    from xnat_client.quality.files import digests_of, read_project  # noqa: PLC0415  # likewise
    from xnat_client.quality.report import store_rating  # noqa: PLC0415  # likewise

    with open_server(server, user) as opened:
        session, _, _ = image.partition("/")
        known = read_project(opened.transport, project, [session], pictures=False).found
        digests = digests_of(known)
        if image not in digests:
            raise UsageError(
                f"Session {session} has no record of such an image. Take the name from the group "
                "page; it is SESSION/IMAGE."
            )
        try:
            rating = Rating(
                image, digests[image], user_name(opened.transport), Decision(decision), reason,
                datetime.now(UTC),
            )  # fmt: skip
        except BadRatingError as error:
            raise UsageError(str(error)) from error
        store_rating(opened.transport, project, rating)
    if as_json:
        print_json({"project_id": project, "image": image, "decision": decision})
        return
    click.echo(f"Your rating of {image} is kept with project {project}.")


def _tell(report: Report, collection: Collection, *, as_json: bool, where: str) -> None:
    if as_json:
        print_json(
            {
                "images": report.images,
                "to_review": report.to_review,
                "refused": collection.refused,
                "other_json": collection.others,
                "files": sorted(report.files),
            }
        )
        return
    for line in collection.refused:
        click.echo(f"Left out: {line}", err=True)
    if collection.others:
        click.echo(f"JSON files that are no records of quality: {collection.others}.", err=True)
    click.echo(f"{report.images} images, {report.to_review} to review. {where}")
