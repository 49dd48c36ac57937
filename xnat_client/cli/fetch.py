"""``winxnat fetch``: a resource of a session becomes a verified local folder.

Not here: the work itself (``xnat_client.resources``).
"""

from __future__ import annotations

from pathlib import Path

import click

from xnat_client.cli.server_options import (
    json_option,
    open_server,
    print_json,
    progress_bar,
    server_options,
)

HELP = "Download a resource of a session, each file proved by its checksum."


@click.command(
    help=f"""{HELP}

Files that are in OUT_DIR already and right are not fetched again, so an interrupted download is
resumed by the same command."""
)
@click.argument("out_dir", type=click.Path(path_type=Path))
@click.option("--project", required=True, help="ID of the project.")
@click.option("--session", required=True, help="Label or ID of the session.")
@click.option("--scan", help="ID of a scan, if the resource belongs to one.")
@click.option("--resource", required=True, help="Label of the resource, like BIDS.")
@json_option
@server_options
def fetch(  # noqa: PLR0913  # one parameter for each option
    *,
    out_dir: Path,
    project: str,
    session: str,
    scan: str | None,
    resource: str,
    as_json: bool,
    server: str | None,
    user: str | None,
) -> None:
    """Run ``winxnat fetch``."""
    # Imported here so that the help is quick.
    from xnat_client.cli.upload_output import size_text  # noqa: PLC0415  # see above
    from xnat_client.resources import download_resource  # noqa: PLC0415  # see above
    from xnat_client.sessions import find_session  # noqa: PLC0415  # see above

    with open_server(server, user) as opened, progress_bar("Downloading") as progress:
        found = find_session(opened.transport, project, session)
        result = download_resource(
            opened.transport, found, resource, out_dir, scan_id=scan, progress=progress
        )
    if as_json:
        print_json(
            {
                "project_id": project,
                "session_label": found.label,
                "session_id": found.session_id,
                "resource": resource,
                "out_dir": str(result.out_dir),
                "files_fetched": result.fetched,
                "files_already_there": result.already_there,
                "files_without_checksum": result.unproved,
                "size_bytes": result.size_bytes,
            }
        )
        return
    unproved = (
        f" The server has no checksum for {result.unproved} of them; only their size was compared."
        if result.unproved
        else ""
    )
    click.echo(
        f"Resource {resource} of session {found.label}: {result.fetched} files fetched, "
        f"{result.already_there} were there already, {size_text(result.size_bytes)} in all."
        f"{unproved}"
    )
