"""The rules of the Container Service, one row each."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from commands import CommandDefinitionError, command_from_json

Document = dict[str, Any]

SOUND: Document = {
    "name": "it",
    "image": "lab/it:1",
    "command-line": "it #a# /in /out",
    "mounts": [{"name": "in", "path": "/in"}, {"name": "out", "path": "/out"}],
    "inputs": [{"name": "a"}, {"name": "b"}],
    "outputs": [{"name": "o", "mount": "out"}],
    "xnat": [
        {
            "name": "w",
            "external-inputs": [
                {"name": "session", "type": "Session", "provides-files-for-command-mount": "in"}
            ],
            "derived-inputs": [
                {"name": "subject", "type": "Subject", "derived-from-wrapper-input": "session"},
                {
                    "name": "label",
                    "derived-from-wrapper-input": "subject",
                    "derived-from-xnat-object-property": "label",
                    "provides-value-for-command-input": "a",
                },
            ],
            "output-handlers": [
                {
                    "name": "h",
                    "accepts-command-output": "o",
                    "as-a-child-of": "session",
                    "label": "R",
                }
            ],
        }
    ],
}


def put(*path: str | int, to: object) -> Callable[[Document], None]:
    """Return a change that sets what stands at a path."""

    def change(document: Document) -> None:
        target: Any = document
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = to

    return change


def add(*path: str | int, item: object) -> Callable[[Document], None]:
    """Return a change that appends an item to the list at a path."""

    def change(document: Document) -> None:
        target: Any = document
        for step in path:
            target = target[step]
        target.append(item)

    return change


W: tuple[str, int] = ("xnat", 0)
MULTIPLE = {
    "name": "scans",
    "type": "Scan",
    "multiple": True,
    "derived-from-wrapper-input": "session",
    "derived-from-xnat-object-property": "id",
    "provides-value-for-command-input": "b",
}

RULES: list[tuple[str, Callable[[Document], None], str]] = [
    ("blank command name", put("name", to=" "), "The command has no name"),
    ("blank image", put("image", to=""), "the image name is blank"),
    ("image with a line break", put("image", to="a\nb:1"), "has no version tag"),
    ("line too long", put("command-line", to="x" * 2049), "2049 characters"),
    ("unknown command type", put("type", to="podman"), '"podman" is not known'),
    ("unknown visibility", put("visibility", to="secret"), '"secret" is not known'),
    ("mount without name", put("mounts", 0, "name", to=""), "a mount has no name"),
    ("mount without path", put("mounts", 0, "path", to=" "), 'path of mount "in" is blank'),
    ("mount twice", add("mounts", item={"name": "in", "path": "/x"}), 'mount name "in" is not'),
    ("input without name", put("inputs", 1, "name", to=""), "an input has no name"),
    ("input name", put("inputs", 1, "name", to="a b"), 'name of input "a b" has characters'),
    ("input name with accent", put("inputs", 1, "name", to="é"), 'name of input "é" has'),
    ("input twice", add("inputs", item={"name": "a"}), 'the input name "a" is not unique'),
    ("input type", put("inputs", 1, "type", to="date"), '"date" is not known'),
    ("delimiter", put("inputs", 1, "multiple-delimiter", to="tab"), '"tab" is not known'),
    ("select without values", put("inputs", 1, "type", to="select-one"), "has no select-values"),
    ("values without select", put("inputs", 1, "select-values", to=["x"]), "is of type string"),
    (
        "default not selectable",
        put(
            "inputs",
            1,
            to={"name": "b", "type": "select-one", "select-values": ["x"], "default-value": "y"},
        ),
        "is not one of its select-values",
    ),
    (
        "one of several defaults not selectable",
        put(
            "inputs",
            1,
            to={
                "name": "b",
                "type": "select-many",
                "select-values": ["x", "z"],
                "default-value": '["x","y"]',
            },
        ),
        "is not one of its select-values",
    ),
    ("output without name", put("outputs", 0, "name", to=""), "an output has no name"),
    ("output name", put("outputs", 0, "name", to="o/"), 'name of output "o/" has characters'),
    ("output twice", add("outputs", item={"name": "o", "mount": "in"}), 'output name "o" is not'),
    ("output without mount", put("outputs", 0, "mount", to=None), "unknown mount"),
    ("output of unknown mount", put("outputs", 0, "mount", to="x"), 'unknown mount "x"'),
    ("wrapper without name", put(*W, "name", to=""), "a wrapper has no name"),
    ("wrapper twice", lambda d: d["xnat"].append(d["xnat"][0]), 'wrapper name "w" is not unique'),
    ("wrapper input name", put(*W, "external-inputs", 0, "name", to="a.b"), "has characters"),
    (
        "wrapper input twice",
        put(*W, "derived-inputs", 0, "name", to="session"),
        'the wrapper input name "session" is not unique',
    ),
    ("wrapper input type", put(*W, "external-inputs", 0, "type", to="Visit"), "is not known"),
    ("no parent", put(*W, "derived-inputs", 0, "derived-from-wrapper-input", to=None), "names no"),
    (
        "parent unknown",
        put(*W, "derived-inputs", 0, "derived-from-wrapper-input", to="scan"),
        'the unknown input "scan"',
    ),
    (
        "parent declared later",
        put(*W, "derived-inputs", 0, "derived-from-wrapper-input", to="label"),
        "which must stand before it",
    ),
    (
        "own parent",
        put(*W, "derived-inputs", 0, "derived-from-wrapper-input", to="subject"),
        "is derived from itself",
    ),
    (
        "a step that the hierarchy does not have",
        put(*W, "derived-inputs", 0, "type", to="File"),
        'of type File cannot be derived from "session" of type Session',
    ),
    (
        "derived from a plain value",
        put(*W, "external-inputs", 0, "type", to="string"),
        "cannot be derived from",
    ),
    (
        "set-up command without mount",
        put(*W, "derived-inputs", 0, "via-setup-command", to="lab/s:1"),
        "names a via-setup-command",
    ),
    (
        "value for an unknown input",
        put(*W, "derived-inputs", 1, "provides-value-for-command-input", to="z"),
        'the unknown input "z"',
    ),
    (
        "files for an unknown mount",
        put(*W, "external-inputs", 0, "provides-files-for-command-mount", to="z"),
        'the unknown mount "z"',
    ),
    (
        "input fed twice",
        put(*W, "derived-inputs", 0, "provides-value-for-command-input", to="a"),
        'the input "a" is provided for by 2',
    ),
    (
        "mount fed twice",
        put(*W, "derived-inputs", 0, "provides-files-for-command-mount", to="in"),
        'the mount "in" is provided for by 2',
    ),
    (
        "select fed by a wrapper",
        put("inputs", 0, to={"name": "a", "type": "select-one", "select-values": ["x"]}),
        "must not be of a select type",
    ),
    (
        "multiple without command input",
        add(*W, "derived-inputs", item={**MULTIPLE, "provides-value-for-command-input": None}),
        "must provide a value for a command input",
    ),
    (
        "multiple with mount",
        add(*W, "derived-inputs", item={**MULTIPLE, "provides-files-for-command-mount": "out"}),
        "cannot provide files for a mount",
    ),
    (
        "handler below multiple",
        lambda d: (
            d["xnat"][0]["derived-inputs"].append(
                {**MULTIPLE, "derived-from-xnat-object-property": None}
            ),
            d["xnat"][0]["output-handlers"][0].update({"as-a-child-of": "scans"}),
        )[-1],
        'is a child of "scans", which is multiple',
    ),
    ("handler without name", put(*W, "output-handlers", 0, "name", to=""), "has no name"),
    ("handler name", put(*W, "output-handlers", 0, "name", to="h:1"), "has characters"),
    (
        "handler twice",
        lambda d: d["xnat"][0]["output-handlers"].append(d["xnat"][0]["output-handlers"][0]),
        'the output handler name "h" is not unique',
    ),
    (
        "handler of an unknown output",
        put(*W, "output-handlers", 0, "accepts-command-output", to="p"),
        'the unknown command output "p"',
    ),
    (
        "handler without target",
        put(*W, "output-handlers", 0, "as-a-child-of", to=None),
        "neither a wrapper input nor an earlier output handler",
    ),
    (
        "handler with a target declared later",
        put(
            *W,
            "output-handlers",
            to=[
                {"name": "h", "accepts-command-output": "o", "as-a-child-of": "x", "label": "R"},
                {
                    "name": "x",
                    "accepts-command-output": "o",
                    "as-a-child-of": "session",
                    "type": "Assessor",
                },
            ],
        ),
        "neither a wrapper input nor an earlier output handler",
    ),
    (
        "handler below a property",
        put(*W, "output-handlers", 0, "as-a-child-of", to="label"),
        'whose value is "label"',
    ),
    ("handler type", put(*W, "output-handlers", 0, "type", to="Subject"), "is not known"),
    ("resource without label", put(*W, "output-handlers", 0, "label", to=""), "needs a label"),
    (
        "resource below a resource",
        add(
            *W,
            "output-handlers",
            item={"name": "i", "accepts-command-output": "o", "as-a-child-of": "h", "label": "R"},
        ),
        "only a Resource under an Assessor or Scan can",
    ),
    (
        "assessor below an assessor",
        put(
            *W,
            "output-handlers",
            to=[
                {
                    "name": "h",
                    "accepts-command-output": "o",
                    "as-a-child-of": "session",
                    "type": "Assessor",
                },
                {
                    "name": "i",
                    "accepts-command-output": "o",
                    "as-a-child-of": "h",
                    "type": "Assessor",
                },
            ],
        ),
        "only a Resource under an Assessor or Scan can",
    ),
    ("unhandled output", put(*W, "output-handlers", to=[]), "is handled by no output handler"),
    (
        "output not handled in one of two wrappers",
        add("xnat", item={"name": "second"}),
        'wrapper "second" - command output "o" is handled by no output handler',
    ),
    ("ulimit with three parts", put("ulimits", to={"nofile": "1:2:3"}), 'ulimit "nofile"'),
    ("empty ulimit", put("ulimits", to={"nofile": ""}), 'ulimit "nofile"'),
    (
        "reserved secret",
        put("secrets", to=[{"source": {}, "destination": {"identifier": "XNAT_PASS"}}]),
        '"XNAT_PASS", which the service sets itself',
    ),
    (
        "secret without destination",
        put("secrets", to=[{"source": {}, "destination": {}}]),
        "has no destination identifier",
    ),
]


def test_the_sound_document_breaks_no_rule():
    """The document that every row below changes is accepted, so a refusal is the row's."""
    assert command_from_json(SOUND).name == "it"


