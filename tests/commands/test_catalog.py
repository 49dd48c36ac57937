"""The catalogue and the definitions in it."""

from __future__ import annotations

from pathlib import Path

import pytest

import commands as package
from commands import (
    CATALOG,
    Command,
    UnknownCommandError,
    WrapperInputType,
    find,
    parse,
    resolve_command_line,
    split_command_line,
    validate,
)
from commands.catalog import commands


def test_every_command_is_found_by_its_name():
    """Names are unique and lead to their commands."""
    assert [find(command.name) for command in commands()] == list(CATALOG)


def test_unknown_name_is_answered_with_the_known_ones():
    """The error for an unknown name lists what there is."""
    with pytest.raises(UnknownCommandError, match="dicom-to-bids"):
        find("dicom-to-bid")


def test_every_definition_module_is_in_the_catalogue():
    """A module that defines a command cannot be forgotten in the catalogue."""
    folder = Path(package.__file__ or "").parent
    defining = {
        path.stem for path in folder.glob("*.py") if "\nCOMMAND = own_command(" in path.read_text()
    }

    assert {command.name.replace("-", "_") for command in CATALOG} == defining


@pytest.mark.parametrize("command", CATALOG, ids=lambda command: command.name)
def test_commands_break_no_rule(command: Command):
    """The service would accept every command of the catalogue."""
    assert validate(command) == ()


def test_conversion_takes_a_session_and_its_labels():
    """The BIDS conversion mounts one session and gets both labels from XNAT, not from headers."""
    wrapper = find("dicom-to-bids").wrappers[0]
    external = wrapper.external_inputs

    feeding = {
        each.provides_value_for_command_input: (
            each.derived_from_wrapper_input,
            each.derived_from_xnat_object_property,
        )
        for each in wrapper.derived_inputs
        if each.provides_value_for_command_input
    }

    assert wrapper.contexts == ("xnat:imageSessionData",)
    assert [(each.type, each.provides_files_for_command_mount) for each in external] == [
        (WrapperInputType.SESSION, "input")
    ]
    assert feeding == {
        "subject-label": ("subject", "label"),
        "session-label": ("session", "label"),
        "map": ("map-resource", "name"),
    }
    assert {each.label: each.as_a_child_of for each in wrapper.output_handlers} == {
        "BIDS": "session",
        "BIDS_REPORT": "session",
    }


def test_conversion_line_is_what_its_program_reads():
    """The line of a launch with labels reads back as these labels, by hand-written values."""
    command = find("dicom-to-bids")

    line = resolve_command_line(
        command, {"subject-label": "S 01", "session-label": "S01_MR1", "allow-invalid": "true"}
    )

    assert line == (
        "dicom-to-bids /input /output '--subject-label=S 01' '--session-label=S01_MR1' "
        "'' '--allow-invalid'"
    )
    assert parse(command, split_command_line(line)).values == {
        "subject-label": "S 01",
        "session-label": "S01_MR1",
        "map": None,
        "allow-invalid": True,
    }


def test_conversion_gets_the_projects_map_as_a_file():
    """The name of the project's map becomes a path below the folder that holds it."""
    command = find("dicom-to-bids")
    derived = {each.name: each for each in command.wrappers[0].derived_inputs}

    line = resolve_command_line(command, {"map": "bidsmap.json"})

    assert parse(command, split_command_line(line)).values["map"] == "/map/bidsmap.json"
    assert ("map", "/map", False) in [
        (each.name, each.path, each.writable) for each in command.mounts
    ]
    assert derived["map-resource"].provides_files_for_command_mount == "map"
    assert not any(derived[name].required for name in ("project", "map-resource", "map-file")), (
        "a project without a map is converted, too"
    )


def test_every_output_is_kept_under_the_object_of_the_launch():
    """Each handler is named after its output and hangs on the wrapper's one external input."""
    for command in CATALOG:
        outputs = {each.name for each in command.outputs}
        for wrapper in command.wrappers:
            (root,) = wrapper.external_inputs
            handled = {each.accepts_command_output: each for each in wrapper.output_handlers}
            assert set(handled) == outputs, wrapper.name
            for output, handler in handled.items():
                assert handler.name == f"{output}-resource"
                assert handler.as_a_child_of == root.name


@pytest.mark.parametrize("first", ["dicom-to-bids", "eeg-to-bids"])
def test_quality_may_follow_a_conversion(first: str):
    """The service asks for a data type that both wrappers name, not one that covers the other."""
    before, after = find(first).wrappers[0], find("winqc").wrappers[0]

    assert set(before.contexts) & set(after.contexts)
    assert after.name == "winqc-session"
