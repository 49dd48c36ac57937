"""Launches from the request to the result, with shell commands run as local processes."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from typing import Any

import pytest
import requests

from tests.builders.container_lab import Lab, Person, shell_command

FILES = {"DATA/a.txt": b"first", "DATA/sub/b.txt": b"second"}


def test_files_go_in_and_come_back(lab: Lab):
    """What a container writes is a resource of the session afterwards, folders and all."""
    member, session = lab.person(), lab.session(files=FILES)
    wrapper = lab.command(shell_command("cp -r /input/. /output/"))

    status, details = lab.run(member, wrapper, f"/archive/experiments/{session}")

    assert (status, details) == ("Complete", "")
    for name in ("a.txt", "sub/b.txt"):
        stored = lab.read(f"/data/experiments/{session}", f"COPY/{name}")
        assert stored == FILES[f"DATA/{name}"]


def test_second_run_overwrites_and_adds(lab: Lab):
    """A second run replaces files of the same name in the resource and keeps the others."""
    member, session = lab.person(), lab.session(files=FILES)
    first = lab.command(shell_command("echo one > /output/same; echo one > /output/first"))
    second = lab.command(shell_command("echo two > /output/same"))

    for wrapper in (first, second):
        assert lab.run(member, wrapper, session)[0] == "Complete"

    owner = f"/data/experiments/{session}"
    assert lab.read(owner, "COPY/same") == b"two\n"
    assert lab.read(owner, "COPY/first") == b"one\n"


@pytest.mark.parametrize(
    "form",
    [
        "{E}",
        "/archive/experiments/{E}",
        "/data/archive/experiments/{E}",
        "/data/experiments/{E}",
        "/archive/projects/{P}/subjects/S1/experiments/E1",
        "/archive/projects/{P}/experiments/E1",
        '{{"uri": "/archive/experiments/{E}"}}',
    ],
)
def test_names_of_the_root(lab: Lab, form: str):
    """A session can be named by ID, by address with IDs or labels, or as a JSON object."""
    session = lab.session()
    document = shell_command("echo '#root#'", resource=None, output=None)
    document["command-line"] = "echo #uri#"
    document["inputs"] = [{"name": "uri"}]
    document["xnat"][0]["external-inputs"][0]["provides-value-for-command-input"] = "uri"
    root = form.format(E=session, P=lab.project)

    number = lab.launch(lab.admin, lab.command(document), root)

    assert lab.end(lab.admin, number)[0] == "Complete"
    assert lab.log(lab.admin, number) == f"/archive/experiments/{session}\n"


def test_exit_code_fails_the_run_and_keeps_the_logs(lab: Lab):
    """A container that ends with 3 fails; nothing is uploaded, and its own words can be read."""
    member, session = lab.person(), lab.session(files=FILES)
    wrapper = lab.command(
        shell_command("echo half > /output/x; echo words; echo trouble >&2; exit 3")
    )

    number = lab.launch(member, wrapper, session)
    status, details = lab.end(member, number)

    assert status == "Failed"
    assert "exit code 3" in details
    assert lab.read(f"/data/experiments/{session}", "COPY/x") is None
    assert lab.log(member, number, "stdout") == "words\n"
    assert lab.log(member, number, "stderr") == "trouble\n"
    (container,) = lab.containers(member, number)
    assert container["status"] == "Failed"
    assert [each["exitCode"] for each in container["history"] if each["status"] == "die"] == ["3"]


def test_history_of_a_good_run(lab: Lab):
    """A container's history is Created, Running, die, Finalizing, Complete."""
    member, session = lab.person(), lab.session(files=FILES)

    number = lab.launch(member, lab.command(shell_command("cp /input/a.txt /output")), session)
    lab.end(member, number)

    (container,) = lab.containers(member, number)
    words = [each["status"] for each in container["history"] if each["message"] is None]
    assert words == ["Created", "Running", "die", "Finalizing", "Complete"]
    assert container["outputs"][0]["created"] == f"/archive/experiments/{session}/resources/COPY"


@pytest.mark.parametrize(("required", "expected"), [(True, "Failed (Upload)"), (False, "Complete")])
def test_missing_output(lab: Lab, required: bool, expected: str):  # noqa: FBT001 - a table's column
    """A container that writes nothing fails only where its output is required."""
    member, session = lab.person(), lab.session(files=FILES)
    wrapper = lab.command(shell_command("true", required=required))

    assert lab.run(member, wrapper, session)[0] == expected


