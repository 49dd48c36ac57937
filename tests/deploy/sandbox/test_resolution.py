"""What inputs resolve to, read from the command line of containers that were launched."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.container_lab import Lab

SCANS = {
    "1": {"DICOM/a.dcm": b"a", "NIFTI/t1.nii": b"n"},
    "2": {"DICOM/b.dcm": b"b"},
    "3": {"NIFTI/bold.nii": b"m"},
}


def printing(
    inputs: dict[str, dict[str, Any]],
    *derived: dict[str, Any],
    root: str = "Session",
    **external: Any,
) -> dict[str, Any]:
    """Return a command whose line is ``echo name=value`` for each command input."""
    line = " ".join(f"'{name}=#{name}#'" for name in inputs)
    return {
        "name": "printing",
        "version": str(id(inputs)),
        "image": "lab/printing:1",
        "override-entrypoint": True,
        "command-line": f"echo {line}",
        "inputs": [{"name": name, **settings} for name, settings in inputs.items()],
        "xnat": [
            {
                "name": "printing",
                "contexts": ["xnat:imageSessionData"],
                "external-inputs": [{"name": "root", "type": root, **external}],
                "derived-inputs": list(derived),
            }
        ],
    }


def derived(name: str, of: str, kind: str, gives: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a derived input; ``gives`` is the command input it provides."""
    found = {"name": name, "type": kind, "derived-from-wrapper-input": of, **more}
    return found if gives is None else {**found, "provides-value-for-command-input": gives}


def line(lab: Lab, document: dict[str, Any], root: str, **params: str) -> str:
    """Launch; return the resolved command line after ``echo``."""
    document["version"] = lab.project
    number = lab.launch(lab.admin, lab.command(document), root, **params)
    status, details = lab.end(lab.admin, number)
    assert status == "Complete", (status, details)
    resolved: str = lab.containers(lab.admin, number)[0]["command-line"]
    return resolved.removeprefix("echo ")


def refusal(lab: Lab, document: dict[str, Any], root: str, **params: str) -> str:
    """Launch what cannot be resolved; return the reason."""
    document["version"] = lab.project
    status, details = lab.run(lab.admin, lab.command(document), root, **params)
    assert status == "Failed (Command resolution)", (status, details)
    return details


WORKED_EXAMPLE: dict[str, Any] = {
    "name": "dcm2niix",
    "type": "docker",
    "image": "lab/dcm2niix:1",
    "override-entrypoint": True,
    "command-line": "true dcm2niix [BIDS] -o /output /input; touch /output/x",
    "mounts": [
        {"name": "dicom-in", "writable": False, "path": "/input"},
        {"name": "nifti-out", "writable": True, "path": "/output"},
    ],
    "inputs": [
        {
            "name": "bids",
            "type": "boolean",
            "required": False,
            "default-value": False,
            "replacement-key": "[BIDS]",
            "command-line-flag": "-b",
            "true-value": "y",
            "false-value": "n",
        }
    ],
    "outputs": [{"name": "nifti", "mount": "nifti-out", "required": True}],
    "xnat": [
        {
            "name": "dcm2niix-scan",
            "contexts": ["xnat:imageScanData"],
            "external-inputs": [
                {
                    "name": "scan",
                    "type": "Scan",
                    "required": True,
                    "matcher": "'DICOM' in @.resources[*].label",
                }
            ],
            "derived-inputs": [
                {
                    "name": "scan-dicoms",
                    "type": "Resource",
                    "derived-from-wrapper-input": "scan",
                    "provides-files-for-command-mount": "dicom-in",
                    "matcher": "@.label == 'DICOM'",
                }
            ],
            "output-handlers": [
                {
                    "name": "nifti-resource",
                    "accepts-command-output": "nifti",
                    "as-a-child-of": "scan",
                    "type": "Resource",
                    "label": "NIFTI",
                }
            ],
        }
    ],
}


