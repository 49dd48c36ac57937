"""``winxnat deface review``: the page on which a person looks at a batch of defaced images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from xnat_client.cli.server_options import json_option, print_json
from xnat_client.errors import UsageError
from xnat_client.faces.reports import find_reports, read_report
from xnat_client.private_files import private_text


@click.command(
    help="""Make one offline page of the REPORTS of deface: deface.json files, or folders with them.

The page shows faces: write it beside the restricted source. Images can be sorted by each gate,
accepted or rejected by keyboard, and the decisions saved as a file for winxnat deface decisions."""
)
@click.argument("places", metavar="REPORTS...", nargs=-1, required=True,
                type=click.Path(exists=True, path_type=Path))  # fmt: skip
@click.option("--out", "page_path", required=True, type=click.Path(dir_okay=False, path_type=Path),
              help="The page (.html); it is not replaced without --force.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace the page if it is there.")
@json_option
def review(*, places: Sequence[Path], page_path: Path, force: bool, as_json: bool) -> None:
    """Run ``winxnat deface review``."""
    from qc.report.face_review import make_review_page  # noqa: PLC0415  # needs Pillow

    if page_path.exists() and not force:
        raise UsageError("The page is there already. Give another name, or --force.")
    reports = find_reports(places)
    images = [
        image for number, path in enumerate(reports, start=1) for image in read_report(number, path)
    ]
    page_path.parent.mkdir(parents=True, exist_ok=True)
    with private_text(page_path) as page:
        page.write(make_review_page(images))
    withheld = sum(bool(each.failed) for each in images)
    if as_json:
        print_json(
            {
                "images": len(images),
                "withheld": withheld,
                "reports": {number: str(path) for number, path in enumerate(reports, start=1)},
            }
        )
        return
    for number, path in enumerate(reports, start=1):
        click.echo(f"report {number}: {path}")
    click.echo(
        f"{len(images)} images of {len(reports)} reports, {withheld} of them withheld by a gate. "
        f"The page is {page_path}; it shows faces."
    )
