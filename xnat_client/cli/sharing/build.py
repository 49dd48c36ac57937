"""``winxnat release build``, ``verify`` and ``diff``: making a release, looking at copies of it.

Not here: the work itself (``xnat_client.release``), decisions on a release (``decide``).
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xnat_client.cli.records_options import actor_of, actor_options, home_option, open_records
from xnat_client.cli.server_options import json_option, open_server, print_json, transfer_settings
from xnat_client.errors import EXIT_DONE, EXIT_UNSAFE, BadInputError, NotFoundError, UsageError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from xnat_client.release.request import BuildRequest, BuildResult
    from xnat_client.sharing.database.tables import Study

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_LEVELS = ("named", "members", "external", "open")
_COLUMNS = ("age_band", "sex", "handedness", "group")
_SHOWN = 20


@click.command(
    help="""Make a release of a study: de-identified copies under new random labels, with evidence.

Sessions are chosen by the records of consent. Each is fetched into quarantine, scrubbed,
converted to BIDS, defaced and measured; the whole is searched for every secret string of the
study, validated, and listed in a manifest. What a step refuses is not in the release, and the
release is then not complete: exit code 4, with all reasons. A build that was broken off is
continued by the same command."""
)
@click.option("--project", required=True, help="ID of the source project.")
@click.option("--source", help="Short name of its server; needed if several have such a project.")
@click.option("--family", required=True, help="Name that all versions of the release share.")
@click.option("--version", "version", required=True, help="MAJOR.MINOR.PATCH, such as 1.0.0.")
@click.option("--level", type=click.Choice(_LEVELS), required=True, help="Who shall read it.")
@click.option("--release-server", required=True, help="Short name of the server to publish on.")
@click.option("--release-project", required=True, help="ID of the release project there.")
@click.option("--session", "sessions", multiple=True, help="Label or ID; all if not given.")
@click.option(
    "--leave-out", multiple=True, help="BIDS folder or suffix not to release, such as anat or T2w."
)
@click.option(
    "--column", "columns", multiple=True, type=click.Choice(_COLUMNS),
    help="Of participants.tsv; groups of fewer than five people are refused.",
)  # fmt: skip
@click.option("--agreement", default="", help="Agreement that readers accept, as ID@VERSION.")
@click.option("--licence", default="", help="Licence, such as CC-BY-4.0.")
@click.option(
    "--link", "link_rule", default="sealed", show_default=True,
    help="The link to identities afterwards: sealed, or destroy:YYYY-MM-DD.",
)  # fmt: skip
@click.option(
    "--duo", "duo_codes", multiple=True, help="Data-use code, such as GRU or DUO:0000042."
)
@click.option(
    "--citation", "citation_path", type=_FILE,
    help="JSON with title, creators (name, orcid), publisher, year, funding, ethics, description.",
)  # fmt: skip
@click.option("--embargo", type=click.DateTime(["%Y-%m-%d"]), help="Not to be read up to this day.")
@click.option("--automatic-grants", is_flag=True, help="Accepting the agreement gives access.")
@click.option(
    "--known", "known_path", type=_FILE, help="Further secret strings: booking numbers, nicknames."
)
@click.option("--map", "map_path", type=_FILE, help="Map of series to BIDS names.")
@click.option(
    "--engine", type=click.Choice(["process", "docker"]), default="process", show_default=True,
    help="What runs the steps.",
)  # fmt: skip
@click.option(
    "--on-server", is_flag=True,
    help="Scrub here; have the Container Service run the other steps in a quarantine project.",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True,
              help="Sessions worked on at a time.")  # fmt: skip
@click.option(
    "--reports", "reports_dir", type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the pages of refused sessions, for a person to look at; they show faces.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True,
              help="Say how many would be in it, or what refuses it; fetch nothing.")  # fmt: skip
@json_option
@click.option("--user", envvar="XNAT_USER", help="User name on the source server [XNAT_USER].")
@actor_options
@home_option
def build(  # noqa: PLR0913  # one parameter for each group of options
    *,
    person: str,
    role: str,
    reason: str,
    home_folder: Path | None,
    user: str | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Run ``winxnat release build``."""
    # Imported here so that the help is quick.
    from xnat_client.release.build import build_release  # noqa: PLC0415  # see above
    from xnat_client.sharing.database.tables import Server  # noqa: PLC0415  # see above

    home, database = open_records(home_folder)
    try:
        with database.transaction() as session:
            study = _study(session, options["project"], options["source"])
            record = session.get(Server, study.server)
            address = record.address if record is not None else None
            if options["on_server"] and record is not None:
                user = user or record.service_account or None
        request = _request(study.server, options)
        settings = transfer_settings(4)
        with open_server(address, user, settings) as server:
            result = build_release(
                home, database, server, request, actor_of(person, role, reason),
                tell=lambda sentence: click.echo(sentence, err=True),
                dry_run=dry_run,
            )  # fmt: skip
    finally:
        database.close()
    if as_json:
        print_json(_document(result))
    else:
        _print(result)
    return EXIT_DONE if result.is_complete or result.is_dry_run else EXIT_UNSAFE


def _study(session: Session, project: str, source: str | None) -> Study:
    import sqlalchemy as sa  # noqa: PLC0415  # see build

    from xnat_client.sharing.database.tables import Study  # noqa: PLC0415  # see build

    studies = session.scalars(sa.select(Study).where(Study.project_id == project)).all()
    fitting = [one for one in studies if source in {None, one.server}]
    if not fitting:
        raise NotFoundError(
            f"The records know no study of project {project}. Add it first (winxnat share study)."
        )
    if len(fitting) > 1:
        raise UsageError("Several servers have a study of that project; name one with --source.")
    return fitting[0]


