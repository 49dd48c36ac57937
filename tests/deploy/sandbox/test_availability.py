"""What is offered to whom: the permission table of the Container Service's own tests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.container_lab import Lab, Person, shell_command

MR = "xnat:mrSessionData"


def offered(lab: Lab, who: Person, xsi_type: str) -> set[int] | int:
    """Return the wrappers offered to somebody, or the status of a refusal."""
    answer = who.http.get(
        f"{lab.url}/xapi/projects/{lab.project}/commands/available", params={"xsiType": xsi_type}
    )
    if answer.status_code != 200:
        return answer.status_code
    return {each["wrapper-id"] for each in answer.json()}


def session_to_assessor(xsi_type: str | None) -> dict[str, Any]:
    """Return a command whose output is an assessor of the session."""
    document = shell_command("true")
    handler = document["xnat"][0]["output-handlers"][0]
    handler["type"] = "Assessor"
    if xsi_type is not None:
        handler["xsi-type"] = xsi_type
    return document


COMMANDS: dict[str, tuple[dict[str, Any], str]] = {
    "project, writes": (shell_command("true", root="Project"), "xnat:projectData"),
    "project, no output": (
        shell_command("true", root="Project", output=None),
        "xnat:projectData",
    ),
    "subject, writes": (shell_command("true", root="Subject"), "xnat:subjectData"),
    "session, writes": (shell_command("true"), MR),
    "scan, writes": (shell_command("true", root="Scan"), "xnat:mrScanData"),
    "session, no output": (shell_command("true", output=None), MR),
    "session, assessor": (session_to_assessor("xnat:qcManualAssessorData"), MR),
    "session, untyped assessor": (session_to_assessor(None), MR),
}
# Columns: owner, member, collaborator, stranger of a public project.
TABLE = {
    "project, writes": (True, False, False, False),
    "project, no output": (True, True, True, True),
    "subject, writes": (True, True, False, False),
    "session, writes": (True, True, False, False),
    "scan, writes": (True, True, False, False),
    "session, no output": (True, True, True, True),
    "session, assessor": (True, True, False, False),
    "session, untyped assessor": (True, True, True, True),
}


@pytest.mark.parametrize("kind", TABLE)
def test_permission_table(lab: Lab, kind: str):
    """A wrapper is offered to those who may read its context and write its outputs."""
    document, xsi_type = COMMANDS[kind]
    wrapper = lab.command({**document, "version": lab.project})
    people = [lab.person(role) for role in ("owner", "member", "collaborator", None)]
    lab.put(f"/data/projects/{lab.project}/accessibility/public")

    found = tuple(wrapper in (offered(lab, who, xsi_type) or set()) for who in people)  # type: ignore[operator] # 200 here

    assert found == TABLE[kind]


@pytest.mark.parametrize("accessibility", ["private", "protected"])
def test_stranger_is_refused(lab: Lab, accessibility: str):
    """Who may not read the project's data is answered 403, also where its record is visible."""
    stranger = lab.person(None)
    lab.put(f"/data/projects/{lab.project}/accessibility/{accessibility}")

    assert offered(lab, stranger, MR) == 403


def test_unknown_project(lab: Lab):
    """A project that is not there is 403 to people, and 404 to those who may see everything."""
    path = f"{lab.url}/xapi/projects/NOT_HERE/commands/available?xsiType={MR}"

    assert lab.person(None).http.get(path).status_code == 403
    assert lab.admin.http.get(path).status_code == 404


def test_enabled_at_both_levels(lab: Lab):
    """A wrapper is offered only while the site and the project have it enabled."""
    wrapper = lab.command(shell_command("true"), enable=False)
    member = lab.person()
    states = []
    for path in (
        f"/xapi/wrappers/{wrapper}/enabled",
        f"/xapi/projects/{lab.project}/wrappers/{wrapper}/enabled",
        f"/xapi/wrappers/{wrapper}/disabled",
    ):
        lab.put(path)
        states.append(wrapper in (offered(lab, member, MR) or set()))  # type: ignore[operator] # 200 here

    assert states == [False, True, False]


def test_context_covers_subtypes(lab: Lab):
    """A context of a general type offers the wrapper on its subtypes, and on nothing else."""
    wrapper = lab.command(shell_command("true"))
    types = (MR, "xnat:eegSessionData", "xnat:mrScanData", "xnat:subjectData", "no:suchType")

    found = [wrapper in (offered(lab, lab.admin, each) or set()) for each in types]  # type: ignore[operator] # 200 here

    assert found == [True, True, False, False, False]


def test_summary(lab: Lab):
    """A summary names command, wrapper, image, root input and project."""
    document = shell_command("true")
    wrapper = lab.command({**document, "version": lab.project})
    answer = lab.admin.http.get(
        f"{lab.url}/xapi/commands/available", params={"project": lab.project, "xsiType": MR}
    )

    (summary,) = [each for each in answer.json() if each["wrapper-id"] == wrapper]

    assert summary["command-name"] == document["name"]
    assert summary["wrapper-name"] == "shell"
    assert summary["wrapper-contexts"] == ["xnat:imageSessionData"]
    assert summary["image-name"] == "lab/shell:1"
    assert summary["root-element-name"] == "root"
    assert summary["project"] == lab.project
    assert summary["enabled"] is True


def test_parameters_are_needed(lab: Lab):
    """Without project or type there is nothing to ask about."""
    base = f"{lab.url}/xapi/commands/available"

    assert lab.admin.http.get(base).status_code == 400
    assert lab.admin.http.get(base, params={"project": lab.project}).status_code == 400


def test_site_wide_commands(lab: Lab):
    """A wrapper of the context 'site' is offered for the site once it is enabled there."""
    document = shell_command("true", output=None, resource=None)
    document["xnat"][0]["contexts"] = ["site"]
    wrapper = lab.command({**document, "version": lab.project})

    answer = lab.person(None).http.get(f"{lab.url}/xapi/commands/available/site")

    assert wrapper in {each["wrapper-id"] for each in answer.json()}


# Columns: a custom group that may read MR sessions, edit them, or neither.
CUSTOM_TABLE = {
    "project, no output": (True, True, True),
    "session, writes": (False, True, False),
    "scan, writes": (False, True, False),
    "session, no output": (True, True, False),
    "session, assessor": (False, False, False),
    "session, untyped assessor": (True, True, False),
}


@pytest.mark.parametrize("kind", CUSTOM_TABLE)
def test_permission_table_of_custom_groups(lab: Lab, kind: str):
    """A custom group is offered what its levels for the types allow."""
    document, xsi_type = COMMANDS[kind]
    wrapper = lab.command({**document, "version": lab.project})
    found = []
    for level in ("read", "edit", "none"):
        lab.put(f"/data/projects/{lab.project}/groups/{level}", params={MR: level})
        person = lab.person(level)
        found.append(wrapper in (offered(lab, person, xsi_type) or set()))  # type: ignore[operator] # 200 here

    assert tuple(found) == CUSTOM_TABLE[kind]


def test_assessor_needs_the_right_on_its_own_type(lab: Lab):
    """A custom group that may edit the assessor's type and read the session is offered it."""
    document, xsi_type = COMMANDS["session, assessor"]
    wrapper = lab.command({**document, "version": lab.project})
    levels = {MR: "read", "xnat:qcManualAssessorData": "edit"}
    lab.put(f"/data/projects/{lab.project}/groups/raters", params=levels)

    assert wrapper in (offered(lab, lab.person("raters"), xsi_type) or set())  # type: ignore[operator] # 200 here