@pytest.mark.parametrize(("bids", "expected"), [("true", "-b y"), ("false", "-b n")])
def test_worked_example(lab: Lab, bids: str, expected: str):
    """The scan-to-NIfTI command of the Container Service's image resolves as documented."""
    document = {**WORKED_EXAMPLE, "version": lab.project}
    session = lab.session(scans=SCANS)
    root = f"/archive/experiments/{session}/scans/2"

    number = lab.launch(lab.admin, lab.command(document), root, name="scan", bids=bids)

    assert lab.end(lab.admin, number)[0] == "Complete"
    (container,) = lab.containers(lab.admin, number)
    words = container["command-line"]
    assert words.startswith(f"true dcm2niix {expected} -o /output /input;")
    assert lab.read(f"/data/experiments/{session}/scans/2", "NIFTI/x") == b""
    source = {each["name"]: each["xnat-host-path"] for each in container["mounts"]}
    assert source["dicom-in"].endswith("/arc001/E1/SCANS/2/DICOM")


def test_matcher_of_the_root_refuses_others(lab: Lab):
    """A root that the external input's matcher does not accept fails at resolution."""
    document = {**WORKED_EXAMPLE, "version": lab.project}
    session = lab.session(scans=SCANS)
    root = f"/archive/experiments/{session}/scans/3"

    number = lab.launch(lab.admin, lab.command(document), root, name="scan")

    assert lab.end(lab.admin, number)[0] == "Failed (Command resolution)"


def test_chain_down_and_up(lab: Lab):
    """Values are derived from scan to session, subject and project, and down to a file."""
    document = printing(
        {"s": {}, "p": {}, "t": {}, "f": {}},
        derived("session", "root", "Session"),
        derived("subject", "session", "Subject"),
        derived("project", "subject", "Project"),
        derived("resource", "root", "Resource", matcher="@.label == 'NIFTI'"),
        derived("file", "resource", "File", matcher=r"@.name =~ /.*\.nii/"),
        derived("sl", "subject", "string", "s", **{"derived-from-xnat-object-property": "label"}),
        derived("pi", "project", "string", "p", **{"derived-from-xnat-object-property": "id"}),
        derived("st", "root", "string", "t", **{"derived-from-xnat-object-property": "scan-type"}),
        derived("fn", "file", "string", "f", **{"derived-from-xnat-object-property": "name"}),
        root="Scan",
    )
    session = lab.session(scans=SCANS)

    found = line(lab, document, f"/archive/experiments/{session}/scans/1")

    assert found == f"'s=S1' 'p={lab.project}' 't=T1w' 'f=t1.nii'"


def test_several_matches_need_a_choice(lab: Lab):
    """An input that fits more than once is unresolved until the launch names one."""
    document = printing({"v": {}}, derived("scan", "root", "Scan", "v"))
    session = lab.session(scans=SCANS)

    reason = refusal(lab, document, session)

    assert "scan" in reason
    assert "More than one" in reason


@pytest.mark.parametrize(
    "choice", ["2", "/archive/experiments/{E}/scans/2", "/experiments/{E}/scans/2"]
)
def test_launch_value_of_a_derived_input(lab: Lab, choice: str):
    """The launch may name a child by its ID or its address."""
    document = printing({"v": {}}, derived("scan", "root", "Scan", "v"))
    session = lab.session(scans=SCANS)

    found = line(lab, document, session, scan=choice.format(E=session))

    assert found == f"'v=/archive/experiments/{session}/scans/2'"


def test_launch_value_that_names_no_child_is_refused(lab: Lab):
    """A launch value for a derived input must be one of the parent's children."""
    document = printing({"v": {}}, derived("scan", "root", "Scan", "v"))

    assert "names no Scan" in refusal(lab, document, lab.session(scans=SCANS), scan="9")


@pytest.mark.parametrize(
    ("delimiter", "expected"),
    [("space", "1 2"), ("comma", "1,2"), ("quoted-space", "'1 2'"), ("flag", "-s 1 -s 2")],
)
def test_multiple_keeps_all_matches(lab: Lab, delimiter: str, expected: str):
    """A multiple input gives all its matches, joined as the command input says."""
    settings: dict[str, Any] = {"multiple-delimiter": delimiter}
    if delimiter == "flag":
        settings["command-line-flag"] = "-s"
    document = printing(
        {"v": settings},
        derived(
            "scans", "root", "Scan", "v",
            multiple=True,
            matcher="'DICOM' in @.resources[*].label",
            **{"derived-from-xnat-object-property": "id"},
        ),
    )  # fmt: skip
    document["command-line"] = "echo #v#"
    session = lab.session(scans=SCANS)

    assert line(lab, document, session) == expected


