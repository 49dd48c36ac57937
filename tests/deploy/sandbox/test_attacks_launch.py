"""Launches as an attacker sends them: what they see, what they name, what they leave behind."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.builders.container_lab import Lab, Person, shell_command
from tests.builders.live_folders import paths_below

SECRET = b"not for everybody"
FILES = {"DATA/a.txt": b"a"}


def lists_input(root: str, *, writable: bool = False) -> dict[str, Any]:
    """Return a command that lists the files of its root input."""
    document = shell_command(
        "cd /input; find . -type f ! -name '*_catalog.xml' | sort",
        root=root, resource=None, output=None,
    )  # fmt: skip
    document["mounts"] = [{"name": "in", "path": "/input", "writable": writable}]
    document["xnat"][0]["external-inputs"][0]["provides-files-for-command-mount"] = "in"
    return document


def seen(lab: Lab, who: Person, document: dict[str, Any], root: str) -> list[str]:
    """Launch a command that lists its input; return the list."""
    number = lab.launch(who, lab.command(document), root)
    assert lab.end(who, number) == ("Complete", "")
    return lab.log(who, number).split()


def assessor(lab: Lab, session: str, label: str, project: str | None = None) -> str:
    """Make an assessor with a file on a session, in the lab's project or another."""
    base = f"/data/experiments/{session}"
    if project is not None:
        base = f"/data/projects/{project}/experiments/{session}"
    made = lab.put(f"{base}/assessors/{label}?xsiType=xnat:qcAssessmentData").text
    lab.put(f"/data/experiments/{made}/resources/R/files/secret.txt", data=SECRET)
    return made


def reader_of(lab: Lab, **levels: str) -> Person:
    """Return somebody in a custom group that has these levels for types of the schema xnat."""
    query = "&".join(f"xnat:{name}={level}" for name, level in levels.items())
    lab.put(f"/data/projects/{lab.project}/groups/some?{query}")
    person = lab.person(None)
    lab.put(f"/data/projects/{lab.project}/users/some/{person.login}")
    return person


# What is mounted --------------------------------------------------------------------------------


@pytest.mark.parametrize("writable", [False, True])
def test_a_mounted_session_has_no_assessor_that_the_group_does_not_read(
    lab: Lab, *, writable: bool
) -> None:
    """Whoever reads MR sessions and no quality assessments finds none in the mounted folder."""
    session = lab.session(files=FILES)
    made = assessor(lab, session, "A1")
    reader = reader_of(lab, mrSessionData="read")
    hidden = reader.http.get(f"{lab.url}/data/experiments/{made}?format=json")
    document = lists_input("Session", writable=writable)

    assert hidden.status_code == 404
    assert seen(lab, reader, document, session) == ["./RESOURCES/DATA/a.txt"]
    assert "secret.txt" in " ".join(seen(lab, lab.person(), document | {"version": "2"}, session))


def test_a_mounted_project_has_nothing_that_the_group_does_not_read(lab: Lab) -> None:
    """A project's folder is stripped of sessions whose type the group does not read."""
    lab.session(files=FILES)
    base = f"/data/projects/{lab.project}/subjects/S1/experiments/PET1"
    lab.put(f"{base}?xsiType=xnat:petSessionData")
    lab.file(base, "DATA/pet.txt", SECRET)
    reader = reader_of(lab, mrSessionData="read")

    found = seen(lab, reader, lists_input("Project"), lab.project)

    assert found == ["./arc001/E1/RESOURCES/DATA/a.txt"]


def test_a_shared_session_brings_no_assessor_that_is_not_shared(lab: Lab) -> None:
    """A session that another project shares is mounted without that project's assessors."""
    other = Lab(lab.url, lab.admin_password)
    session = other.session(files=FILES)
    assessor(other, session, "A1")
    lab.put(f"/data/experiments/{session}/projects/{lab.project}")
    member = lab.person()

    as_session = seen(lab, member, lists_input("Session"), session)
    as_project = seen(lab, member, lists_input("Project"), lab.project)

    assert as_session == ["./RESOURCES/DATA/a.txt"]
    assert as_project == ["./arc001/E1/RESOURCES/DATA/a.txt"]


