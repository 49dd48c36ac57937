"""``winxnat share init``, ``server`` and ``template``: the beginning of a site.

Not here: people (``people``), studies (``studies``), criteria (``criteria``).
"""

from __future__ import annotations

from pathlib import Path

import click

from xnat_client.cli.records_options import home_option
from xnat_client.cli.server_options import json_option, print_json
from xnat_client.cli.sharing.acting import Acting, Records, acting, asked, reading, table
from xnat_client.errors import UsageError
from xnat_client.sharing.records import criteria as criteria_records
from xnat_client.sharing.records import servers
from xnat_client.sharing.records.people import NewPerson
from xnat_client.sharing.vocabulary import ServerSide

_TEMPLATES = Path(__file__).parents[2] / "sharing" / "templates"
_PERSON_HELP = "Directory identity of the first {}."
_NAME_HELP = "Full name of the first {}; asked for if not given."


@click.command(
    help="""Make the records of a site, with its first administrator and its first officer.

The two are different people: the administrator runs the site and names people, servers and
studies; the officer gives the roles of those who decide. With WINXNAT_SHARING_DATABASE the tables
are made in that PostgreSQL database, else in a file in the folder of the records."""
)
@click.option("--administrator", required=True, help=_PERSON_HELP.format("administrator"))
@click.option("--administrator-name", help=_NAME_HELP.format("administrator"))
@click.option("--officer", required=True, help=_PERSON_HELP.format("officer"))
@click.option("--officer-name", help=_NAME_HELP.format("officer"))
@home_option
@json_option
def init(  # noqa: PLR0913  # one parameter for each option
    *,
    administrator: str,
    administrator_name: str | None,
    officer: str,
    officer_name: str | None,
    home_folder: Path | None,
    as_json: bool,
) -> None:
    """Run ``winxnat share init``."""
    from xnat_client.sharing.home import open_home  # noqa: PLC0415  # the help is quick without it
    from xnat_client.sharing.opening import make_records  # noqa: PLC0415  # the help is quick without it

    home = open_home(home_folder)
    first = NewPerson(administrator, administrator_name or asked("The administrator's full name"))
    second = NewPerson(officer, officer_name or asked("The officer's full name"))
    make_records(home, first, second).close()
    if as_json:
        print_json({"home": str(home.folder), "administrator": administrator, "officer": officer})
    else:
        click.echo(f"made the sharing records in {home.folder}")


@click.group(help="Name the XNAT servers of the site: one inside, one outside.")
def server() -> None:
    """Run ``winxnat share server``."""


@server.command("add", help="Name a server.")
@click.argument("alias")
@click.argument("address")
@click.option(
    "--side",
    type=click.Choice([side.value for side in ServerSide]),
    required=True,
    help="Inside: where scans arrive. Outside: where outsiders read.",
)
@click.option(
    "--service-account", required=True, help="User name that alone writes release projects there."
)
@acting
def add_server(work: Acting, *, alias: str, address: str, side: str, service_account: str) -> None:
    """Run ``winxnat share server add``."""
    with work.transaction() as (session, now):
        row = servers.add_server(
            session, work.actor, alias, address, ServerSide(side), service_account, now=now
        )
    document = {"alias": row.alias, "address": row.address, "side": row.side.value}
    work.show(document, f"server {row.alias} ({row.side.value}) is {row.address}")


@server.command("list", help="List the servers.")
@reading
def list_servers(work: Records) -> None:
    """Run ``winxnat share server list``."""
    with work.transaction() as (session, _):
        rows = servers.all_servers(session)
    columns = [(row.alias, row.side.value, row.address, row.service_account) for row in rows]
    names = ("alias", "side", "address", "service_account")
    work.show(
        {"servers": [dict(zip(names, row, strict=True)) for row in columns]},
        table(columns, "no servers yet"),
    )


@click.command(
    help="""Write the example texts that the information-governance officer edits.

Without NAME all of them are listed. They are examples: no text counts before the officer of your
site has replaced it by one that your law and your institution accept."""
)
@click.argument("name", required=False)
@click.option(
    "--out",
    "out_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to; else the text is printed.",
)
@json_option
def template(*, name: str | None, out_folder: Path | None, as_json: bool) -> None:
    """Run ``winxnat share template``."""
    paths = {path.stem: path for path in sorted(_TEMPLATES.iterdir()) if path.suffix != ".py"}
    paths["criteria"] = criteria_records.shipped_path()
    if name is None and out_folder is None:
        if as_json:
            print_json({"templates": sorted(paths)})
        else:
            click.echo("\n".join(sorted(paths)))
        return
    if name is not None and name not in paths:
        raise UsageError(f"There is no template {name!r}; there are {', '.join(sorted(paths))}.")
    chosen = [paths[name]] if name else list(paths.values())
    if out_folder is None:
        text = chosen[0].read_text(encoding="utf-8")
        if as_json:
            print_json({"template": name, "text": text})
        else:
            click.echo(text, nl=False)
        return
    out_folder.mkdir(parents=True, exist_ok=True)
    there = [path.name for path in chosen if (out_folder / path.name).exists()]
    if there:
        raise UsageError(f"{there[0]} is there already; an edited text is not overwritten.")
    for path in chosen:
        (out_folder / path.name).write_bytes(path.read_bytes())
    if as_json:
        print_json({"written": [path.name for path in chosen]})
    else:
        click.echo("\n".join(f"wrote {path.name}" for path in chosen))
