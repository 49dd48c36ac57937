"""Values into templates, by the rules of the Container Service."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import (
    Command,
    CommandInput,
    CommandInputType,
    Delimiter,
    IllegalInputValueError,
    InputValue,
    TemplateError,
    check_value,
    command_from_json,
    command_from_text,
    missing_required_inputs,
    resolve_command_line,
    resolve_template,
    split_command_line,
    template_values,
)
from commands.substitution import FORBIDDEN_SEQUENCES, command_line_text
from tests.commands.strategies import plain, untimed

DOCUMENTS = Path(__file__).parent / "documents"


def document(name: str) -> Command:
    return command_from_text((DOCUMENTS / f"{name}.json").read_text())


def line_of(command_input: CommandInput, value: InputValue) -> str:
    """Return the resolved line of a command that prints one input between two bars."""
    command = Command("it", "lab/it:1", command_line=f"|{command_input.key}|")
    return resolve_command_line(
        Command(**{**_fields(command), "inputs": (command_input,)}), {command_input.name: value}
    )


def _fields(command: Command) -> dict[str, object]:
    return {name: getattr(command, name) for name in ("name", "image", "command_line")}


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("true", "dcm2niix -b y -o /output /input"),
        ("false", "dcm2niix -b n -o /output /input"),
        (None, "dcm2niix -b n -o /output /input"),
        ("TRUE", "dcm2niix -b y -o /output /input"),
    ],
)
def test_published_conversion_command_resolves_to_its_published_lines(value: str | None, line: str):
    """The widely used dcm2niix command gives the lines that the service documents."""
    assert resolve_command_line(document("scan_to_nifti"), {"bids": value}) == line


@pytest.mark.parametrize(
    ("command_input", "value", "line"),
    [
        (CommandInput("a"), None, "||"),
        (CommandInput("a"), "", "||"),
        (CommandInput("a"), " \t", "||"),
        (CommandInput("a"), "v", "|v|"),
        (CommandInput("a", default_value="d"), None, "|d|"),
        (CommandInput("a", default_value="d"), "v", "|v|"),
        (CommandInput("a", default_value="d"), "", "||"),
        (CommandInput("a", command_line_flag="-f"), "v", "|-f v|"),
        (CommandInput("a", command_line_flag="-f"), "", "||"),
        (CommandInput("a", command_line_flag="-f"), None, "||"),
        (CommandInput("a", command_line_flag=" "), "v", "|v|"),
        (CommandInput("a", command_line_flag="-f", command_line_separator="="), "v", "|-f=v|"),
        (CommandInput("a", command_line_flag="-f", command_line_separator=""), "v", "|-fv|"),
        (CommandInput("a", replacement_key="[X]"), "v", "|v|"),
        (CommandInput("a", replacement_key=" "), "v", "|v|"),
    ],
)
def test_single_value_on_the_command_line(
    command_input: CommandInput, value: str | None, line: str
):
    """A value stands with its flag and separator; a blank value takes the flag with it."""
    assert line_of(command_input, value) == line


@pytest.mark.parametrize("key", [None, "", " "])
def test_blank_replacement_key_is_the_name_between_hashes(key: str | None):
    """An input without a replacement key of its own is written #name#."""
    command = Command(
        "it", "lab/it:1", command_line="<#a#>", inputs=(CommandInput("a", replacement_key=key),)
    )

    assert resolve_command_line(command, {"a": "v"}) == "<v>"


@pytest.mark.parametrize(
    ("true_value", "false_value", "value", "text"),
    [
        ("y", "n", "true", "y"),
        ("y", "n", "false", "n"),
        ("y", "n", "anything", "n"),
        ("y", "n", None, "n"),
        ("--on", "", "false", ""),
        (None, None, "true", "true"),
        (None, None, "false", "false"),
        (None, None, None, ""),
        ("--on", None, "false", "false"),
    ],
)
def test_truth_values_are_replaced_before_the_flag(
    true_value: str | None, false_value: str | None, value: str | None, text: str
):
    """A boolean's own words replace its value on the command line and in other templates."""
    command_input = CommandInput(
        "a", type=CommandInputType.BOOLEAN, true_value=true_value, false_value=false_value
    )
    command = Command("it", "lab/it:1", command_line="#a#", inputs=(command_input,))

    assert resolve_command_line(command, {"a": value}) == text
    assert template_values(command, {"a": value}) == {"#a#": text}


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (["1", "2"], "pick -q '1 2' -s 1 2 -c 1,2 -f 1 -f 2 '1 2' /data /out"),
        (["1"], "pick -q 1 -s 1 -c 1 -f 1 1 /data /out"),
        ([], "pick      /data /out"),
    ],
)
def test_several_values_are_joined_by_the_delimiter(values: list[str], line: str):
    """Each delimiter joins values its own way; one value alone is a plain value."""
    names = ("quoted", "spaced", "commas", "flags", "plain")

    assert resolve_command_line(document("multiple_values"), dict.fromkeys(names, values)) == line


