"""Builds the images: the common base, then one image for each command.

Works without BuildKit and, with a folder of wheels, without a package index. Labels are given
at build time, because a Dockerfile would replace variables and drop backslashes in them. Not
here: running images (``docker_engine``), or the command line (``image_cli``).
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.authoring import IMAGE_PREFIX
from commands.model import Command
from commands.service_json import IMAGE_LABEL, label_text
from commands.version import DISTRIBUTION, distribution_version
from containers.docker_engine import DockerEngine, connect, translated
from containers.engine import Image, ImageBuildError, ImageMissingError
from containers.steps import STEPS_DIR, build_dir

DEFAULT_BASE_IMAGE = "python:3.11-slim-bookworm"
GUESTS = frozenset({"mriqc"})
"""Commands whose program is another project's: their images stand on that project's image, or,
with stand-ins for what no package index has, on ours."""

_BASE_DIR = STEPS_DIR / "base"
_SOURCE_DIR = STEPS_DIR.parent
_SHOWN_LINES = 8
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SUBSTITUTED_DIR_NAME = "substituted"
_PINNED_REFERENCE = re.compile(r"\S+@sha256:[0-9a-f]{64}")
_OFFLINE_PIP_OPTIONS = "--no-index --find-links=/wheels"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build.

    Parameters
    ----------
    base_image : str
        What the common base is built from; any image with Python 3.11 and its ``venv``.
    wheels_dir : Path or None
        Folder with the wheels of all locked requirements, for builds without a package index;
        a wheel of this distribution found there is used as it is.
    use_cache : bool
        Take layers of earlier builds where nothing changed.
    guest_image : str
        The other project's image for a command of `GUESTS`, by its digest; empty to build it with
        stand-ins, so that its results are never called that project's.
    """

    base_image: str = DEFAULT_BASE_IMAGE
    wheels_dir: Path | None = None
    use_cache: bool = True
    guest_image: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """One image to build: the folder of its Dockerfile, its tag, what it stands on."""

    folder: Path
    tag: str
    base_image: str
    labels: dict[str, str]
    wheel_path: Path | None = None


def base_tag() -> str:
    """Return the tag of the common base image of this version."""
    return f"{IMAGE_PREFIX}base:{distribution_version()}"


def build_images(
    commands: Sequence[Command], options: BuildOptions, progress: Progress
) -> tuple[Image, ...]:
    """Build the base and the images of the given commands; return them in this order.

    Parameters
    ----------
    progress : callable
        Takes one line of the build's output at a time.

    Raises
    ------
    EngineUnavailableError
        No Docker daemon answers.
    ImageMissingError
        The base image is neither on this machine nor in a registry that answers.
    ImageBuildError
        A step of the build fails, or the wheel of this distribution cannot be made.
    """
    # A reference that is refused is refused before anything is built.
    places = {each.name: _place(each, base_tag(), options.guest_image) for each in commands}
    with DockerEngine() as engine, tempfile.TemporaryDirectory(prefix="winxnat-build-") as folder:
        engine.ping()
        wheel_path = make_wheel(Path(folder), options.wheels_dir)
        labels = _common_labels()
        base = Target(
            folder=_BASE_DIR,
            tag=base_tag(),
            base_image=options.base_image,
            labels={**labels, "org.opencontainers.image.title": "winxnat base"},
        )
        built = [_build_base(engine, base, options, progress)]
        for command in commands:
            place, stands_on = places[command.name]
            target = Target(
                folder=place,
                tag=command.image,
                base_image=stands_on,
                labels={**labels, **_command_labels(command)},
                wheel_path=wheel_path,
            )
            build_target(target, options, progress)
            built.append(engine.image(target.tag))
        return tuple(built)


def _place(command: Command, base: str, guest_image: str) -> tuple[Path, str]:
    """Return the folder of a command's Dockerfile and the image that it stands on.

    Raises
    ------
    ImageBuildError
        The other project's image is named by a tag, which can change under us.
    """
    folder = build_dir(command.name)
    if command.name not in GUESTS:
        return folder, base
    if not guest_image:
        return folder / _SUBSTITUTED_DIR_NAME, base
    if not _PINNED_REFERENCE.fullmatch(guest_image):
        raise ImageBuildError(
            f"The image for {command.name} must be named by its digest, as in "
            "nipreps/mriqc@sha256:..., so that it cannot change unseen."
        )
    return folder, guest_image