@pytest.mark.parametrize(("change", "part"), [row[1:] for row in RULES], ids=[r[0] for r in RULES])
def test_a_document_that_breaks_a_rule_is_refused(change: Callable[[Document], None], part: str):
    """Each rule, broken alone in a sound document, is among the errors."""
    document = copy.deepcopy(SOUND)
    change(document)

    with pytest.raises(CommandDefinitionError) as caught:
        command_from_json(document)

    assert any(part in error for error in caught.value.errors), caught.value.errors


@pytest.mark.parametrize("kind", ["docker-setup", "docker-wrapup"])
@pytest.mark.parametrize(
    ("key", "content"),
    [
        ("mounts", [{"name": "m", "path": "/m"}]),
        ("inputs", [{"name": "i"}]),
        ("outputs", [{"name": "o", "mount": "m"}]),
        ("xnat", [{"name": "w"}]),
        ("environment-variables", {"A": "b"}),
        ("ports", {"80": "8080"}),
        ("secrets", [{"source": {}, "destination": {"identifier": "KEY"}}]),
    ],
)
def test_set_up_and_wrap_up_commands_are_bare(kind: str, key: str, content: object):
    """A set-up or wrap-up command has a command line only."""
    bare = {"name": "s", "image": "lab/s:1", "type": kind, "command-line": "s /input /output"}
    assert command_from_json(bare).command_line == "s /input /output"

    with pytest.raises(CommandDefinitionError) as caught:
        command_from_json({**bare, key: content})

    assert len(caught.value.errors) == 1