@pytest.mark.parametrize(
    ("flag", "separator", "delimiter", "text"),
    [
        ("-s", "=", Delimiter.QUOTED_SPACE, "-s='1 2'"),
        ("-s", "=", Delimiter.SPACE, "-s=1 2"),
        ("-s", "=", Delimiter.COMMA, "-s=1,2"),
        ("-s", "=", Delimiter.FLAG, "-s=1 -s=2"),
        ("-s", "", Delimiter.FLAG, "-s 1 -s 2"),
        (None, None, Delimiter.FLAG, "1 2"),
        (None, "=", Delimiter.COMMA, " =1,2"),
    ],
)
def test_separator_before_several_values(
    flag: str | None, separator: str | None, delimiter: Delimiter, text: str
):
    """Before several values a blank flag or separator counts as a space, unless both are blank."""
    command_input = CommandInput(
        "a",
        command_line_flag=flag,
        command_line_separator=separator,
        multiple_delimiter=delimiter,
    )

    assert command_line_text(command_input, ["1", "2"]) == text


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (None, "--steps denoise,bias"),
        ('["unring"]', "--steps unring"),
        ('["unring","denoise"]', "--steps unring,denoise"),
        ("[]", ""),
        ("unring", "--steps unring"),
    ],
)
def test_choices_come_as_a_json_list(value: str | None, part: str):
    """Several choices of one input are a JSON list; any other text is one choice."""
    line = resolve_command_line(document("select_values"), {"steps": value})

    assert line == f"filter --kernel=gauss {part} --sigma 1.5 /out"


def test_input_of_an_optional_parent_without_result_vanishes():
    """The key of an input whose optional wrapper input found nothing leaves, default or not."""
    line = resolve_command_line(document("select_values"), {}, unresolved=["sigma", "kernel"])

    assert line == "filter  --steps denoise,bias  /out"


def test_keys_are_replaced_one_after_another():
    """A value that holds the key of a later input is replaced again, as sequential rules do."""
    command = Command(
        "it", "lab/it:1", command_line="#a# #b#", inputs=(CommandInput("a"), CommandInput("b"))
    )

    assert resolve_command_line(command, {"a": "<#b#>", "b": "#a#"}) == "<#a#> #a#"


def test_other_templates_get_raw_values():
    """Values in templates other than the command line have neither flag nor quotes."""
    command = document("multiple_values")
    wrapper = command.wrappers[0]

    raw = template_values(
        command,
        {"quoted": ["1", "2"], "spaced": "3", "commas": ["4"]},
        wrapper=wrapper,
        wrapper_values={"session": "/archive/experiments/E1", "scans-quoted": ["1", "2"]},
    )

    assert raw["#quoted#"] == raw["#scans-quoted#"] == "[1, 2]"
    assert raw["#spaced#"] == "3"
    assert raw["#commas#"] == "4"
    assert raw["#flags#"] == raw["#scans-plain#"] == ""
    assert raw["#session#"] == "/archive/experiments/E1"


def test_templates_of_settings_resolve():
    """Environment names and values, ports and folders take the same keys."""
    command = document("service_settings")
    raw = template_values(command, {"who": "ada"})

    environment = {
        resolve_template(name, raw, command=command): resolve_template(value, raw, command=command)
        for name, value in command.environment_variables.items()
    }

    assert environment == {"VIEWER_USER": "ada", "ada_HOME": "/home/ada"}
    assert resolve_template(command.ports["8080"], raw, command=command) == "9090"


def test_jsonpath_looks_into_command_and_wrapper():
    """Text between ^ signs is a path into the document of the command or of the wrapper."""
    command = document("jsonpath_templates")
    wrapper = command.wrappers[0]
    raw = template_values(command, {}, wrapper=wrapper)

    line = resolve_command_line(command, {}, wrapper=wrapper)
    label = resolve_template(
        wrapper.output_handlers[0].label or "", raw, command=command, wrapper=wrapper
    )

    assert line == "describe --version 4.2 which"
    assert label == "Described"
    assert resolve_template("^$['type']^", {}, command=command) == "docker"


@pytest.mark.parametrize(
    ("template", "part"),
    [
        ("^$.nothing^", "finds nothing"),
        ("^$.inputs[9].name^", "finds nothing"),
        ("^$.name.name^", "finds nothing"),
        ("^$.label^", "does not lead to a text"),
        ("^$.inputs^", "does not lead to a text"),
        ("^$..name^", "is not supported"),
        ("^$.inputs[*].name^", "is not supported"),
        ("^$.inputs[?(@.name)]^", "is not supported"),
        ("^wrapper:$.name^", "none was launched"),
    ],
)
def test_jsonpath_that_cannot_be_resolved_is_an_error(template: str, part: str):
    """A path without result and one beyond the simple ones are refused, never left in place."""
    with pytest.raises(TemplateError, match=re.escape(part)):
        resolve_template(template, {}, command=document("jsonpath_templates"))


