"""``winxnat upload``: a folder of DICOM files becomes one verified session.

Not here: the work itself (``xnat_client.upload``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xnat_client.cli.server_options import (
    json_option,
    open_server,
    print_json,
    progress_bar,
    server_options,
)

if TYPE_CHECKING:
    from xnat_client.upload.scan import FolderScan, StudyPlan
    from xnat_client.upload.send import Receipt, UploadTarget

HELP = "Send a folder of DICOM files as one session, and prove that it arrived."


@click.command(
    help=f"""{HELP}

FOLDER is searched at all depths. Subject and session labels are codes of your choice; they are
never taken from the images, because patient names and identifiers often stand there. Nothing is
sent if a file is cut off or unreadable, or if there are two patients."""
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--project", required=True, help="ID of the project.")
@click.option("--subject", required=True, help="Label of the subject: a code, not a name.")
@click.option("--session", required=True, help="Label of the new session: a code, not a name.")
@click.option("--study", type=int, help="Which study, if the folder holds several (see --dry-run).")
@click.option("--append", is_flag=True, help="Add to a session that exists; replaces no file.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent; contacts no server.")
@click.option("--show-paths", is_flag=True, help="Name files by their path too (may show names).")
@json_option
@server_options
def upload(  # noqa: PLR0913  # one parameter for each option
    *,
    folder: Path,
    project: str,
    subject: str,
    session: str,
    study: int | None,
    append: bool,
    dry_run: bool,
    show_paths: bool,
    as_json: bool,
    server: str | None,
    user: str | None,
) -> None:
    """Run ``winxnat upload``."""
    # Imported here because pydicom takes longer to import than the whole help takes to print.
    from xnat_client.upload.scan import choose_study, scan_folder  # noqa: PLC0415  # see above
    from xnat_client.upload.send import UploadTarget, upload_session  # noqa: PLC0415  # see above

    target = UploadTarget(project, subject, session)
    with progress_bar("Looking at the files") as progress:
        found = scan_folder(folder, progress)
    if show_paths:
        _print_paths(found)
    if dry_run:
        _print_plan(found, target, as_json=as_json)
        choose_study(found, study)
        return
    chosen = choose_study(found, study)
    with open_server(server, user) as opened, progress_bar("Sending") as progress:
        receipt = upload_session(opened.transport, chosen, target, append=append, progress=progress)
    _print_receipt(receipt, found, chosen, as_json=as_json)


def _print_paths(found: FolderScan) -> None:
    files = [*found.damaged, *found.rejected]
    for file in sorted(files, key=lambda one: one.position):
        relative = file.path.relative_to(found.folder)
        click.echo(f"file {file.position}: {relative}: {file.reason}", err=True)


def _print_plan(found: FolderScan, target: UploadTarget, *, as_json: bool) -> None:
    if as_json:
        print_json(_plan_document(found, target))
        return
    click.echo(
        f"Nothing is sent. Would go to project {target.project_id}, subject "
        f"{target.subject_label}, session {target.session_label}:"
    )
    for study in found.studies:
        files = study.files
        click.echo(
            f"study {study.number}: {len(study.series)} scans, {len(files)} files, "
            f"{sum(file.size_bytes for file in files)} bytes, {study.patients} patient(s)"
        )
        for series in study.series:
            click.echo(
                f"  scan {series.folder}: {series.modality or 'no modality'}, "
                f"{len(series.files)} files, {series.size_bytes} bytes"
            )
        for text in study.warnings:
            click.echo(f"  note: {text}")
    click.echo(
        f"left out: {len(found.rejected)} files that are not DICOM, "
        f"{sum(len(study.duplicates) for study in found.studies)} duplicates, "
        f"{found.unfollowed_links} links to folders"
    )


def _plan_document(found: FolderScan, target: UploadTarget) -> dict[str, Any]:
    return {
        "dry_run": True,
        "project_id": target.project_id,
        "subject_label": target.subject_label,
        "session_label": target.session_label,
        "file_count": found.file_count,
        "patients": found.patients,
        "unfollowed_links": found.unfollowed_links,
        "studies": [_study_document(study) for study in found.studies],
        "rejected": [{"position": one.position, "reason": one.reason} for one in found.rejected],
        "damaged": [{"position": one.position, "reason": one.reason} for one in found.damaged],
    }


def _study_document(study: StudyPlan) -> dict[str, Any]:
    return {
        "number": study.number,
        "patients": study.patients,
        "files": len(study.files),
        "duplicates": len(study.duplicates),
        "warnings": list(study.warnings),
        "scans": [
            {
                "scan": series.folder,
                "modality": series.modality,
                "files": len(series.files),
                "size_bytes": series.size_bytes,
            }
            for series in study.series
        ],
    }


def _print_receipt(receipt: Receipt, found: FolderScan, study: StudyPlan, *, as_json: bool) -> None:
    left_out = len(found.rejected) + len(study.duplicates)
    if as_json:
        print_json({**receipt.as_json(), "files_left_out": left_out})
        return
    click.echo(
        f"Session {receipt.session_label} ({receipt.session_id}) in project {receipt.project_id}: "
        f"{receipt.files_sent} files in {len(receipt.scans)} scans sent, {receipt.files_verified} "
        f"verified on the server by size and MD5. {left_out} files were left out "
        "(not DICOM, or duplicates)."
    )
