"""Building images: the Dockerfiles' rules, the locks, and the errors of a build."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from commands import catalog
from commands.model import Command
from commands.service_json import IMAGE_LABEL, label_text
from commands.version import distribution_version
from containers.build import (
    GUESTS,
    BuildOptions,
    Target,
    base_tag,
    build_images,
    build_target,
    make_wheel,
)
from containers.docker_engine import DockerEngine
from containers.engine import ImageBuildError, ImageMissingError
from containers.steps import STEPS_DIR, build_dir

OWN = [command for command in catalog.commands() if command.name not in GUESTS]
FOLDERS = [STEPS_DIR / "base", *(build_dir(command.name) for command in OWN)]
ROOT = STEPS_DIR.parent


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def instructions(request: pytest.FixtureRequest) -> list[tuple[str, str]]:
    """Return the instructions of each Dockerfile, continuation lines joined, no comments."""
    text = (request.param / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    pairs = (line.partition(" ") for line in joined.splitlines() if line.strip())
    return [(word, rest) for word, _, rest in pairs]


def test_dockerfile_begins_with_its_base(instructions: list[tuple[str, str]]) -> None:
    """The base image is an argument and the first thing a Dockerfile says."""
    assert instructions[0][0] == "ARG"
    assert instructions[0][1].startswith("BASE_IMAGE=")
    assert instructions[1] == ("FROM", "${BASE_IMAGE} AS build")


def test_dockerfile_needs_no_buildkit_and_no_label(instructions: list[tuple[str, str]]) -> None:
    """The classic builder understands each line, and labels are left to the build command."""
    for word, rest in instructions:
        assert word in {"ARG", "FROM", "COPY", "RUN", "ENV", "USER", "ENTRYPOINT", "CMD"}
        assert not re.search(r"--mount|--chmod|--link|<<", rest)


def test_no_dockerfile_asks_for_a_frontend() -> None:
    """No Dockerfile has a syntax line, for which a registry would be asked."""
    for folder in FOLDERS:
        text = (folder / "Dockerfile").read_text(encoding="utf-8")
        assert not re.search(r"(?im)^#\s*syntax", text)


def test_image_ends_as_an_ordinary_user(instructions: list[tuple[str, str]]) -> None:
    """The last user is a number that is not root's."""
    users = [rest for word, rest in instructions if word == "USER"]

    assert users[-1] == "65534:65534"


@pytest.mark.parametrize("command", OWN, ids=lambda command: command.name)
def test_step_image_ends_with_own_wheel_and_entry_point(command: Command) -> None:
    """The program is the same in each image, and the wheel is the last layer with files."""
    lines = (build_dir(command.name) / "Dockerfile").read_text(encoding="utf-8").splitlines()

    copied = [line for line in lines if line.startswith("COPY")]
    assert lines[-1] == 'ENTRYPOINT ["/opt/app/bin/winxnat-step"]'
    assert copied[-1] == "COPY --from=own /opt/own /opt/app"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_lock_has_hashes_and_no_address(folder: Path) -> None:
    """Each requirement is pinned with a hash, and nothing says where it comes from."""
    text = (folder / "requirements.lock").read_text(encoding="utf-8")

    requirements = [line for line in text.splitlines() if not line.startswith(" ")]
    assert requirements
    assert all(re.match(r"[a-z0-9-]+==\S+ .*\\$", line) for line in requirements)
    assert text.count("--hash=sha256:") >= len(requirements)
    assert "://" not in text
    assert "--index" not in text


def names_in(text: str) -> set[str]:
    """Return the distributions that lines of requirements name."""
    found = (re.match(r"[A-Za-z0-9-]+", line) for line in text.splitlines())
    return {each.group() for each in found if each}


def requirements_of(extra: str, extras: dict[str, list[str]]) -> set[str]:
    """Return the requirements of an extra, and of the extras of our own that it names."""
    found = set()
    for line in extras[extra]:
        own = re.match(r"winxnat\[([^\]]+)\]", line)
        for inner in own[1].split(",") if own else ():
            found |= requirements_of(inner.strip(), extras)
        found |= set() if own else {line}
    return found


@pytest.mark.parametrize("command", OWN, ids=lambda command: command.name)
def test_image_has_all_that_the_extra_names(command: Command) -> None:
    """What a local run installs by the extra, the image has from the base or by itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = names_in("\n".join(requirements_of(command.name, project["optional-dependencies"])))

    base = (STEPS_DIR / "base" / "requirements.lock").read_text(encoding="utf-8")
    own = (build_dir(command.name) / "requirements.lock").read_text(encoding="utf-8")

    assert extra <= names_in(base) | names_in(own)


def test_wheel_is_this_distribution(tmp_path: Path) -> None:
    """The wheel carries the version, the entry point's code and the files it reads."""
    wheel_path = make_wheel(tmp_path)

    with zipfile.ZipFile(wheel_path) as wheel:
        names = set(wheel.namelist())
        metadata_name = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(wheel.read(metadata_name))
    assert (metadata["Name"], metadata["Version"]) == ("winxnat", distribution_version())
    assert {"containers/entrypoint.py", "containers/report_schema.json"} <= names