@pytest.mark.parametrize("template", ["", " ", "^", "a ^ b", "^^", "^ ^"])
def test_text_without_a_path_stays(template: str):
    """Lone or empty ^ signs are ordinary text."""
    assert resolve_template(template, {}, command=document("scan_to_nifti")) == template


@pytest.mark.parametrize("sequence", [";", "&&", "||", "`", "("])
def test_values_that_the_service_refuses_are_refused_without_being_shown(sequence: str):
    """A value with a shell sequence is refused; the error names the input, not the value."""
    command = document("project_level")
    value = f"Jane{sequence}Doe"

    with pytest.raises(IllegalInputValueError) as caught:
        resolve_command_line(command, {"project-name": value})

    assert caught.value.name == "project-name"
    assert "project-name" in str(caught.value)
    assert "Jane" not in str(caught.value)
    assert "Doe" not in str(caught.value)


def test_one_of_several_values_is_checked_too():
    """A refused value does not pass because it stands in a list."""
    with pytest.raises(IllegalInputValueError):
        resolve_command_line(document("multiple_values"), {"quoted": ["1", "2;3"]})


def test_value_with_a_path_is_refused_without_being_shown():
    """A value whose text between ^ signs is no path is an error that does not repeat it."""
    with pytest.raises(IllegalInputValueError) as caught:
        resolve_command_line(document("project_level"), {"project-name": "^Jane^"})

    assert "Jane" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text(plain))
@untimed
def test_exactly_the_listed_sequences_are_refused(text: str):
    """A value is refused if and only if one of the five sequences stands in it."""
    refused = bool(re.search(r";|&&|\|\||`|\(", text))

    if refused:
        with pytest.raises(IllegalInputValueError):
            check_value("a", text)
    else:
        check_value("a", text)

    assert len(FORBIDDEN_SEQUENCES) == 5


def test_missing_required_inputs_are_named():
    """A required input without value and default is missing; empty text is a value."""
    command = command_from_json(
        {
            "name": "it",
            "image": "lab/it:1",
            "inputs": [
                {"name": "a", "required": True},
                {"name": "b", "required": True, "default-value": "x"},
                {"name": "c", "required": True},
                {"name": "d"},
                {"name": "e", "required": True},
            ],
        }
    )

    assert missing_required_inputs(command, {"c": "", "e": None}) == ("a", "e")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  a\tb \n c ", ["a", "b", "c"]),
        ("'' \"\" a''", ["", "", "a"]),
        ("'a b' \"c d\" e\\ f", ["a b", "c d", "e f"]),
        ("--x='a b'\"c\"d", ["--x=a bcd"]),
        (r"'\n' \n \\ '\'", ["\\n", "n", "\\", "\\"]),
        (r'"\"" "\\" "\$"', ['"', "\\", "$"]),
        (r'"\a"', ["a"]),
        ("$HOME ; > | * ~ #x", ["$HOME", ";", ">", "|", "*", "~", "#x"]),
        ("'never closed", ["never closed"]),
        ("end\\", ["end"]),
        ("a\u00a0b a\u2003b", ["a\u00a0b", "a", "b"]),
    ],
)
def test_line_without_a_shell_is_split_by_quoting_rules(line: str, words: list[str]):
    """Quotes and backslashes group; nothing is expanded."""
    assert split_command_line(line) == words


_bare = st.text("abcXYZ019_=+-./,:@%é\u4e2d", min_size=1, max_size=6)
_single = st.text(plain.filter(lambda each: each not in "'\0")).map(lambda text: f"'{text}'")
_double = st.text(plain.filter(lambda each: each not in '"\0$`\\')).map(lambda text: f'"{text}"')
_escaped = st.sampled_from([f"\\{each}" for each in " '\"\\$`;&|<>()#*?[]{}!~"])
_words = st.lists(_bare | _single | _double | _escaped, min_size=1, max_size=4).map("".join)
_lines = st.lists(_words, max_size=5).flatmap(
    lambda words: st.lists(
        st.sampled_from([" ", "  ", "\t"]), min_size=len(words), max_size=len(words)
    ).map(lambda gaps: "".join(word + gap for word, gap in zip(words, gaps, strict=True)))
)


@given(_lines)
@settings(untimed, max_examples=120)
def test_split_agrees_with_a_real_shell(line: str):
    """On lines without expansions the words are those that /bin/sh makes of the same line."""
    program = f'set -f; set -- {line}\nfor word; do printf "%s\\0" "$word"; done\n'

    done = subprocess.run(["/bin/sh"], input=program.encode(), capture_output=True, check=True)

    assert split_command_line(line) == done.stdout.decode().split("\0")[:-1]