def test_another_project_s_assessor_of_ones_own_session_is_not_mounted(lab: Lab) -> None:
    """Who receives a session may assess it; the giver does not see the result in the folder."""
    session = lab.session(files=FILES)
    other = Lab(lab.url, lab.admin_password)
    lab.put(f"/data/experiments/{session}/projects/{other.project}")
    made = assessor(lab, session, "A1", project=other.project)
    member = lab.person()
    assert member.http.get(f"{lab.url}/data/experiments/{made}").status_code == 404

    found = seen(lab, member, lists_input("Session"), session)

    assert found == ["./RESOURCES/DATA/a.txt"]


# What is named ----------------------------------------------------------------------------------


def two_sessions(line: str = "true") -> dict[str, Any]:
    """Return a command with a second external object, which it mounts."""
    document = shell_command(line, resource=None, output=None)
    document["mounts"] = [{"name": "in", "path": "/input"}]
    document["xnat"][0]["external-inputs"].append(
        {
            "name": "second",
            "type": "Session",
            "required": True,
            "provides-files-for-command-mount": "in",
        }
    )
    return document


@pytest.mark.parametrize(
    "form",
    [
        "{E}",
        "/archive/experiments/{E}",
        "/data/archive/projects/{P}/subjects/S1/experiments/E1",
        "/archive/projects/{P}/experiments/E1",
        "//archive///experiments//{E}",
        '{{"uri": "/archive/experiments/{E}", "project": "{own}"}}',
        '{{"id": "{E}"}}',
        "/archive/projects/{own}/experiments/{E}",
        "/archive/projects/{own}/experiments/../../{P}/experiments/E1",
        "/archive/projects/{own}/projects/{P}/experiments/E1",
        "/archive/projects/{own}/subjects/S1/experiments/{E}",
    ],
)
def test_the_second_object_of_a_launch_is_of_the_project_too(lab: Lab, form: str) -> None:
    """In whatever way it is named, a session of another project is not there, even if readable."""
    other = Lab(lab.url, lab.admin_password)
    foreign, own = other.session(files=FILES), lab.session()
    member = lab.person()
    other.put(f"/data/projects/{other.project}/users/{other.project}_member/{member.login}")
    wrapper = lab.command(two_sessions())
    second = form.format(E=foreign, P=other.project, own=lab.project)

    for project in (f"projects/{lab.project}/", ""):
        answer = member.http.post(
            f"{lab.url}/xapi/{project}wrappers/{wrapper}/root/root/launch",
            json={"root": own, "second": second},
        )
        status, details = lab.end(member, str(answer.json()["workflow-id"]))
        assert status == "Failed (Command resolution)", project
        assert "There is no Session" in details


def test_a_launch_without_a_project_follows_the_project_s_configuration(lab: Lab) -> None:
    """What a project's owners fixed cannot be evaded by leaving the project out of the address."""
    document = shell_command("echo #level#", resource=None, output=None)
    document["inputs"] = [{"name": "level", "default-value": "open"}]
    wrapper, session = lab.command(document), lab.session()
    fixed = {"inputs": {"level": {"default-value": "closed", "user-settable": False}}}
    path = f"{lab.url}/xapi/projects/{lab.project}/wrappers/{wrapper}/config"
    assert lab.admin.http.post(path, json=fixed).status_code == 201
    member = lab.person()

    answer = member.http.post(
        f"{lab.url}/xapi/wrappers/{wrapper}/root/root/launch",
        json={"root": session, "level": "wide-open"},
    )
    number = str(answer.json()["workflow-id"])

    assert lab.end(member, number)[0] == "Complete"
    assert lab.log(member, number) == "closed\n"


@pytest.mark.parametrize(
    "name", ["../../archive/HERE", "/HERE", "..", "a/../../../HERE", "x" * 300]
)
def test_a_mount_s_name_does_not_lead_out_of_the_build_folder(
    lab: Lab, sandbox: Any, name: str
) -> None:
    """A mount can have any name; the folder behind it lies where all of them lie."""
    document = shell_command("echo x > /output/x", resource=None)
    document["mounts"][0]["name"] = document["outputs"][0]["mount"] = name

    lab.run(lab.admin, lab.command(document), lab.session())

    assert [path for path in paths_below(sandbox.root) if path.name == "HERE"] == []
    assert not Path("/HERE").exists()