def test_multiple_takes_a_choice_of_several(lab: Lab):
    """The launch may name several children as a JSON list."""
    document = printing(
        {"v": {"multiple-delimiter": "comma"}},
        derived(
            "scans", "root", "Scan", "v",
            multiple=True,
            **{"derived-from-xnat-object-property": "id"},
        ),
    )  # fmt: skip
    session = lab.session(scans=SCANS)

    assert line(lab, document, session, scans='["1", "3"]') == "'v=1,3'"


def test_matcher_may_use_another_inputs_value(lab: Lab):
    """A replacement key in a matcher stands for the value found before."""
    document = printing(
        {"v": {}},
        derived("kind", "root", "string", **{"derived-from-xnat-object-property": "label"}),
        derived(
            "scan", "root", "Scan", "v",
            matcher="@.scan-type == '#wanted#'",
        ),
    )  # fmt: skip
    document["xnat"][0]["external-inputs"].append(
        {"name": "wanted", "type": "string", "default-value": "T1w"}
    )
    session = lab.session(scans=SCANS)

    assert line(lab, document, session) == f"'v=/archive/experiments/{session}/scans/1'"


def test_parser_takes_a_part_of_a_property(lab: Lab):
    """A parser keeps what its group matches of the property."""
    document = printing(
        {"v": {}},
        derived(
            "part", "root", "string", "v",
            parser="E([0-9]+)",
            **{"derived-from-xnat-object-property": "label"},
        ),
    )  # fmt: skip

    assert line(lab, document, lab.session("E17")) == "'v=17'"


def test_defaults_and_launch_values(lab: Lab):
    """A launch value goes over the default, and a default over nothing."""
    document = printing({"a": {"default-value": "x"}, "b": {"default-value": 3}, "c": {}})
    session = lab.session()

    assert line(lab, document, session, a="y") == "'a=y' 'b=3' 'c='"


def test_value_that_may_not_be_set_is_ignored(lab: Lab):
    """A launch value for an input that people may not set changes nothing."""
    document = printing(
        {"v": {}},
        derived(
            "label", "root", "string", "v",
            **{"user-settable": False, "derived-from-xnat-object-property": "label"},
        ),
    )  # fmt: skip

    assert line(lab, document, lab.session(), label="other") == "'v=E1'"


def test_configuration_sets_defaults_and_locks(lab: Lab):
    """A project's configuration changes a default and can shut out launch values."""
    document = {**printing({"v": {"default-value": "own"}}), "version": lab.project}
    wrapper, session = lab.command(document), lab.session()
    config = {"inputs": {"v": {"default-value": "project", "user-settable": False}}}
    path = f"{lab.url}/xapi/projects/{lab.project}/wrappers/{wrapper}/config"
    assert lab.admin.http.post(path, json=config).status_code == 201

    number = lab.launch(lab.admin, wrapper, session, v="launch")

    assert lab.end(lab.admin, number)[0] == "Complete"
    assert lab.log(lab.admin, number) == "v=project\n"


def test_required_value_is_missing(lab: Lab):
    """A required command input without value and default fails at resolution, by its name."""
    document = printing({"needed": {"required": True}})

    assert "needed" in refusal(lab, document, lab.session())


@pytest.mark.parametrize("value", ["a;b", "a&&b", "a||b", "a`b`", "$(b)"])
def test_dangerous_values_are_refused(lab: Lab, value: str):
    """A value with a shell's own signs is refused, and not repeated in the answer."""
    reason = refusal(lab, printing({"v": {}}), lab.session(), v=value)

    assert "v" in reason
    assert value not in reason


def test_optional_input_that_finds_nothing(lab: Lab):
    """An optional derived input without a match leaves its key empty."""
    document = printing(
        {"v": {}},
        derived("scan", "root", "Scan", "v", matcher="@.id == '9'", required=False),
    )

    assert line(lab, document, lab.session(scans=SCANS)) == "'v='"