def _request(server: str, options: dict[str, Any]) -> BuildRequest:
    from xnat_client.release.inputs import read_citation  # noqa: PLC0415  # see build
    from xnat_client.release.request import BuildRequest, Column  # noqa: PLC0415  # see build
    from xnat_client.sharing.vocabulary import Level  # noqa: PLC0415  # see build

    agreement_id, mark, agreement_version = options["agreement"].partition("@")
    if agreement_id and not (mark and agreement_version):
        raise UsageError("An agreement is named with its version, as ID@VERSION.")
    embargo: datetime | None = options["embargo"]
    citation_path: Path | None = options["citation_path"]
    return BuildRequest(
        server=server,
        project_id=options["project"],
        family=options["family"],
        version=options["version"],
        level=Level.from_word(options["level"]),
        release_server=options["release_server"],
        release_project=options["release_project"],
        sessions=options["sessions"],
        leave_out=options["leave_out"],
        columns=tuple(Column(each) for each in options["columns"]),
        agreement_id=agreement_id,
        agreement_version=agreement_version,
        licence=options["licence"],
        link_rule=options["link_rule"],
        duo_codes=options["duo_codes"],
        citation=read_citation(citation_path) if citation_path else {},
        embargo_until=embargo.date() if embargo else None,
        automatic_grants=options["automatic_grants"],
        known_path=options["known_path"],
        map_path=options["map_path"],
        engine=options["engine"],
        on_server=options["on_server"],
        jobs=options["jobs"],
        reports_dir=options["reports_dir"],
    )


def _document(result: BuildResult) -> dict[str, Any]:
    document = {
        "release": result.release_pk,
        "folder": str(result.folder) if result.folder else None,
        "complete": result.is_complete,
        "dry_run": result.is_dry_run,
        **{
            name: getattr(result, name)
            for name in ("manifest_sha256", "participants", "sessions", "files", "size_bytes")
        },
    }
    document["evidence"] = [
        {
            "check": one.check_id, "version": one.check_version, "outcome": one.outcome.value,
            "files": one.files, "detail": one.detail,
        }
        for one in result.evidence
    ]  # fmt: skip
    for name in ("refusals", "excluded"):
        document[name] = [asdict(one) for one in getattr(result, name)]
    document["left_out"] = dict(result.left_out)
    return document


def _print(result: BuildResult) -> None:
    if result.is_dry_run:
        click.echo(
            f"{result.sessions} sessions of {result.participants} participants would be worked on: "
            f"{result.files} files, {result.size_bytes} bytes."
        )
    else:
        click.echo(
            f"{result.files} files of {result.sessions} sessions of {result.participants} "
            f"participants, {result.size_bytes} bytes"
        )
        click.echo(f"folder    {result.folder or 'none'}")
        click.echo(f"manifest  {result.manifest_sha256 or 'none'}")
    for each in result.evidence:
        click.echo(f"  {each.outcome.value:<10} {each.check_id}")
        if not each.outcome.value.startswith(("met", "not needed")):
            for key, value in each.detail.items():
                if value not in ({}, [], 0, ""):
                    click.echo(f"             {key}: {value}")
    for one in result.refusals:
        click.echo(f"participant {one.participant}, session {one.session}: {one.reason}")
    for out in result.excluded:
        click.echo(f"not chosen: {out.sessions} sessions ({out.reason})")
    for reason, count in list(result.left_out.items())[:_SHOWN]:
        click.echo(f"not in it: {count} files ({reason})")


@click.command(
    help="""Compare a release folder with its manifest, offline.

Every file is read. Exit code 0: all are there, unchanged, and no other is. 3: something is wrong,
and is listed."""
)
@click.argument("folder", type=_FOLDER)
@click.option("--expect", default="", help="SHA-256 by which the release was announced.")
@click.option(
    "--key", "public_key", default="", help="The site's public key (base64): who built it?"
)
@json_option
def verify(*, folder: Path, expect: str, public_key: str, as_json: bool) -> int:
    """Run ``winxnat release verify``."""
    from xnat_client.release import manifest  # noqa: PLC0415  # see build

    problems = manifest.verify(folder, expect)
    if public_key:
        from xnat_client.release import signature  # noqa: PLC0415  # needs more than the rest

        problems += signature.verify(folder, public_key)
    if as_json:
        print_json({"whole": not problems, "problems": [asdict(one) for one in problems]})
    else:
        for one in problems:
            click.echo(f"{one.path or 'the folder'}: {one.what}")
        if not problems:
            digest = manifest.digests_of(folder / manifest.MANIFEST_NAME)[1]
            click.echo(f"whole and unchanged: {digest}")
    return BadInputError.exit_code if problems else EXIT_DONE


@click.command(help="Show what two versions of a release differ in, by their manifests.")
@click.argument("before", type=_FOLDER)
@click.argument("after", type=_FOLDER)
@json_option
def diff(*, before: Path, after: Path, as_json: bool) -> int:
    """Run ``winxnat release diff``."""
    from xnat_client.release import manifest  # noqa: PLC0415  # see build

    try:
        found = manifest.compare(before, after)
    except manifest.ManifestError as error:
        raise BadInputError(str(error)) from error
    if as_json:
        print_json(asdict(found))
        return EXIT_DONE
    click.echo(
        f"participants: {found.participants_before} before, {found.participants_after} after"
    )
    for word, paths in (
        ("added", found.added),
        ("removed", found.removed),
        ("changed", found.changed),
    ):
        for path in paths:
            click.echo(f"{word:<8} {path}")
    return EXIT_DONE
