"""``winxnat image``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from commands import catalog
from commands.service_json import IMAGE_LABEL, label_text
from containers.build import base_tag
from containers.contract import ExitCode
from containers.docker_engine import DockerEngine
from containers.image_cli import image

COMMAND = catalog.find("dicom-to-bids")


def call(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(image, list(arguments), env=env)


@pytest.mark.parametrize(
    "arguments", [("build",), ("build", "nothing"), ("build", "--all", COMMAND.name)], ids=str
)
def test_wrong_usage_gives_2(arguments: tuple[str, ...]) -> None:
    """Neither names nor --all, both, or an unknown name give 2."""
    assert call(*arguments).exit_code == ExitCode.WRONG_USAGE


@pytest.mark.parametrize("arguments", [("list",), ("build", "--all")], ids=str)
def test_absent_docker_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Without a daemon the commands end with 5 and one sentence."""
    result = call(*arguments, env={"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})

    assert result.exit_code == ExitCode.TOOL_FAILED
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.docker
def test_list_shows_own_images(docker_engine: DockerEngine) -> None:
    """The list holds base and command images with their labels, as JSON and for people."""
    docker_engine.ping()

    documents = json.loads(call("list", "--json").stdout)
    shown = call("list").stdout

    labels = {tag: each["labels"] for each in documents for tag in each["tags"]}
    assert labels[COMMAND.image][IMAGE_LABEL] == label_text(COMMAND)
    assert base_tag() in labels
    assert COMMAND.image in shown