def test_optional_root_may_be_left_out(lab: Lab):
    """A launch without its optional root runs without it."""
    document = {**printing({"v": {"default-value": "x"}}, required=False), "version": lab.project}
    wrapper = lab.command(document)
    path = f"{lab.url}/xapi/projects/{lab.project}/wrappers/{wrapper}/launch"

    answer = lab.admin.http.post(path, json={})

    assert lab.end(lab.admin, answer.json()["workflow-id"])[0] == "Complete"


@pytest.mark.parametrize("kind", ["boolean", "number", "Config"])
def test_kinds_that_the_service_never_derives(lab: Lab, kind: str):
    """Derived booleans, numbers and configurations resolve to nothing, as in the service."""
    more = {"derived-from-xnat-object-property": "label"}
    document = printing({"v": {}}, derived("d", "root", kind, "v", required=False, **more))

    assert line(lab, document, lab.session()) == "'v='"


def test_broken_matcher_fails_the_launch(lab: Lab):
    """A matcher that is no JSONPath is told as such."""
    document = printing({"v": {}}, derived("scan", "root", "Scan", "v", matcher="@.id == '"))

    assert "not a JSONPath filter" in refusal(lab, document, lab.session(scans=SCANS))


def test_subject_and_project_roots(lab: Lab):
    """Subjects and projects can be roots, and their sessions are found below them."""
    session = lab.session()
    below = [
        derived("session", "root", "Session"),
        derived("label", "session", "string", "v", **{"derived-from-xnat-object-property": "id"}),
    ]

    from_subject = printing({"v": {}}, *below, root="Subject")

    subject = f"/archive/projects/{lab.project}/subjects/S1"
    assert line(lab, from_subject, subject) == f"'v={session}'"


def test_assessor_roots(lab: Lab):
    """An assessor can be named below its session or by itself."""
    session = lab.session()
    base = f"/data/experiments/{session}/assessors"
    made = lab.put(f"{base}/QC1?xsiType=xnat:qcManualAssessorData").text
    document = {
        **printing(
            {"v": {}},
            derived("l", "root", "string", "v", **{"derived-from-xnat-object-property": "label"}),
            root="Assessor",
        ),
        "version": lab.project,
    }
    wrapper = lab.command(document)

    for root in (
        f"/archive/experiments/{session}/assessors/{made}",
        f"/archive/experiments/{session}/assessors/QC1",
        f"/archive/experiments/{made}",
    ):
        number = lab.launch(lab.admin, wrapper, root)
        assert lab.end(lab.admin, number)[0] == "Complete"
        assert lab.log(lab.admin, number) == "v=QC1\n"


def test_raw_values_in_other_templates(lab: Lab):
    """Replacement keys work in environment variables and output labels too."""
    document = printing({"v": {"default-value": "word", "command-line-flag": "-f"}})
    document["command-line"] = 'echo "$NAME" > /out/x'
    document["environment-variables"] = {"NAME": "is #v#"}
    document["mounts"] = [{"name": "out", "path": "/out", "writable": True}]
    document["outputs"] = [{"name": "o", "mount": "out"}]
    document["xnat"][0]["output-handlers"] = [
        {"name": "h", "accepts-command-output": "o", "as-a-child-of": "root", "label": "R_#v#"}
    ]
    document["version"] = lab.project
    session = lab.session()

    assert lab.run(lab.admin, lab.command(document), session)[0] == "Complete"
    assert lab.read(f"/data/experiments/{session}", "R_word/x") == b"is word\n"


def test_sensitive_values_are_masked(lab: Lab):
    """The value of a sensitive input is not shown among a container's inputs."""
    document = {**printing({"key": {"sensitive": True}}), "version": lab.project}
    document["command-line"] = "true"

    number = lab.launch(lab.admin, lab.command(document), lab.session(), key="open-sesame")

    lab.end(lab.admin, number)
    inputs = lab.containers(lab.admin, number)[0]["inputs"]
    assert {each["value"] for each in inputs if each["name"] == "key"} == {"******"}
