"""``winxnat image``: build the images, and list those that are here."""

from __future__ import annotations

import json
from pathlib import Path

import click

from commands import catalog
from commands.authoring import IMAGE_PREFIX
from commands.errors import UnknownCommandError
from containers.build import DEFAULT_BASE_IMAGE, GUESTS, BuildOptions, build_images
from containers.cli_errors import CommandError
from containers.contract import ExitCode
from containers.docker_engine import DockerEngine
from containers.engine import EngineError, Image

HELP = "Build and list the container images."

_BYTES_PER_MB = 1_000_000


@click.group(help=HELP)
def image() -> None:
    """Collect the verbs."""


@image.command("build")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--all", "is_all", is_flag=True, help="Build the images of all commands but mriqc (large)."
)
@click.option(
    "--base-image",
    default=DEFAULT_BASE_IMAGE,
    show_default=True,
    metavar="REF",
    help="Image with Python 3.11 that the common base is built from.",
)
@click.option(
    "--wheels",
    "wheels_dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the wheels of all requirements, to build without a package index.",
)
@click.option("--no-cache", is_flag=True, help="Build every layer anew.")
@click.option(
    "--mriqc-image",
    default="",
    metavar="REF@sha256:...",
    help="The official MRIQC image, by digest. Without it mriqc is built with stand-ins, and its "
    "results say mriqc-substituted.",
)
@click.option("--json", "is_json", is_flag=True, help="Print the result as JSON.")
def build(  # noqa: PLR0913 - one parameter for each option of the command line
    *,
    names: tuple[str, ...],
    is_all: bool,
    base_image: str,
    wheels_dir: Path | None,
    no_cache: bool,
    mriqc_image: str,
    is_json: bool,
) -> None:
    """Build the images of the named commands, and the base that they share."""
    if bool(names) == is_all:
        raise click.UsageError("Name the commands whose images to build, or pass --all.")
    try:
        chosen = (
            tuple(each for each in catalog.commands() if each.name not in GUESTS)
            if is_all
            else tuple(map(catalog.find, names))
        )
    except UnknownCommandError as error:
        raise click.UsageError(str(error)) from error
    options = BuildOptions(base_image, wheels_dir, use_cache=not no_cache, guest_image=mriqc_image)
    try:
        built = build_images(chosen, options, lambda line: click.echo(line, err=True))
    except EngineError as error:
        raise CommandError(str(error), ExitCode.TOOL_FAILED) from error
    _show(built, is_json=is_json)


@image.command("list")
@click.option("--json", "is_json", is_flag=True, help="Print the list as JSON.")
def list_images(*, is_json: bool) -> None:
    """List the images of this project that the Docker daemon has."""
    try:
        with DockerEngine() as engine:
            found = engine.images()
    except EngineError as error:
        raise CommandError(str(error), ExitCode.TOOL_FAILED) from error
    own = [each for each in found if any(tag.startswith(IMAGE_PREFIX) for tag in each.tags)]
    _show(own, is_json=is_json)


def _show(images: tuple[Image, ...] | list[Image], *, is_json: bool) -> None:
    if is_json:
        documents = [
            {
                "id": each.image_id,
                "tags": list(each.tags),
                "size_bytes": each.size_bytes,
                "created_at": each.created_at.isoformat() if each.created_at else None,
                "labels": dict(each.labels),
            }
            for each in images
        ]
        click.echo(json.dumps(documents, indent=2, ensure_ascii=False))
        return
    for each in images:
        short_id = each.image_id.removeprefix("sha256:")[:12]
        size = f"{each.size_bytes / _BYTES_PER_MB:.0f} MB"
        click.echo(f"{', '.join(each.tags)}  {short_id}  {size}")
    if not images:
        click.echo("No image yet. Build them with: winxnat image build --all", err=True)