@pytest.mark.parametrize(
    "value",
    [
        "a\nid", "a | id", "a & id", "a > /output/x", "< /etc/passwd", "$XNAT_PASS", "a\rid",
        "' id '", '" id "', "a \\", "a # b",
    ],
)  # fmt: skip
def test_values_do_not_become_shell_code(lab: Lab, value: str) -> None:
    """A value that a shell would act on is refused for a command that is a shell line."""
    document = shell_command("echo #word#", resource=None, output=None)
    document["inputs"] = [{"name": "word", "default-value": "x"}]
    member = lab.person()

    status, details = lab.run(member, lab.command(document), lab.session(), word=value)

    assert status == "Failed (Command resolution)"
    assert "'word'" in details
    assert value not in details


def test_a_file_s_name_does_not_become_shell_code(lab: Lab) -> None:
    """Who uploads a file cannot act as who launches on it."""
    session = lab.session(files={"DATA/x & touch ESCAPED.txt": b"x"})
    document = shell_command("cat /input/#file#", output=None)
    document["inputs"] = [{"name": "file"}]
    document["xnat"][0]["derived-inputs"].append(
        {
            "name": "one",
            "type": "File",
            "derived-from-wrapper-input": "files",
            "derived-from-xnat-object-property": "name",
            "provides-value-for-command-input": "file",
        }
    )

    status, details = lab.run(lab.admin, lab.command(document), session)

    assert status == "Failed (Command resolution)"
    assert "rename the file" in details


def test_values_outside_the_shell_line_may_have_any_characters(lab: Lab) -> None:
    """A value that reaches the container by its environment only is no shell code."""
    document = shell_command('echo "$WORD"', resource=None, output=None)
    document["inputs"] = [{"name": "word", "default-value": "x"}]
    document["environment-variables"] = {"WORD": "#word#"}

    number = lab.launch(lab.admin, lab.command(document), lab.session(), word="a & b > c")

    assert lab.end(lab.admin, number)[0] == "Complete"
    assert lab.log(lab.admin, number) == "a & b > c\n"


# What is left behind ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "ln -s /etc/passwd /output/x",
        "ln -s /etc /output/x",
        "ln -s ../../../sandbox.sqlite /output/x",
        "mkdir /output/d; ln -s /etc/passwd /output/d/x",
        "mkfifo /output/x",
        "ln -s x /output/x",
        "ln -s /proc/self/environ /output/x",
        "rmdir /output; ln -s /etc /output",
        "echo a > '/output/a\\b'",
        "echo a > '/output/a:b'",
        "printf a > \"$(printf '/output/a\\nb')\"",
    ],
)
def test_outputs_that_are_no_plain_files_are_refused(lab: Lab, line: str) -> None:
    """Links out of the mount, pipes and hostile names are stored nowhere, nor what they lead to."""
    session = lab.session(files=FILES)

    status, _ = lab.run(lab.person(), lab.command(shell_command(line)), session)

    assert status == "Failed (Upload)"
    rows = lab.admin.http.get(f"{lab.url}/data/experiments/{session}/resources/COPY/files")
    assert rows.status_code == 404 or rows.json()["ResultSet"]["Result"] == []


def test_a_socket_among_the_outputs_is_refused(lab: Lab, tmp_path: Path) -> None:
    """A socket is no file."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        status, _ = lab.run(
            lab.admin,
            lab.command(shell_command(f"mv {tmp_path}/s /output/s")),
            lab.session(files=FILES),
        )

    assert status == "Failed (Upload)"


def test_a_hard_link_to_an_input_becomes_a_file_of_its_own(lab: Lab, sandbox: Any) -> None:
    """An output that is the very file of an input is copied: changing one leaves the other."""
    session = lab.session(files=FILES)

    status, _ = lab.run(
        lab.admin, lab.command(shell_command("ln /input/a.txt /output/b.txt")), session
    )

    assert status == "Complete"
    folder = Path(sandbox.root, "archive", lab.project, "arc001", "E1", "RESOURCES")
    stored = (folder / "COPY" / "b.txt").stat(), (folder / "DATA" / "a.txt").stat()
    assert stored[0].st_ino != stored[1].st_ino


def test_modes_of_outputs_are_not_kept(lab: Lab, sandbox: Any) -> None:
    """A program with the set-user-ID bit is stored as plain data."""
    session = lab.session(files=FILES)

    lab.run(
        lab.admin,
        lab.command(shell_command("cp /bin/true /output/p; chmod 6777 /output/p")),
        session,
    )

    stored = Path(sandbox.root, "archive", lab.project, "arc001", "E1", "RESOURCES", "COPY", "p")
    assert stored.stat().st_mode & 0o7111 == 0


@pytest.mark.parametrize("path", ["../..", "/../../../", "a/../../x", "/etc/passwd", "#root#"])
def test_output_paths_stay_in_their_mount(lab: Lab, path: str) -> None:
    """An output's path is looked for below its mount only."""
    document = shell_command("echo x > /output/x")
    document["outputs"][0]["path"] = path

    status, _ = lab.run(lab.admin, lab.command(document), lab.session(files=FILES))

    assert status == "Failed (Upload)"


