"""The rule by which the project's own commands are written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from commands import (
    CATALOG,
    Command,
    CommandDefinitionError,
    CommandInput,
    CommandInputType,
    IllegalInputValueError,
    Mount,
    check_own_value,
    command_from_text,
    distribution_version,
    label_text,
    own_command,
    parse,
    resolve_command_line,
    split_command_line,
    typed_value,
)
from commands.authoring import file_mount
from tests.commands.strategies import hostile_texts, sample_command, untimed

SAMPLE = sample_command()
INPUTS = {each.name: each for each in SAMPLE.inputs}
LAUNCHED: Command = command_from_text(label_text(SAMPLE)[1:-1])


def arrived(values: dict[str, str]) -> dict[str, object]:
    """Return what the program in the image reads after a launch with these values."""
    line = resolve_command_line(LAUNCHED, values)
    return dict(parse(SAMPLE, split_command_line(line)).values)


def small(*inputs: CommandInput, file_mounts: tuple[Mount, ...] = ()) -> Command:
    return own_command(
        "small",
        label="Small",
        description="Small.",
        inputs=inputs,
        wrappers=(),
        file_mounts=file_mounts,
        reserve_memory=1,
        limit_memory=1,
    )


@given(st.fixed_dictionaries({"alpha": hostile_texts, "beta": hostile_texts}))
@example({"alpha": "a b", "beta": '"quoted" \\ $HOME [KEY] é'})
@example({"alpha": "", "beta": ""})
@example({"alpha": "--", "beta": "--"})
@example({"alpha": "x #beta# y", "beta": "it's"})
@example({"alpha": "line\nbreak", "beta": "-n --size=3"})
@settings(untimed, max_examples=400)
def test_text_arrives_unchanged_or_is_refused(values: dict[str, str]):
    """A launch value is refused beforehand, or arrives in the program letter by letter."""
    try:
        for name, value in values.items():
            check_own_value(SAMPLE, name, value)
    except IllegalInputValueError:
        return

    found = arrived(values)

    assert found["alpha"] == (values["alpha"] or None)
    assert found["beta"] == (values["beta"] or "middle")


@pytest.mark.parametrize(
    "value",
    [
        "two words",
        'double "quotes"',
        "$HOME ${HOME}",
        "back\\slash \\n \\",
        "[KEY]",
        "#other#",
        "accents é ü 中",
        "-",
        "--beta=x",
        "a=b",
        "a & b | c > d < e * ? ~ ! { } )",
        "^",
        "%s 100 %",
        "\u00a0x\u2028y",
        "",
    ],
)
def test_ordinary_text_is_not_refused(value: str):
    """Text that the quotes protect is accepted and arrives."""
    check_own_value(SAMPLE, "alpha", value)

    assert arrived({"alpha": value})["alpha"] == (value or None)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("it's", "a single quote"),
        ("a\nb", "a control character (U+000A)"),
        ("a\tb", "a control character (U+0009)"),
        ("a\0b", "a control character (U+0000)"),
        ("\x7f", "a control character (U+007F)"),
        ("\ud800", "half of a surrogate pair"),
        ("see #beta#", '"#beta#", which stands for another value'),
        ("#alpha#", '"#alpha#", which stands for another value'),
        ("^$.name^", "two ^ signs"),
        ("   ", "white space only"),
        ("a;b", '";", which the Container Service refuses'),
        ("a&&b", '"&&"'),
        ("a||b", '"||"'),
        ("a`b", '"`"'),
        ("f(x", '"("'),
    ],
)
def test_text_that_would_change_is_refused_without_being_shown(value: str, part: str):
    """What would not arrive is refused with the reason; the rest of the value is not shown."""
    with pytest.raises(IllegalInputValueError) as caught:
        check_own_value(SAMPLE, "alpha", f"{value}" if value.isspace() else f"Jane{value}")

    assert part in str(caught.value)
    assert "alpha" in str(caught.value)
    assert "Jane" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "3"),
        ("size", "-1.5e3"),
        ("strict", "false"),
        ("strict", "True"),
        ("mode", "best of all"),
        ("parts", "head"),
        ("parts", '["head","leg"]'),
        ("parts", '["head"]'),
    ],
)
def test_typed_values_arrive(name: str, value: str):
    """Values of every type come through the line of the service as what they stand for."""
    plain = value.translate({ord(each): None for each in '[]"'})

    check_own_value(SAMPLE, name, value)

    assert arrived({name: value})[name] == typed_value(INPUTS[name], plain)


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("size", "Jane", "expected a number"),
        ("strict", "Jane", "expected true or false"),
        ("mode", "Jane", "expected one of: fast, best of all"),
        ("parts", '["head","Jane"]', "expected one of: head, neck, leg"),
        ("gamma", "Jane", "has no such input. Its inputs: alpha, beta"),
    ],
)
def test_values_of_a_wrong_type_are_refused_without_being_shown(name: str, value: str, part: str):
    """A value that is not of the input's type is refused before the launch."""
    with pytest.raises(IllegalInputValueError) as caught:
        check_own_value(SAMPLE, name, value)

    assert part in str(caught.value)
    assert "Jane" not in str(caught.value)