def test_wheel_is_taken_from_the_folder_of_wheels(tmp_path: Path) -> None:
    """A wheel of this version that is given is used as it is."""
    given, target = tmp_path / "given", tmp_path / "target"
    given.mkdir()
    target.mkdir()
    name = f"winxnat-{distribution_version()}-py3-none-any.whl"
    (given / name).write_bytes(b"as it is")

    wheel_path = make_wheel(target, given)

    assert wheel_path == target / name
    assert wheel_path.read_bytes() == b"as it is"


def test_installation_without_sources_is_one_sentence(tmp_path: Path) -> None:
    """Without sources and wheel the error says what to do."""
    for package in ("commands", "containers"):
        shutil.copytree(ROOT / package, tmp_path / package)
    program = (
        "from pathlib import Path; from containers.build import make_wheel\n"
        "from containers.engine import ImageBuildError\n"
        "try: make_wheel(Path('.'))\n"
        "except ImageBuildError as error: print(error)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert "has no sources to build it from" in ended.stdout
    assert "--wheels" in ended.stdout


@pytest.mark.docker
def test_missing_base_image_says_how_to_get_one(docker_engine: DockerEngine) -> None:
    """A base that no registry gives leads to --base-image and the script."""
    docker_engine.ping()
    options = BuildOptions(base_image="localhost:1/nobody/nothing:1")

    with pytest.raises(ImageMissingError, match="make-local-base") as caught:
        build_images((), options, lambda _: None)

    assert "--base-image" in str(caught.value)


def target_of(folder: Path, dockerfile: str, **labels: str) -> Target:
    """Return an image to build from a Dockerfile's lines."""
    (folder / "Dockerfile").write_text(f"FROM {base_tag()}\n{dockerfile}", encoding="utf-8")
    (folder / "requirements.lock").touch()
    return Target(folder, f"winxnat/{folder.name.replace('_', '-')}:1", base_tag(), labels)


@pytest.mark.docker
def test_failing_build_shows_its_last_lines(docker_engine: DockerEngine, tmp_path: Path) -> None:
    """The sentence names the step that stopped and what it printed last, without colours."""
    docker_engine.ping()
    target = target_of(tmp_path, "RUN echo first\nRUN echo second >&2; exit 3\n")
    told: list[str] = []

    with pytest.raises(ImageBuildError, match="RUN echo second") as caught:
        build_target(target, BuildOptions(use_cache=False), told.append)

    assert "| second |" in str(caught.value)
    assert "first" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert "first" in told
    with pytest.raises(ImageMissingError):
        docker_engine.image(target.tag)


@pytest.mark.docker
@pytest.mark.parametrize("command", OWN, ids=lambda command: command.name)
def test_built_label_is_the_definition(docker_engine: DockerEngine, command: Command) -> None:
    """The label as the docker program shows it is the definition, byte for byte."""
    docker_engine.image(command.image)
    shown = subprocess.run(
        ["docker", "inspect", "-f", f'{{{{index .Config.Labels "{IMAGE_LABEL}"}}}}', command.image],
        capture_output=True,
        check=True,
    )

    assert shown.stdout.decode().removesuffix("\n") == label_text(command)


@pytest.mark.docker
def test_label_with_every_trap_survives(docker_engine: DockerEngine, tmp_path: Path) -> None:
    """Variables, quotes, backslashes, line breaks and accents come through the build unchanged."""
    traps = "$HOME ${PATH} \\n \\\\ \" ' \n\t é # ` %"
    target = target_of(tmp_path, "", **{IMAGE_LABEL: traps})

    build_target(target, BuildOptions(), lambda _: None)

    found = docker_engine.image(target.tag).labels[IMAGE_LABEL]
    subprocess.run(["docker", "rmi", target.tag], check=True, capture_output=True)
    assert found == traps


def test_command_folder_has_its_parts() -> None:
    """Each command of the catalogue has a folder with a Dockerfile, a lock and a step."""
    for command in OWN:
        for part in ("Dockerfile", "requirements.lock", "requirements.in", "step.py"):
            assert (build_dir(command.name) / part).is_file()


def _lines(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    return {line for line in text.splitlines() if line and not line.startswith("#")}


def _pins(path: Path) -> dict[str, str]:
    """Return the versions of a lock by project name."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", path.read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("command", OWN, ids=lambda command: command.name)
def test_image_and_extra_ask_for_the_same(command: Command) -> None:
    """What a step needs is stated alike for its image and for the local process."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = requirements_of(command.name, project["optional-dependencies"])
    image = _lines(build_dir(command.name) / "requirements.in")
    base = _lines(STEPS_DIR / "base" / "requirements.in")

    assert image <= asked | set(project["dependencies"])
    assert asked <= image | base


@pytest.mark.parametrize("command", OWN, ids=lambda command: command.name)
def test_image_and_local_process_have_the_same_versions(command: Command) -> None:
    """Each library of an image is locked to one version, in the image and outside."""
    image = _pins(STEPS_DIR / "base" / "requirements.lock")
    image |= _pins(build_dir(command.name) / "requirements.lock")

    outside = _pins(ROOT / "requirements" / "dev.lock")

    assert len(image) > 5
    assert {name: outside.get(name) for name in image} == image