def test_longest_command_line_is_accepted():
    """2048 characters are as many as the service stores."""
    document = {"name": "s", "image": "lab/s:1", "command-line": "x" * 2048}

    assert len(command_from_json(document).command_line or "") == 2048


def test_resource_below_assessor_or_scan_is_accepted():
    """A handler may put a resource below what an earlier handler created."""
    for kind in ("Assessor", "Scan"):
        document = copy.deepcopy(SOUND)
        document["xnat"][0]["output-handlers"] = [
            {
                "name": "made",
                "accepts-command-output": "o",
                "as-a-child-of": "session",
                "type": kind,
            },
            {
                "name": "files",
                "accepts-command-output": "o",
                "as-a-child-of": "made",
                "label": "R",
            },
        ]

        assert len(command_from_json(document).wrappers[0].output_handlers) == 2


def test_all_faults_of_a_document_are_reported_at_once():
    """Faults in different parts of one document are all in one error."""
    document = copy.deepcopy(SOUND)
    document["name"] = ""
    document["mounts"][0]["path"] = ""
    document["outputs"][0]["mount"] = "nowhere"
    document["ulimits"] = {"nofile": ":"}
    document["xnat"][0]["output-handlers"] = []

    with pytest.raises(CommandDefinitionError) as caught:
        command_from_json(document)

    assert len(caught.value.errors) == 5