def make_wheel(folder: Path, wheels_dir: Path | None = None) -> Path:
    """Build this distribution's wheel into a folder, or take it from ``wheels_dir``.

    Raises
    ------
    ImageBuildError
        There are no sources beside this package and no wheel, or building ends with an error.
    """
    name = f"{DISTRIBUTION}-{distribution_version()}-py3-none-any.whl"
    if wheels_dir is not None and (wheels_dir / name).is_file():
        return Path(shutil.copy(wheels_dir / name, folder / name))
    if not _has_sources():
        raise ImageBuildError(
            f"The images need the wheel {name}, and this installation has no sources to build it "
            "from. Run from a source checkout, or put the wheel into a folder and pass --wheels."
        )
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *isolation]
    result = subprocess.run(
        [*wheel, "--wheel-dir", str(folder), str(_SOURCE_DIR)],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode or not (folder / name).is_file():
        shown = _last_lines(result.stderr.splitlines()) or f"pip made no {name}"
        raise ImageBuildError(
            f"The wheel of {DISTRIBUTION} cannot be built from {_SOURCE_DIR}: {shown}. "
            "Mend what these lines name, or pass a folder that holds the wheel as --wheels."
        )
    return folder / name


def _build_base(
    engine: DockerEngine, target: Target, options: BuildOptions, progress: Progress
) -> Image:
    try:
        build_target(target, options, progress)
    except ImageBuildError as error:
        # A base image that was fetched stays on the machine, whatever failed afterwards.
        try:
            engine.image(target.base_image)
        except ImageMissingError:
            raise ImageMissingError(
                f"The base image {target.base_image} is not on this machine, and no registry "
                "gave it. Pass --base-image with one that is here, or run "
                "containers/base/make-local-base to make one from Debian packages."
            ) from error
        raise
    return engine.image(target.tag)


def build_target(target: Target, options: BuildOptions, progress: Progress) -> None:
    """Build one image; on an error its tag stays with the image that had it.

    Raises
    ------
    ImageBuildError
        A step of the Dockerfile fails; the text holds the last lines it printed.
    """
    client = connect()
    try:
        with _context(target, options.wheels_dir) as folder, translated(f"build {target.tag}"):
            chunks = client.api.build(
                path=str(folder),
                tag=target.tag,
                buildargs={
                    "BASE_IMAGE": target.base_image,
                    "PIP_OPTIONS": _OFFLINE_PIP_OPTIONS if options.wheels_dir else "",
                },
                labels=target.labels,
                nocache=not options.use_cache,
                rm=True,
                forcerm=True,
                decode=True,
            )
            _follow(target.tag, chunks, progress)
    finally:
        client.close()


def _follow(tag: str, chunks: Iterable[Mapping[str, Any]], progress: Progress) -> None:
    """Hand on what a build prints; raise if it says that it has failed."""
    step, lines, error = "", deque[str](maxlen=_SHOWN_LINES), ""
    # Read to the end even after an error: the connection is closed only then.
    for chunk in chunks:
        for line in _COLOUR.sub("", str(chunk.get("stream", ""))).splitlines():
            if line.startswith("Step "):
                step = line
                lines.clear()
            else:
                lines.append(line)
            progress(line)
        error = error or str(chunk.get("error", ""))
    if error:
        raise ImageBuildError(
            f"Image {tag} cannot be built, it stopped at '{step}': "
            f"{_last_lines([*lines, error])}. Mend what these lines name and build again."
        )


@contextmanager
def _context(target: Target, wheels_dir: Path | None) -> Iterator[Path]:
    """Yield a folder with all that a Dockerfile of ours copies, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="winxnat-context-") as name:
        folder = Path(name)
        for part in ("Dockerfile", "requirements.lock"):
            # The image of a guest has all that its step needs; nothing is installed there.
            if (target.folder / part).is_file():
                shutil.copy(target.folder / part, folder / part)
        if target.wheel_path is not None:
            shutil.copy(target.wheel_path, folder)
        wheels = folder / "wheels"
        wheels.mkdir()
        # COPY needs something to copy where no wheels are given.
        (wheels / ".keep").touch()
        for path in sorted(wheels_dir.glob("*.whl")) if wheels_dir else ():
            if not path.name.startswith(f"{DISTRIBUTION}-"):
                shutil.copy(path, wheels)
        yield folder


def _common_labels() -> dict[str, str]:
    labels = {
        "org.opencontainers.image.version": distribution_version(),
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    revision = _revision()
    return {**labels, "org.opencontainers.image.revision": revision} if revision else labels


def _command_labels(command: Command) -> dict[str, str]:
    return {
        IMAGE_LABEL: label_text(command),
        "org.opencontainers.image.title": command.label or command.name,
        "org.opencontainers.image.description": command.description or "",
    }


def _has_sources() -> bool:
    project = _SOURCE_DIR / "pyproject.toml"
    if not project.is_file():
        return False
    document = tomllib.loads(project.read_text(encoding="utf-8"))
    return bool(document.get("project", {}).get("name") == DISTRIBUTION)


def _revision() -> str | None:
    """Return the commit that is checked out, marked where files differ; None without git."""
    git = shutil.which("git")
    if git is None or not _has_sources():
        return None
    describe = [git, "-C", str(_SOURCE_DIR), "describe", "--always", "--abbrev=40", "--dirty"]
    result = subprocess.run([*describe, "--exclude=*"], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None


def _last_lines(lines: Sequence[str]) -> str:
    shown = [line.strip() for line in lines if line.strip()]
    return " | ".join(shown[-_SHOWN_LINES:]).rstrip(".")