@pytest.mark.parametrize(
    "label", ["../x", "a/b", "..", ".", "IN", "12", "a\x00b", "x" * 300, "#v#"]
)
def test_labels_of_outputs_are_labels(lab: Lab, label: str) -> None:
    """A handler's label that is no label fails the upload, also where a value makes it so."""
    document = shell_command("echo x > /output/x")
    document["inputs"] = [{"name": "v", "default-value": "../../x"}]
    document["xnat"][0]["output-handlers"][0]["label"] = label

    answer = lab.admin.http.post(f"{lab.url}/xapi/commands", json=document)
    if answer.status_code != 201:
        assert answer.status_code == 400
        return
    document["version"] = "2"
    status, _ = lab.run(lab.admin, lab.command(document), lab.session(files=FILES))

    assert status == "Failed (Upload)"


def test_an_output_that_is_larger_than_the_disk_is_refused(lab: Lab) -> None:
    """A sparse file costs nothing to make; its copy would fill the disk."""
    session = lab.session(files=FILES)

    status, details = lab.run(
        lab.person(), lab.command(shell_command("truncate -s 8T /output/x")), session
    )

    assert status == "Failed (Upload)"
    assert "no room" in details


def test_a_log_without_end_is_cut(lab: Lab) -> None:
    """Of a log of 100 MB the first 64 are kept, and it says so."""
    wrapper = lab.command(shell_command("yes | head -c 100000000", resource=None, output=None))

    number = lab.launch(lab.admin, wrapper, lab.session())

    assert lab.end(lab.admin, number)[0] == "Complete"
    log = lab.log(lab.admin, number)
    assert len(log) < 64 * 1024 * 1024 + 100
    assert log.endswith("[The log is longer; the rest is left out.]\n")


# What others did --------------------------------------------------------------------------------


def test_a_stranger_cannot_count_the_containers_of_others(lab: Lab) -> None:
    """To who may not read the project its containers are not there, by number, id, name or list."""
    document = shell_command("true", resource=None, output=None)
    document["container-name"] = f"name-{lab.project}"
    number = lab.launch(lab.admin, lab.command(document), lab.session())
    lab.end(lab.admin, number)
    (container,) = lab.containers(lab.admin, number)
    stranger = lab.person(None).http
    base = f"{lab.url}/xapi"

    for name in (container["id"], container["container-id"], 10**9):
        for path in ("", "/logs", "/logs/stdout", "/logSince/stdout"):
            answer = stranger.get(f"{base}/containers/{name}{path}")
            assert (answer.status_code, answer.text) == (404, f"There is no container {name}.")
        assert stranger.delete(f"{base}/containers/{name}").status_code == 404
        assert stranger.post(f"{base}/containers/{name}/kill").status_code == 404
    assert stranger.get(f"{base}/container/name/name-{lab.project}").status_code == 404
    assert stranger.get(f"{base}/containers").json() == []
    page = stranger.post(f"{base}/containers", json={"page": 1, "size": 1000})
    assert page.json() == []


def test_pages_of_containers_are_full_for_those_who_see_few(lab: Lab) -> None:
    """Containers that somebody does not see do not shorten the pages of those that are seen."""
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    session, member = lab.session(), lab.person()
    for who in (member, member):
        lab.end(who, lab.launch(who, wrapper, session))
    other = Lab(lab.url, lab.admin_password)
    foreign = other.command(shell_command("true", resource=None, output=None))
    other.end(other.admin, other.launch(other.admin, foreign, other.session()))

    page = member.http.post(f"{lab.url}/xapi/containers", json={"page": 1, "size": 2}).json()

    assert [each["project"] for each in page] == [lab.project, lab.project]
