"""Looks for what the official validator does not: the tree against itself and its source.

``check_tree`` reads what lies on the disk and nothing that the conversion remembers. Whether
each field map and table is whole is asked in ``check_links``, whether bytes tell an identity in
``check_bytes``. Not here: BIDS' own rules (``validate``), slices lost by the converter
(``convert.short_scans``).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from containers.contract import BadInputError, UnsafeOutputError
from containers.dicom_to_bids.bids_files import Finding, read_files
from containers.dicom_to_bids.check_bytes import (
    check_gzip_headers,
    check_images,
    check_no_identity,
)
from containers.dicom_to_bids.check_links import (
    check_b0_fields,
    check_field_map_parts,
    check_intended_for,
    check_tables,
)
from containers.dicom_to_bids.identity import SourceIdentity


def check_tree(root: Path, identity: SourceIdentity | None = None) -> tuple[Finding, ...]:
    """Check a BIDS data set; return what is wrong with it, sorted by file.

    Parameters
    ----------
    root : Path
        The data set; any, not only one of this command.
    identity : SourceIdentity or None
        What the source headers hold; without it nothing is searched for.
    """
    files = read_files(root)
    findings = [
        *check_intended_for(files),
        *check_b0_fields(files),
        *check_tables(files),
        *check_field_map_parts(files),
        *check_images(files),
        *check_gzip_headers(files),
    ]
    if identity is not None:
        findings += check_no_identity(files, identity)
    return tuple(sorted(set(findings), key=lambda each: (each.path, each.check, each.sentence)))


def check_report(report_dir: Path, identity: SourceIdentity) -> tuple[Finding, ...]:
    """Check the reports beside a tree for identities."""
    return tuple(check_no_identity(read_files(report_dir), identity, is_report=True))


def refuse_errors(findings: Iterable[Finding], *, allow_invalid: bool) -> None:
    """Raise where something is wrong that must not be handed on.

    Raises
    ------
    UnsafeOutputError
        A file holds what identifies in the source; nothing allows that.
    BadInputError
        There is another error, and ``allow_invalid`` is not set.
    """
    errors = [finding for finding in findings if finding.is_error]
    unsafe = [finding for finding in errors if finding.check == "identity"]
    if unsafe:
        raise UnsafeOutputError(
            f"The converted session is withheld: {len(unsafe)} of its files hold a text that "
            f"identifies in the headers, the first is {unsafe[0].path}; look at the labels given, "
            "and scrub the headers before the conversion."
        )
    if errors and not allow_invalid:
        first = errors[0]
        raise BadInputError(
            f"The converted session has {len(errors)} errors that BIDS' validator does not look "
            f"for; the first is in {first.path}: {first.sentence} Set allow-invalid to see it."
        )