@pytest.mark.parametrize(
    "root",
    [
        "/archive/experiments/NOT_THERE",
        "NOT_THERE",
        "/archive/projects/X",
        "",
        "{",
        "/",
        "//",
        "a/b",
    ],
)
def test_root_that_is_not_there(lab: Lab, root: str):
    """A root that names nothing readable is told by the workflow, not by the launch."""
    status, details = lab.run(lab.person(), lab.command(shell_command("true")), root)

    assert status == "Failed (Command resolution)"
    assert details


def test_root_of_another_project_is_not_there(lab: Lab):
    """A session that the person may not read is answered as one that does not exist."""
    other = Lab(lab.url, lab.admin_password)
    hidden = other.session(files=FILES)
    member, wrapper = lab.person(), lab.command(shell_command("cat /input/*"))

    status, details = lab.run(member, wrapper, hidden)

    assert status == "Failed (Command resolution)"
    assert "There is no Session" in details


def test_missing_resource(lab: Lab):
    """A session without the resource that a required input wants fails at resolution."""
    member, session = lab.person(), lab.session()

    status, details = lab.run(member, lab.command(shell_command("true")), session)

    assert status == "Failed (Command resolution)"
    assert "files" in details


def test_collaborator_may_not_write(lab: Lab):
    """A collaborator's launch is accepted, and fails at resolution: writing needs a member."""
    collaborator, session = lab.person("collaborator"), lab.session(files=FILES)

    status, details = lab.run(collaborator, lab.command(shell_command("true")), session)

    assert status == "Failed (Command resolution)"
    assert "may not write" in details


def test_collaborator_may_run_what_writes_nothing(lab: Lab):
    """A command without outputs needs the right to read only."""
    collaborator, session = lab.person("collaborator"), lab.session(files=FILES)
    wrapper = lab.command(shell_command("cat /input/a.txt", output=None))

    assert lab.run(collaborator, wrapper, session)[0] == "Complete"


def statuses_of_launches(lab: Lab, who: Person | None, wrapper: int | str, body: Any = None) -> int:
    """Return the status of a launch in the lab's project."""
    http = requests.Session() if who is None else who.http
    path = f"{lab.url}/xapi/projects/{lab.project}/wrappers/{wrapper}/root/root/launch"
    return http.post(path, json={"root": "x"} if body is None else body).status_code


def test_refused_launches(lab: Lab):
    """Strangers, guests, unknown and disabled wrappers, and bad bodies are refused at once."""
    wrapper, member = lab.command(shell_command("true")), lab.person()
    disabled = lab.command(shell_command("true"), enable=False)

    assert statuses_of_launches(lab, None, wrapper) == 401
    assert statuses_of_launches(lab, lab.person(None), wrapper) == 403
    assert statuses_of_launches(lab, member, disabled) == 403
    assert statuses_of_launches(lab, member, 999_999) == 404
    assert statuses_of_launches(lab, member, "x") == 400
    for body in ([], "x", {"root": {}}, {"root": ["x"]}, {"root": "a\0b"}):
        assert statuses_of_launches(lab, member, wrapper, body) == 400
    wrong_root = f"{lab.url}/xapi/projects/{lab.project}/wrappers/{wrapper}/root/other/launch"
    assert member.http.post(wrong_root, json={}).status_code == 400


def test_all_addresses_of_a_launch(lab: Lab):
    """A launch is the same by wrapper, by command and name, with and without project and root."""
    session = lab.session()
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    command = lab.admin.http.get(f"{lab.url}/xapi/commands").json()[-1]["id"]
    member = lab.person()
    project = f"projects/{lab.project}/"

    for base in (
        f"wrappers/{wrapper}",
        f"{project}wrappers/{wrapper}",
        f"{project}wrapper/{wrapper}",
        f"commands/{command}/wrappers/shell",
        f"{project}commands/{command}/wrappers/shell",
    ):
        for root in ("", "/root/root"):
            path = f"{lab.url}/xapi/{base}{root}/launch"
            by_body = member.http.post(path, json={"root": session})
            by_query = member.http.post(path, params={"root": session})
            for answer in (by_body, by_query):
                assert answer.status_code == 200, (path, answer.text)
                number = answer.json()["workflow-id"]
                assert lab.end(member, number)[0] == "Complete"


