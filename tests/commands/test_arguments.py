"""Argument lists of the project's own commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import (
    ArgumentsError,
    CommandInput,
    CommandInputType,
    ParameterValue,
    argv_for,
    own_command,
    parse,
    parser_for,
    typed_value,
    value_text,
)
from tests.commands.strategies import hostile_texts, sample_command, untimed

COMMAND = sample_command()
DEFAULTS = {
    "alpha": None,
    "beta": "middle",
    "size": None,
    "strict": True,
    "mode": "fast",
    "parts": None,
}


def parsed(*options: str) -> dict[str, ParameterValue]:
    return dict(parse(COMMAND, ["/in", "/out", *options]).values)


def test_folders_and_defaults():
    """Without options every input has its default, or None."""
    found = parse(COMMAND, ["sample", "/in put", "/out"])

    assert found.input_dir == Path("/in put")
    assert found.output_dir == Path("/out")
    assert found.values == DEFAULTS


def test_name_of_the_command_may_be_left_out():
    """The list after the name says the same as the list with it, also for folders called so."""
    assert parse(COMMAND, ["/in", "/out"]) == parse(COMMAND, ["sample", "/in", "/out"])
    assert parse(COMMAND, ["sample", "/out"]).input_dir == Path("sample")
    assert parse(COMMAND, ["sample", "/out", ""]).input_dir == Path("sample")


def test_empty_arguments_are_skipped():
    """Inputs without values leave empty arguments in the resolved line, which say nothing."""
    assert parse(COMMAND, ["/in", "", "/out", "", "--alpha=x", ""]).values == {
        **DEFAULTS,
        "alpha": "x",
    }


@pytest.mark.parametrize(
    ("option", "name", "value"),
    [
        ("--alpha=", "alpha", None),
        ("--beta=", "beta", "middle"),
        ("--alpha=--beta=x", "alpha", "--beta=x"),
        ("--alpha= ", "alpha", " "),
        ("--alpha=--", "alpha", "--"),
        ("--alpha=---", "alpha", "---"),
        ("--size=", "size", None),
        ("--size=3", "size", 3),
        ("--size=-3.5e-2", "size", -0.035),
        ("--strict", "strict", True),
        ("--no-strict", "strict", False),
        ("--strict=true", "strict", True),
        ("--strict=False", "strict", False),
        ("--strict=", "strict", True),
        ("--mode=best of all", "mode", "best of all"),
        ("--parts=neck,head", "parts", ("neck", "head")),
    ],
)
def test_options_are_typed(option: str, name: str, value: ParameterValue):
    """Each option gives a value of its input's type."""
    found = parsed(option)[name]

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--size=Jane"], "argument --size: expected a number"),
        (["--size=nan"], "argument --size: expected a finite number"),
        (["--mode=Jane"], "argument --mode: expected one of: fast, best of all"),
        (["--parts=head,Jane"], "argument --parts: expected one of: head, neck, leg"),
        (["--jane=Jane"], "1 arguments are not understood (--jane)"),
        (["--alph=Jane"], "1 arguments are not understood (--alph)"),
        (["Jane", "Jane"], "2 arguments too many"),
        (["--strict=Jane"], "argument --strict: expected --strict or --no-strict"),
        (["--no-strict=Jane"], "argument --strict: expected --strict or --no-strict"),
    ],
)
def test_what_does_not_fit_is_refused_without_repeating_values(options: list[str], part: str):
    """The error names the option and what was expected, never the value that was given."""
    with pytest.raises(ArgumentsError) as caught:
        parsed(*options)

    assert part in str(caught.value)
    assert "Jane" not in str(caught.value)
    assert str(caught.value).startswith("Cannot start winxnat-step sample: ")


def test_missing_folders_and_required_values_are_named():
    """What is missing is an error that says what."""
    command = own_command(
        "needy",
        label="Needy",
        description="Needs.",
        inputs=(CommandInput("key", required=True),),
        wrappers=(),
        reserve_memory=1,
        limit_memory=1,
    )

    with pytest.raises(ArgumentsError, match="output_dir"):
        parse(command, ["/in"])
    with pytest.raises(ArgumentsError, match="no value for --key"):
        parse(command, ["/in", "/out", "--key="])


def test_unknown_input_is_refused():
    """Values for inputs that the command does not have are an error, not dropped."""
    with pytest.raises(ArgumentsError, match="it has no input gamma"):
        argv_for(COMMAND, "/in", "/out", {"gamma": "x"})


def test_text_that_no_argument_can_hold_is_refused_without_being_shown():
    """A value with the character U+0000 could not reach the program, so it is refused here."""
    with pytest.raises(ArgumentsError, match="the value of input alpha") as caught:
        argv_for(COMMAND, "/in", "/out", {"alpha": "Jane\0Doe"})

    assert "Jane" not in str(caught.value)


def test_help_comes_from_the_definition():
    """The help shows every input with its description, per cent signs included."""
    text = parser_for(COMMAND).format_help()

    assert "100 % of everything" in text
    assert "50 % of it" in text
    assert all(f"--{each.name}" in text for each in COMMAND.inputs)


argument_texts = (hostile_texts | st.text()).filter(lambda text: text and "\0" not in text)
typed = st.fixed_dictionaries(
    {},
    optional={
        "alpha": argument_texts,
        "beta": argument_texts,
        "size": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        "strict": st.booleans(),
        "mode": st.sampled_from(["fast", "best of all"]),
        "parts": st.lists(st.sampled_from(["head", "neck", "leg"]), min_size=1).map(tuple),
    },
)


@given(typed)
@untimed
def test_values_survive_the_way_through_an_argument_list(values: dict[str, ParameterValue]):
    """Any typed values made an argument list and parsed again are the same, whatever the text."""
    found = parse(COMMAND, argv_for(COMMAND, Path("/in"), "/out", values))

    assert found.values == {**DEFAULTS, **values}


@given(typed)
@untimed
def test_texts_of_values_read_back(values: dict[str, ParameterValue]):
    """The text of a typed value stands for that value again."""
    inputs = {each.name: each for each in COMMAND.inputs}

    for name, value in values.items():
        assert typed_value(inputs[name], value_text(value)) == value


def test_truth_value_must_be_true_or_false():
    """Other words for truth are refused, as the service knows only these two."""
    with pytest.raises(ValueError, match="expected true or false"):
        typed_value(CommandInput("a", type=CommandInputType.BOOLEAN), "yes")
