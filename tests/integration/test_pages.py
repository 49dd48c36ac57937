"""The pages say what there is: links lead somewhere, command lines are those of the program."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from xnat_client.cli.main import winxnat

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE_FOLDERS = ("commands", "containers", "deploy", "qc", "xnat_client")
PARTIAL = re.compile(r"\.\.\.|…|[\[\]|]|\*")
"""Marks of a line that is not meant to be typed as it stands."""
COMMAND = re.compile(r"""['`(](winxnat [a-z][^'`)\n"{]*)""")
SAID_ONCE = ("--role", "--reason")
"""Of whoever acts: a page says once that every line takes them."""


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings as GitHub makes them, repeated ones numbered."""
    found: dict[str, int] = {}
    anchors = set()
    for heading in re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        anchors.add(f"{slug}-{count}" if count else slug)
    return anchors


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link names a file of the project, and its anchor a heading of that page."""
    dead = []
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        is_there = path.exists()
        if is_there and anchor and path.suffix == ".md":
            is_there = anchor in _anchors(path.read_text(encoding="utf-8"))
        if not is_there:
            dead.append(target)

    assert dead == []


def _lines_of(text: str) -> Iterator[tuple[str, bool]]:
    """Yield command lines of a page, and whether each stands as a line of its own to be typed."""
    whole = re.sub(r"\\\n\s*", " ", text)
    for line in whole.splitlines():
        if found := re.match(r"(?:    |\$ |)+(?:\S+=\S* )*(winxnat .*)", line):
            is_code = line.startswith(("    ", "$ "))
            if is_code:
                for one in re.split(r" (?:;|&&) ", found[1]):
                    yield one.strip(), True
                continue
        for inline in re.findall(r"`(winxnat [^`]+)`", line):
            yield inline, False


def _leaf(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that the first words name and the words that are left."""
    command: click.Command = winxnat
    context = click.Context(winxnat, info_name="winxnat")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"no subcommand {words[0]!r} of {command.name}"
        context = click.Context(found, parent=context, info_name=words[0])
        command, words = found, words[1:]
    return command, words


def _problems(line: str, *, is_typed: bool) -> list[str]:
    """Return what is wrong with one command line, by the tree of commands."""
    try:
        words = shlex.split(line.partition(" # ")[0].rstrip("\\ "))[1:]
    except ValueError:
        return []  # an unfinished quotation in running text
    if not words or PARTIAL.search(words[0]):
        return []
    try:
        command, rest = _leaf([word.rstrip(",.:") for word in words])
    except AssertionError as error:
        return [str(error)]
    if isinstance(command, click.Group) or "--help" in rest:
        return []
    given, arguments, problems = _given(command, rest)
    is_whole = is_typed and not PARTIAL.search(line) and ">" not in line
    return problems + (_lacks(command, given, arguments) if is_whole else [])


def _given(command: click.Command, words: list[str]) -> tuple[set[str | None], int, list[str]]:
    """Return the options that are given, the number of arguments, and what is wrong with them."""
    named = {name: one for one in command.params for name in (*one.opts, *one.secondary_opts)}
    given, arguments, problems = set(), 0, []
    rest = iter(word.strip("[]") for word in words)
    for word in rest:
        name, equals, value = word.partition("=")
        option = named.get(name)
        if not word.startswith("--"):
            arguments += bool(word)
        elif not isinstance(option, click.Option):
            problems.append(f"no option {name}")
        else:
            given.add(option.name)
            if not option.is_flag and not equals:
                value = next(rest, "")
            if not option.is_flag and not _fits(option, value):
                problems.append(f"{name} has no choice {value!r}")
    return given, arguments, problems


def _fits(option: click.Option, value: str) -> bool:
    if not isinstance(option.type, click.Choice) or PARTIAL.search(value) or value.isupper():
        return True
    return value in {str(one) for one in option.type.choices}


def _lacks(command: click.Command, given: set[str | None], arguments: int) -> list[str]:
    """Return what a line that is to be typed as it stands lacks or has too much of."""
    problems = [
        f"lacks {one.opts[0]}"
        for one in command.params
        if isinstance(one, click.Option)
        and one.required
        and not (one.envvar or one.name in given or one.opts[0] in SAID_ONCE)
    ]
    places = [one for one in command.params if isinstance(one, click.Argument)]
    is_open = any(one.nargs == -1 for one in places)
    if arguments < sum(one.required for one in places) or (arguments > len(places) and not is_open):
        problems.append(f"{arguments} arguments where {len(places)} are taken")
    return problems


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_command_lines_are_those_of_the_program(page: Path) -> None:
    """Every ``winxnat`` line names commands, options and choices that there are."""
    wrong = {
        line: problems
        for line, is_typed in _lines_of(page.read_text(encoding="utf-8"))
        if (problems := _problems(line, is_typed=is_typed))
    }

    assert wrong == {}


def test_messages_name_commands_that_there_are() -> None:
    """A command line that a message or help text of the program names can be called."""
    paths = [path for folder in CODE_FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    wrong = [
        (_name(path), line, problems)
        for path in paths
        for line in COMMAND.findall(re.sub(r'"\s*\n\s*f?"', "", path.read_text("utf-8")))
        if (problems := _problems(line, is_typed=False))
    ]

    assert wrong == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("winxnat nonsense", "no subcommand 'nonsense'"),
        ("winxnat share nonsense P", "no subcommand 'nonsense'"),
        ("winxnat fetch OUT --project P --session S --resource R --nonsense", "no option"),
        ("winxnat fetch --project P --session S --resource R", "0 arguments"),
        ("winxnat fetch OUT --project P --session S", "lacks --resource"),
        ("winxnat share check P --level secret", "no choice 'secret'"),
    ],
)
def test_a_wrong_line_is_found(line: str, said: str) -> None:
    """The checks above can fail."""
    assert said in " ".join(_problems(line, is_typed=True))
