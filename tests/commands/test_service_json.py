"""Command documents to definitions and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from commands import (
    Command,
    CommandDefinitionError,
    command_from_json,
    command_from_text,
    command_to_json,
    label_text,
    unknown_keys,
    validate,
)
from tests.commands.strategies import commands, sample_command, untimed

DOCUMENTS = sorted((Path(__file__).parent / "documents").glob("*.json"))
MINIMAL = {"name": "it", "image": "lab/it:1"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_documents_of_others_load_and_lose_nothing(path: Path):
    """A document by other authors loads, breaks no rule, has no unknown key and survives."""
    text = path.read_text()

    command = command_from_text(text)

    assert validate(command) == ()
    assert unknown_keys(json.loads(text)) == ()
    assert command_from_json(command_to_json(command)) == command
    assert command_from_json(command_to_json(command, creation=True)) == command
    assert command_from_json(command_to_json(command, complete=True)) == command


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_key_of_a_document_is_kept(path: Path):
    """What a document sets to other than a default stands in the written document too."""
    given_document = json.loads(path.read_text())

    written = command_to_json(command_from_json(given_document), complete=True)

    assert _missing(given_document, written) == []


def _missing(wanted: object, found: object, path: str = "$") -> list[str]:
    renamed = {"ipcMode": "ipc-mode", "as-a-child-of-wrapper-input": "as-a-child-of"}
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            fault
            for key, value in wanted.items()
            for fault in _missing(value, found.get(renamed.get(key, key)), f"{path}.{key}")
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [
            fault
            for index, (one, other) in enumerate(zip(wanted, found, strict=True))
            for fault in _missing(one, other, f"{path}[{index}]")
        ]
    same = wanted == found or str(wanted).lower() == str(found).lower()
    untagged = isinstance(found, str) and found == f"{wanted}:latest"
    return [] if same or untagged else [path]


@given(commands())
@settings(untimed, max_examples=150)
def test_any_command_survives_the_way_through_json(command: Command):
    """A definition written as JSON text and read again is the same definition."""
    for creation in (False, True):
        text = json.dumps(command_to_json(command, creation=creation))

        assert command_from_text(text) == command


def test_keys_stand_in_canonical_order_whatever_the_order_given():
    """Two documents with the same content in different order are written alike, byte by byte."""
    document = json.loads(DOCUMENTS[0].read_text())
    turned = dict(reversed(document.items()))

    texts = [json.dumps(command_to_json(command_from_json(each))) for each in (document, turned)]

    assert texts[0] == texts[1]


def test_only_what_differs_from_defaults_is_written():
    """A command with nothing but name and image is written with these two keys."""
    assert command_to_json(command_from_json(MINIMAL)) == MINIMAL


def test_complete_document_has_every_key_with_null_where_unset():
    """The complete form names keys that are not set, as the service's answers do."""
    written = command_to_json(command_from_json(MINIMAL), complete=True)

    assert written["command-line"] is None
    assert written["xnat"] == []
    assert written["type"] == "docker"


@pytest.mark.parametrize(("creation", "key"), [(True, "ipcMode"), (False, "ipc-mode")])
def test_ipc_mode_is_spelled_by_the_kind_of_document(creation: bool, key: str):  # noqa: FBT001 - a table column
    """The same field has another key in documents that create a command."""
    command = command_from_json({**MINIMAL, key: "host"})

    assert command.ipc_mode == "host"
    assert command_to_json(command, creation=creation)[key] == "host"


@pytest.mark.parametrize(
    ("image", "stored"),
    [
        ("lab/it", "lab/it:latest"),
        ("lab/it:1.0_a-b", "lab/it:1.0_a-b"),
        ("localhost:5000/it", "localhost:5000/it:latest"),
        ("localhost:5000/it:2", "localhost:5000/it:2"),
    ],
)
def test_missing_image_tag_becomes_latest(image: str, stored: str):
    """On creation an image without a tag gets the tag `latest`; a port is no tag."""
    assert command_from_json({**MINIMAL, "image": image}).image == stored


def test_given_image_replaces_that_of_the_document():
    """An image label may leave out the image; the image's own name is filled in."""
    assert command_from_json({"name": "it"}, image="lab/other:3").image == "lab/other:3"