def test_launch_without_project_needs_the_project_enabled(lab: Lab):
    """Leaving the project out of the address does not get round its owner's choice."""
    session, member = lab.session(), lab.person()
    wrapper = lab.command(shell_command("true", resource=None, output=None), enable=False)
    lab.put(f"/xapi/wrappers/{wrapper}/enabled")

    answer = member.http.post(
        f"{lab.url}/xapi/wrappers/{wrapper}/root/root/launch", json={"root": session}
    )

    assert answer.status_code == 403


def test_bulk(lab: Lab):
    """A bulk launch starts one run for each object, and each ends by itself."""
    member = lab.person()
    sessions = [lab.session(f"E{n}", files={"DATA/n.txt": str(n).encode()}) for n in range(3)]
    wrapper = lab.command(shell_command("cp /input/n.txt /output"))
    path = f"{lab.url}/xapi/projects/{lab.project}/wrappers/{wrapper}/root/root/bulklaunch"

    report = member.http.post(path, json={"root": json.dumps([*sessions, "NOT_THERE"])}).json()

    assert report["pipeline-name"] == "shell"
    assert report["bulk-launch-id"].startswith("bulk-")
    assert report["failures"] == []
    ends = [lab.end(member, each["workflow-id"])[0] for each in report["successes"]]
    assert ends == ["Complete"] * 3 + ["Failed (Command resolution)"]
    for n, session in enumerate(sessions):
        assert lab.read(f"/data/experiments/{session}", "COPY/n.txt") == str(n).encode()


@pytest.mark.parametrize("value", ["x", "[1]", "{}", ""])
def test_bulk_needs_a_list(lab: Lab, value: str):
    """The root of a bulk launch must be a JSON list of texts, as text."""
    wrapper = lab.command(shell_command("true"))
    path = f"{lab.url}/xapi/projects/{lab.project}/wrappers/{wrapper}/root/root/bulklaunch"

    assert lab.admin.http.post(path, json={"root": value}).status_code == 400


def test_token_lives_as_long_as_the_run(lab: Lab):
    """The container's credentials act for the person while it runs, and not afterwards."""
    member, session = lab.person(), lab.session(files=FILES)
    document = shell_command(
        'echo "$XNAT_HOST $XNAT_USER $XNAT_PASS $XNAT_WORKFLOW_ID";'
        ' python3 -c \'import os, urllib.request as r; h = os.environ["XNAT_HOST"];'
        " m = r.HTTPPasswordMgrWithDefaultRealm();"
        ' m.add_password(None, h, os.environ["XNAT_USER"], os.environ["XNAT_PASS"]);'
        " o = r.build_opener(r.ProxyHandler({}), r.HTTPBasicAuthHandler(m));"
        ' print(o.open(h + "/data/auth").read().decode())\'',
        output=None,
    )

    number = lab.launch(member, lab.command(document), session)

    assert lab.end(member, number)[0] == "Complete"
    first, second = lab.log(member, number).splitlines()
    host, alias, secret, workflow = first.split()
    assert second == f"User '{member.login}' is logged in"
    assert (host, workflow) == (lab.url, number)
    assert requests.get(f"{host}/data/auth", auth=(alias, secret), timeout=10).status_code == 401
    shown = json.dumps(lab.containers(member, number))
    assert secret not in shown
    assert '"XNAT_PASS": "******"' in shown


def test_process_engine_names_what_it_cannot_run(lab: Lab):
    """An image of others fails without Docker, and the workflow says what to do."""
    document = {**shell_command("something"), "override-entrypoint": False}
    member, session = lab.person(), lab.session(files=FILES)

    status, details = lab.run(member, lab.command(document), session)

    assert status == "Failed"
    assert "lab/shell:1" in details
    assert "Docker" in details


def test_outputs_may_not_lead_out_of_their_mount(lab: Lab):
    """A link to a file of the server is not handed out as an output."""
    member, session = lab.person(), lab.session(files=FILES)
    for line in ("ln -s /etc/passwd /output/x", "ln -s /etc /output/x", "mkfifo /output/x"):
        status, details = lab.run(member, lab.command(shell_command(line)), session)
        assert status == "Failed (Upload)"
        assert "link" in details
    assert lab.read(f"/data/experiments/{session}", "COPY/x") is None


def test_links_inside_an_output_become_files(lab: Lab):
    """A link to a file of the same output is stored as that file."""
    member, session = lab.person(), lab.session(files=FILES)
    wrapper = lab.command(shell_command("echo x > /output/a; cd /output; ln -s a b"))

    assert lab.run(member, wrapper, session)[0] == "Complete"
    assert lab.read(f"/data/experiments/{session}", "COPY/b") == b"x\n"