@pytest.mark.parametrize("command", [SAMPLE, *CATALOG], ids=lambda command: command.name)
def test_own_commands_have_the_common_parts(command: Command):
    """Mounts, network, report, image and version are the same in all own commands."""
    version = distribution_version()

    assert [(each.name, each.path, each.writable) for each in command.mounts[:2]] == [
        ("input", "/input", False),
        ("output", "/output", True),
    ]
    assert not any(each.writable for each in command.mounts[2:])
    assert command.network == "none"
    assert command.image == f"winxnat/{command.name}:{version}"
    assert command.version == version
    assert not command.override_entrypoint
    assert ("report", "output", "report") in [
        (each.name, each.mount, each.path) for each in command.outputs
    ]
    assert split_command_line(command.command_line or "") == [
        command.name,
        "/input",
        "/output",
        *(f"#{each.name}#" for each in command.inputs),
    ]


@pytest.mark.parametrize(
    ("each", "part"),
    [
        (CommandInput("a", command_line_flag="-a"), "sets what is made from its name"),
        (CommandInput("a", replacement_key="[A]"), "sets what is made from its name"),
        (CommandInput("no-a"), "clashes with an option"),
        (CommandInput("help"), "clashes with an option"),
        (CommandInput("a", type=CommandInputType.BOOLEAN), "needs a default value"),
        (
            CommandInput("a", type=CommandInputType.SELECT_MANY, select_values=("x,y",)),
            "a select-value with a comma",
        ),
        (CommandInput("a b"), "has characters other than"),
    ],
)
def test_definitions_that_break_the_rule_are_refused(each: CommandInput, part: str):
    """An own command whose input could not be carried by its option is no command."""
    with pytest.raises(CommandDefinitionError, match=part):
        small(each)


def test_an_input_without_anything_special_is_accepted():
    """The smallest input makes a command, so the refusals above are those of their rows."""
    assert small(replace(CommandInput("a"), label="A")).inputs[0].command_line_flag == "--a"


def test_a_file_input_becomes_a_path_below_its_mount():
    """The launch names a file of the mounted folder; the program reads the whole path."""
    command = small(CommandInput("table"), file_mounts=(Mount("table", "/side"),))

    line = resolve_command_line(command, {"table": "groups.tsv"})

    assert parse(command, split_command_line(line)).values["table"] == "/side/groups.tsv"
    assert file_mount(command, "table") == Mount("table", "/side")
    assert file_mount(command, "input") is None


@pytest.mark.parametrize(
    "mount", [Mount("other", "/side"), Mount("table", "/side", writable=True)], ids=str
)
def test_a_file_mount_needs_its_input_and_is_read_only(mount: Mount):
    """A mount without an input of its name, or one that can be written, is refused."""
    with pytest.raises(CommandDefinitionError, match="is for a file"):
        small(CommandInput("table"), file_mounts=(mount,))
