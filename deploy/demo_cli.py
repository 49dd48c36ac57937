"""``winxnat demo``: give the demonstration and print a short account of it.

Not here: the work (``deploy.demo``).
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from deploy.demo import Account

HELP = "Show the main job, end to end, on a sandbox."

_NEEDED = {
    "uvicorn": "sandbox",
    "numpy": "dicom-to-bids",
    "dcm2niix": "dicom-to-bids",
    "sqlalchemy": "sharing",
    "hyperscan": "scrub-headers",
    "onnxruntime": "winqc",
    "ahocorasick_rs": "release",
}


@click.command(
    help=f"""{HELP}

A sandbox starts on a free port, a session of DICOM is uploaded, dicom-to-bids runs through the
Container Service, and the BIDS result is fetched. Without --data the session is made here, with
invented identities, and is shared with outsiders in the end: refused at first, then released on a
second sandbox. Everything that was started is stopped at the end."""
)
@click.option(
    "--data", "data_dir", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the DICOM files of one session.",
)  # fmt: skip
@click.option(
    "--out", "out_dir", type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"), show_default=True, help="Folder for the result.",
)  # fmt: skip
@click.option(
    "--engine", type=click.Choice(["process", "docker"]), default="process", show_default=True,
    help="What runs the command; docker needs the images (winxnat image build).",
)  # fmt: skip
@click.option("--keep", is_flag=True, help="Leave the sandbox running to look around.")
@click.option("--json", "as_json", is_flag=True, help="Print the account as one JSON object.")
def demo(*, data_dir: Path | None, out_dir: Path, engine: str, keep: bool, as_json: bool) -> None:
    """Run ``winxnat demo``."""
    from deploy.demo import DemoError, run_demo  # noqa: PLC0415 - keeps --help quick

    missing = sorted({extra for module, extra in _NEEDED.items() if find_spec(module) is None})
    if missing:
        raise DemoError(
            f"The demonstration needs more libraries: pip install 'winxnat[{','.join(missing)}]'"
        )

    def say(sentence: str) -> None:
        click.echo(sentence, err=True)

    out_dir = out_dir.expanduser().resolve()
    account = run_demo(out_dir, data_dir, engine=engine, keep=keep, say=say)
    if as_json:
        json.dump(asdict(account), sys.stdout, default=str, indent=2)
        sys.stdout.write("\n")
    else:
        _print(account)


def _print(account: Account) -> None:
    from rich.console import Console  # noqa: PLC0415 - keeps --help quick
    from rich.table import Table  # noqa: PLC0415 - keeps --help quick
    from rich.text import Text  # noqa: PLC0415 - keeps --help quick

    receipt = account.receipt
    # In a file or pipe nothing is folded, so that names can be copied.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    shown = _shown(account.out_dir)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("scan")
    table.add_column("became")
    table.add_column(overflow="fold")
    for scan in account.scans:
        detail = "\n".join(
            Path(output).name for output in scan.outputs if output.endswith(".nii.gz")
        )
        table.add_row(Text(scan.scan), Text(scan.outcome), Text(detail or scan.reason))
    console.print()
    console.print(table)
    console.print()
    megabytes = receipt.size_bytes / 1e6
    verdict = f"{account.validator_errors} errors, {account.validator_warnings} warnings"
    lines = [
        f"uploaded   {receipt.files_verified} files, {megabytes:.1f} MB, each verified by MD5",
        f"converted  to {account.bids_files} BIDS files; official validator: {verdict}",
        f"result     {shown / 'bids'}",
        f"page       {shown / 'report' / 'report.html'}",
        *_shared_lines(account, shown),
    ]
    if account.kept:
        root = shown / "sandbox"
        lines += [
            f"session    {account.session_uri}?format=json",
            f"server     {account.server}, user admin, password in {root / 'admin.netrc'}",
            f"to stop it winxnat sandbox stop --dir {root}",
        ]
        if account.shared is not None:
            outside = shown / "sharing" / "outside"
            lines += [
                f"outside    {account.shared.project}, password in {outside / 'admin.netrc'}",
                f"to stop it winxnat sandbox stop --dir {outside}",
                f"records    winxnat release list --home {shown / 'sharing' / 'records'}",
            ]
    lines.append(f"took       {account.seconds:.1f} s")
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _shared_lines(account: Account, shown: Path) -> list[str]:
    from deploy.demo_sharing import LEFT_OUT  # noqa: PLC0415 - keeps --help quick

    shared = account.shared
    if shared is None:
        return ["shared     nothing: that ending is for the made session, which is nobody's"]
    count, kinds = len(shared.refusals), " and ".join(LEFT_OUT)
    digest = shared.manifest_sha256[:16]
    return [
        f"refused    at first: {count} of {shared.conditions} conditions were not met",
        f"released   then: {shared.files} files; {kinds} left out, for they may show a face",
        f"manifest   {digest}..., verified: {shown / 'release'}",
    ]


def _shown(folder: Path) -> Path:
    """Return the folder as the person would name it from here."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