def test_log_downloads(lab: Lab):
    """Logs come as text, as a zip, and in parts for pages that follow them."""
    member, session = lab.person(), lab.session(files=FILES)
    wrapper = lab.command(shell_command("echo out; echo err >&2", output=None))
    number = lab.launch(member, wrapper, session)
    lab.end(member, number)
    base = f"{lab.url}/xapi/containers/{lab.containers(member, number)[0]['id']}"

    with zipfile.ZipFile(BytesIO(member.http.get(f"{base}/logs").content)) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    part = member.http.get(f"{base}/logSince/stdout", params={"since": "1"}).json()
    rest = member.http.get(f"{base}/logSince/stdout", params={"since": "4"}).json()

    assert found == {"stdout.log": b"out\n", "stderr.log": b"err\n"}
    assert part["content"] == "ut\n"
    assert (rest["content"], rest["bytesRead"]) == ("", -1)
    assert member.http.get(f"{base}/logs/nothing").status_code == 404
    assert member.http.get(f"{base}/logSince/stdout?since=x").status_code == 400


def test_launch_page(lab: Lab):
    """The launch page's model has the tree of inputs and the values that fit."""
    session = lab.session(files=FILES)
    document = shell_command("echo #n#")
    document["inputs"] = [{"name": "n", "type": "number", "default-value": 3, "required": True}]
    wrapper = lab.command(document)
    path = f"{lab.url}/xapi/projects/{lab.project}/wrappers/{wrapper}/launch"

    page = lab.person().http.get(path, params={"root": session}).json()

    assert page["meta"]["wrapper-id"] == wrapper
    root, number = page["input-config"]
    assert (root["name"], [each["name"] for each in root["children"]]) == ("root", ["files"])
    assert (number["name"], number["required"]) == ("n", True)
    values = {each["name"]: [v["label"] for v in each["values"]] for each in page["input-values"]}
    assert values == {"root": ["E1"], "files": ["DATA"]}
    assert lab.admin.http.get(path, params={"root": "NOT_THERE"}).status_code == 400


@pytest.fixture
def two_labs(lab: Lab) -> tuple[Lab, Lab, str]:
    """Return projects A and B, and a session of A that is shared into B."""
    home = Lab(lab.url, lab.admin_password)
    session = home.session(files=FILES)
    home.put(f"/data/experiments/{session}/projects/{lab.project}?label=THERE")
    return home, lab, session


@pytest.mark.parametrize(
    ("in_home", "in_other", "expected"),
    [
        ("member", "collaborator", "Complete"),
        (None, "member", "Failed (Command resolution)"),
        ("collaborator", "member", "Failed (Command resolution)"),
    ],
)
def test_writing_through_a_share_needs_the_home_project(
    two_labs: tuple[Lab, Lab, str], in_home: str | None, in_other: str, expected: str
):
    """From a project that a session is shared into, outputs need the right where it belongs."""
    home, other, session = two_labs
    person = other.person(in_other)
    if in_home is not None:
        home.put(f"/data/projects/{home.project}/users/{home.project}_{in_home}/{person.login}")
    wrapper = other.command(shell_command("cp /input/a.txt /output"))

    assert other.run(person, wrapper, f"/archive/experiments/{session}")[0] == expected


def test_session_of_another_project_is_not_launched_on(lab: Lab):
    """A session that does not appear in the project is not there, though the person may read it."""
    home = Lab(lab.url, lab.admin_password)
    session = home.session(files=FILES)
    person = lab.person("owner")
    home.put(f"/data/projects/{home.project}/users/{home.project}_owner/{person.login}")
    wrapper = lab.command(shell_command("cp /input/a.txt /output"))

    for root in (session, f"/archive/projects/{home.project}/experiments/E1"):
        assert lab.run(person, wrapper, root)[0] == "Failed (Command resolution)"


def test_many_at_once(lab: Lab):
    """More launches than threads all come to their end, each with its own result."""
    member = lab.person()
    sessions = [lab.session(f"E{n}", files={"DATA/n": str(n).encode()}) for n in range(12)]
    wrapper = lab.command(shell_command("sleep 0.2; cp /input/n /output"))

    numbers = [lab.launch(member, wrapper, session) for session in sessions]

    assert {lab.end(member, number)[0] for number in numbers} == {"Complete"}
    for n, session in enumerate(sessions):
        assert lab.read(f"/data/experiments/{session}", "COPY/n") == str(n).encode()
