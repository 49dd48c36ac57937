"""``winxnat download``: scans, resources or BIDS results of many sessions become a verified folder.

Not here: the work itself (``xnat_client.download``).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xnat_client.cli.server_options import (
    json_option,
    open_server,
    print_json,
    progress_bar,
    server_options,
    transfer_settings,
)

if TYPE_CHECKING:
    from xnat_client.download.selection import Wanted

HELP = "Download scans, resources or BIDS results of many sessions, each file proved."


@click.command(
    help=f"""{HELP}

Files that are in OUT_DIR already and right are not fetched again: after an interruption the same
command goes on. Names may hold * and ?. Exit code 0: every file is there, with the size and MD5
that the server lists."""
)
@click.argument("out_dir", type=click.Path(path_type=Path))
@click.option("--project", required=True, help="ID of the project.")
@click.option("--session", "sessions", multiple=True, help="Label or ID; all if not given.")
@click.option(
    "--scan", "scans", multiple=True, help="ID, type or description; 'none' for no scans."
)
@click.option("--resource", "resources", multiple=True, help="Label, such as DICOM or NIFTI.")
@click.option("--bids", is_flag=True, help="The BIDS results, for `winxnat bids assemble`.")
@click.option("--flat", is_flag=True, help="Without folders for session, scan and resource.")
@click.option("--dry-run", is_flag=True, help="Print how much it is; fetch nothing.")
@click.option(
    "--connections", type=click.IntRange(1, 64), default=8, show_default=True,
    help="The most requests at a time; fewer when the server is slow.",
)  # fmt: skip
@json_option
@server_options
def download(  # noqa: PLR0913  # one parameter for each option
    *,
    out_dir: Path,
    project: str,
    sessions: tuple[str, ...],
    scans: tuple[str, ...],
    resources: tuple[str, ...],
    bids: bool,
    flat: bool,
    dry_run: bool,
    connections: int,
    as_json: bool,
    server: str | None,
    user: str | None,
) -> int:
    """Run ``winxnat download``."""
    # Imported here so that the help is quick.
    from xnat_client.cli.upload_output import size_text  # noqa: PLC0415  # see above
    from xnat_client.download.fetching import fetch_files  # noqa: PLC0415  # see above
    from xnat_client.download.selection import (  # noqa: PLC0415  # see above
        Selection,
        check_selection,
        select_files,
    )

    if bids and (scans or resources):
        raise click.UsageError(
            "--bids chooses the resource BIDS of sessions; leave the others out."
        )
    selection = Selection(sessions, scans, ("BIDS", "BIDS_REPORT") if bids else resources)
    opened = open_server(server, user, transfer_settings(connections))
    interrupted = True
    try:
        wanted = select_files(opened.transport, project, check_selection(selection), flat=flat)
        if dry_run:
            interrupted = False
            _print_wanted(wanted, as_json=as_json)
            return 0
        with progress_bar("Downloading") as bar:
            receipt = fetch_files(
                opened.transport, wanted, out_dir, connections=connections,
                show=None if bar is None else lambda now: bar(now.done_bytes, now.total_bytes),
            )  # fmt: skip
        interrupted = receipt.interrupted
    finally:
        if not interrupted:  # a silent server must not hold up an interruption
            opened.close()
    if as_json:
        print_json({"event": "receipt", "project": project, **asdict(receipt)})
    else:
        click.echo(
            f"{receipt.fetched} files fetched, {receipt.already_there} were there already, "
            f"{size_text(receipt.size_bytes)} in all, {receipt.missing} missing"
            + (f"; for {receipt.unproved} the server has no checksum." if receipt.unproved else ".")
        )
    for reason in receipt.failed:
        click.echo(reason, err=True)
    return receipt.exit_code


def _print_wanted(wanted: tuple[Wanted, ...], *, as_json: bool) -> None:
    size_bytes = sum(one.file.size_bytes for one in wanted)
    sessions = len({one.session for one in wanted})
    if as_json:
        print_json(
            {"dry_run": True, "files": len(wanted), "sessions": sessions, "size_bytes": size_bytes}
        )
        return
    click.echo(f"{len(wanted)} files of {sessions} sessions, {size_bytes} bytes in all.")