@pytest.mark.parametrize(
    ("written", "read"), [(True, "true"), (False, "false"), (3, "3"), (0.5, "0.5"), ("x", "x")]
)
def test_default_value_may_be_any_scalar(written: object, read: str):
    """Truth values and numbers as default values are stored as text."""
    document = {**MINIMAL, "inputs": [{"name": "a", "default-value": written}]}

    assert command_from_json(document).inputs[0].default_value == read


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ["x"]}, "$.name: expected text, found a list."),
        ({"mounts": {}}, "$.mounts: expected a list, found an object."),
        ({"mounts": ["in"]}, "$.mounts[0]: expected an object, found text."),
        ({"mounts": [None]}, "$.mounts[0]: expected a value, found null."),
        ({"inputs": [{"required": 3}]}, "$.inputs[0].required: expected true or false, "),
        ({"override-entrypoint": "yes"}, "$.override-entrypoint: expected true or false, "),
        ({"limit-memory": "much"}, "$.limit-memory: expected a number, found text."),
        ({"limit-memory": 1.5}, "$.limit-memory: expected a whole number, found a number."),
        ({"limit-cpu": True}, "$.limit-cpu: expected a number, found true or false."),
        ({"ports": []}, "$.ports: expected an object, found a list."),
        ({"ports": {"80": {}}}, "$.ports.80: expected text, found an object."),
        ({"ports": {"a b": None}}, "$.ports['a b']: expected a value, found null."),
        ({"secrets": [{"source": 1}]}, "$.secrets[0].source: expected an object, found a number."),
        (
            {"xnat": [{"output-handlers": [{"tags": "x"}]}]},
            "$.xnat[0].output-handlers[0].tags: expected a list, found text.",
        ),
    ],
)
def test_wrong_json_type_is_named_with_its_path(change: dict[str, object], message: str):
    """The error of a value of a wrong type says where it stands, what was expected and found."""
    with pytest.raises(CommandDefinitionError) as caught:
        command_from_json({**MINIMAL, **change})

    assert [error for error in caught.value.errors if error.startswith(message)]


def test_all_wrong_types_are_collected():
    """One reading of a document reports all values of wrong types."""
    with pytest.raises(CommandDefinitionError) as caught:
        command_from_json({"name": {}, "image": [], "mounts": [{"path": {}}, 7]})

    assert len(caught.value.errors) == 4


def test_unknown_words_and_broken_rules_are_reported_together():
    """An unknown type does not hide the other faults of the document."""
    with pytest.raises(CommandDefinitionError) as caught:
        command_from_json({"image": "lab/it:1", "inputs": [{"name": "a", "type": "date"}]})

    assert len(caught.value.errors) == 2
    assert any('"date" is not known' in error for error in caught.value.errors)


def test_error_text_is_that_of_the_service():
    """The text of the error lists every fault on a line of its own, indented by a tab."""
    with pytest.raises(CommandDefinitionError) as caught:
        command_from_json({})

    lines = str(caught.value).split("\n")
    assert lines[0] == "Invalid command:"
    assert [line[0] for line in lines[1:]] == ["\t"] * len(caught.value.errors)
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("text", "part"),
    [("{", "line 1, column 2"), ("[]", "$: expected an object, found a list"), ("null", "null")],
)
def test_text_that_is_no_object_is_refused(text: str, part: str):
    """Text that is no JSON object leads to the same kind of error."""
    with pytest.raises(CommandDefinitionError, match=r"Invalid command:") as caught:
        command_from_text(text)

    assert part in str(caught.value)


def test_unknown_keys_are_reported_with_their_paths_and_ignored_by_reading():
    """Keys that no command has are found at every depth; ids given by the service are known."""
    document = {
        **MINIMAL,
        "id": 3,
        "imagename": "x",
        "mounts": [{"name": "in", "path": "/in", "read-only": True}],
        "xnat": [{"id": 5, "name": "w", "external-inputs": [{"name": "s", "multiple": True}]}],
    }

    assert unknown_keys(document) == (
        "$.imagename",
        "$.mounts[0].read-only",
        "$.xnat[0].external-inputs[0].multiple",
    )
    assert command_from_json(document).mounts[0].path == "/in"


def test_label_is_a_json_list_with_the_command():
    """The image label holds a JSON list from which the same command can be read."""
    command = sample_command()

    listed = json.loads(label_text(command))

    assert [command_from_json(each) for each in listed] == [command]
