"""What a container sees at its mounts, and set-up and wrap-up commands around it."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.builders.container_lab import Lab, shell_command

SCANS = {"1": {"NIFTI/t1.nii": b"n"}}


def listing(root: str, *, writable: bool = False) -> dict[str, Any]:
    """Return a command that lists what its root input gives it at /input."""
    document = shell_command(
        "cd /input; find . -type f | sort", root=root, resource=None, output=None
    )
    document["mounts"] = [{"name": "in", "path": "/input", "writable": writable}]
    external = document["xnat"][0]["external-inputs"][0]
    external["provides-files-for-command-mount"] = "in"
    return document


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize(
    ("root", "path", "expected"),
    [
        ("Session", "/archive/experiments/{E}", "./SCANS/1/NIFTI/t1.nii"),
        ("Scan", "/archive/experiments/{E}/scans/1", "./NIFTI/t1.nii"),
        ("Resource", "/archive/experiments/{E}/scans/1/resources/NIFTI", "./t1.nii"),
        ("Project", "/archive/projects/{P}", "./arc001/E1/SCANS/1/NIFTI/t1.nii"),
    ],
)
def test_mounted_folders(lab: Lab, root: str, path: str, expected: str, *, writable: bool):
    """Each kind of object is mounted as its archive folder, or a copy of it."""
    session = lab.session(scans=SCANS)
    wrapper = lab.command(listing(root, writable=writable))

    number = lab.launch(lab.admin, wrapper, path.format(E=session, P=lab.project))

    assert lab.end(lab.admin, number)[0] == "Complete"
    files = [each for each in lab.log(lab.admin, number).split() if "catalog" not in each]
    assert files == [expected]


def test_writable_input_is_a_copy(lab: Lab):
    """What a container does to a writable input does not reach the archive."""
    session = lab.session(files={"DATA/a.txt": b"as it was"})
    document = shell_command("echo changed > /input/a.txt; cp /input/a.txt /output/")
    document["mounts"][0]["writable"] = True

    assert lab.run(lab.admin, lab.command(document), session)[0] == "Complete"

    owner = f"/data/experiments/{session}"
    assert lab.read(owner, "DATA/a.txt") == b"as it was"
    assert lab.read(owner, "COPY/a.txt") == b"changed\n"


def test_subject_is_not_mountable(lab: Lab):
    """A mount that a subject feeds fails at resolution, and says what to mount instead."""
    lab.session(scans=SCANS)
    root = f"/archive/projects/{lab.project}/subjects/S1"

    status, details = lab.run(lab.admin, lab.command(listing("Subject")), root)

    assert status == "Failed (Command resolution)"
    assert "no folder of its own" in details


def test_session_without_files_is_an_empty_folder(lab: Lab):
    """A session that has no files yet is mounted as an empty folder."""
    number = lab.launch(lab.admin, lab.command(listing("Session")), lab.session())

    assert lab.end(lab.admin, number)[0] == "Complete"
    assert lab.log(lab.admin, number) == ""


def test_project_with_shared_data(lab: Lab):
    """A project is mounted with the sessions shared into it, under the labels they have there."""
    other = Lab(lab.url, lab.admin_password)
    session = other.session(files={"DATA/a.txt": b"a"})
    share = f"/data/experiments/{session}/projects/{lab.project}?label=SHARED"
    lab.put(share)

    number = lab.launch(
        lab.admin, lab.command(listing("Project")), f"/archive/projects/{lab.project}"
    )

    assert lab.end(lab.admin, number)[0] == "Complete"
    assert "./arc001/SHARED/RESOURCES/DATA/a.txt" in lab.log(lab.admin, number).split()


def auxiliary(lab: Lab, kind: str, line: str) -> str:
    """Store a set-up or wrap-up command; return the reference to it."""
    name = f"{kind}-{secrets.token_hex(4)}"
    lab.command(
        {
            "name": name,
            "version": "1",
            "type": f"docker-{kind}",
            "image": f"lab/{kind}:1",
            "command-line": line,
            "override-entrypoint": True,
        }
    )
    return f"lab/{kind}:1:{name}"


def prepared(reference: str, line: str = "cp /input/* /output/") -> dict[str, Any]:
    """Return a command whose input comes through a set-up command."""
    document = shell_command(line)
    document["xnat"][0]["derived-inputs"][0]["via-setup-command"] = reference
    return document


def test_setup_and_wrapup(lab: Lab):
    """A set-up command makes the input, and a wrap-up command reworks the output."""
    session = lab.session(files={"DATA/a.txt": b"a"})
    setup = auxiliary(lab, "setup", "tr a-z A-Z < /input/a.txt > /output/b.txt; echo setting up")
    wrapup = auxiliary(lab, "wrapup", "sed s/A/AA/ /input/b.txt > /output/c.txt; echo wrapping up")
    document = prepared(setup)
    document["xnat"][0]["output-handlers"][0]["via-wrapup-command"] = wrapup

    number = lab.launch(lab.admin, lab.command(document), session)
    status, details = lab.end(lab.admin, number)

    assert (status, details) == ("Complete", "")
    owner = f"/data/experiments/{session}"
    assert lab.read(owner, "COPY/c.txt") == b"AA"
    assert lab.read(owner, "COPY/b.txt") is None
    main, *others = lab.containers(lab.admin, number)
    assert [each["subtype"] for each in others] == ["docker-setup", "docker-wrapup"]
    assert {each["parent-database-id"] for each in others} == {main["id"]}
    assert lab.log(lab.admin, number, "setup-stdout-0") == "setting up\n"
    assert lab.log(lab.admin, number, "wrapup-stdout-0") == "wrapping up\n"


@pytest.mark.parametrize(
    ("kind", "expected"), [("setup", "Failed (Setup)"), ("wrapup", "Failed (Wrapup)")]
)
def test_auxiliary_that_fails(lab: Lab, kind: str, expected: str):
    """A set-up or wrap-up command that fails ends the launch, and nothing is uploaded."""
    session = lab.session(files={"DATA/a.txt": b"a"})
    reference = auxiliary(lab, kind, "touch /output/x; exit 4")
    document = prepared(reference) if kind == "setup" else shell_command("cp /input/* /output")
    if kind == "wrapup":
        document["xnat"][0]["output-handlers"][0]["via-wrapup-command"] = reference

    status, details = lab.run(lab.admin, lab.command(document), session)

    assert status == expected
    assert "exit code 4" in details
    assert lab.read(f"/data/experiments/{session}", "COPY/a.txt") is None


def test_auxiliary_that_is_not_there(lab: Lab):
    """A set-up command that nobody stored fails the launch with its name."""
    session = lab.session(files={"DATA/a.txt": b"a"})

    status, details = lab.run(lab.admin, lab.command(prepared("lab/nothing:1")), session)

    assert status == "Failed (Setup)"
    assert "lab/nothing:1" in details


def two_setups(lab: Lab, first: str, second: str) -> dict[str, Any]:
    """Return a command with two mounts, each made by a set-up command of its own."""
    document = shell_command("cat /input/* /more/* > /output/both")
    document["mounts"].append({"name": "more", "path": "/more"})
    (one,) = document["xnat"][0]["derived-inputs"]
    two = {**one, "name": "files2", "provides-files-for-command-mount": "more"}
    one["via-setup-command"] = auxiliary(lab, "setup", first)
    two["via-setup-command"] = auxiliary(lab, "setup", second)
    document["xnat"][0]["derived-inputs"].append(two)
    return document


def test_set_up_commands_run_at_the_same_time(lab: Lab, tmp_path: Path):
    """Two set-up commands that wait for each other both come to their end."""
    session = lab.session(files={"DATA/a.txt": b"a"})
    flags = tmp_path / "one", tmp_path / "two"

    def line(own: Path, other: Path) -> str:
        waiting = f"for i in $(seq 100); do test -e {other} && break; sleep 0.2; done"
        return f"touch {own}; {waiting}; test -e {other} && echo {own.name} > /output/x"

    document = two_setups(lab, line(*flags), line(*flags[::-1]))
    number = lab.launch(lab.admin, lab.command(document), session)

    assert lab.end(lab.admin, number) == ("Complete", "")
    assert lab.read(f"/data/experiments/{session}", "COPY/both") == b"one\ntwo\n"
    assert len(lab.containers(lab.admin, number)) == 3


def test_all_set_up_commands_must_succeed(lab: Lab):
    """One that fails ends the launch; the other is over by then, and nothing else has begun."""
    session = lab.session(files={"DATA/a.txt": b"a"})
    document = two_setups(lab, "exit 4", "sleep 0.5; touch /output/x")

    number = lab.launch(lab.admin, lab.command(document), session)
    status, details = lab.end(lab.admin, number)

    assert status == "Failed (Setup)"
    assert "exit code 4" in details
    main, *others = lab.containers(lab.admin, number)
    assert [each["status"] for each in others].count("Complete") == 1
    assert "Running" not in {each["status"] for each in main["history"]}


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("root", ["Session", "Project"])
def test_catalogs_lie_beside_the_files(lab: Lab, root: str, *, writable: bool):
    """As on a real XNAT a container finds the catalog of each resource, with its files' digests."""
    session = lab.session(files={"DATA/a.txt": b"a"}, scans=SCANS)
    document = listing(root, writable=writable)
    document["command-line"] = "cd /input; find . -name '*_catalog.xml' -exec cat '{}' +"
    target = session if root == "Session" else lab.project

    number = lab.launch(lab.admin, lab.command(document), target)

    assert lab.end(lab.admin, number)[0] == "Complete"
    seen = lab.log(lab.admin, number)
    assert seen.count("<cat:Catalog ") == 2
    assert 'digest="0cc175b9c0f1b6a831c399e269772661"' in seen  # MD5 of "a", RFC 1321
    rows = lab.admin.http.get(f"{lab.url}/data/experiments/{session}/resources/DATA/files").json()
    assert [row["Name"] for row in rows["ResultSet"]["Result"]] == ["a.txt"]


def test_a_catalog_that_a_container_copies_is_a_file_like_any_other(lab: Lab):
    """What a container takes along of its input is stored, except the catalog of the output."""
    session = lab.session(files={"DATA/a.txt": b"a"})
    document = shell_command(
        "cp /input/* /output/; cp /input/*_catalog.xml /output/COPY_catalog.xml"
    )

    assert lab.run(lab.admin, lab.command(document), session)[0] == "Complete"

    rows = lab.admin.http.get(f"{lab.url}/data/experiments/{session}/resources/COPY/files").json()
    names = sorted(row["Name"] for row in rows["ResultSet"]["Result"])
    assert names == ["DATA_catalog.xml", "a.txt"]
