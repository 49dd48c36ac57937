"""Write what is made from the definitions: command documents and command pages.

Run as ``python -m commands.generate`` in the source tree; ``--check`` writes nothing and ends
with 1 if a file is not what the definitions make.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from commands.arguments import PROGRAM
from commands.catalog import CATALOG
from commands.exit_codes import EXIT_CODES
from commands.model import Command, Wrapper
from commands.service_json import command_to_json

RENEW = "python -m commands.generate"
JSON_DIR = Path("commands", "json")
PAGES_DIR = Path("docs", "commands")


def generated_files() -> dict[Path, str]:
    """Return the text of every generated file, by path below the root of the source tree."""
    files = {}
    for command in CATALOG:
        files[JSON_DIR / f"{command.name}.json"] = document_text(command)
        files[PAGES_DIR / f"{command.name}.md"] = page_text(command)
    return files


def document_text(command: Command) -> str:
    """Return the document that creates the command in XNAT, as text for reading."""
    document = command_to_json(command, creation=True)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def page_text(command: Command) -> str:
    """Return the page of a command in Markdown, one table for each part of the definition."""
    parts = [
        f"# {command.name}",
        f"<!-- Made from commands/ by {RENEW}; do not edit. -->",
        command.description or "",
        _resources_line(command),
        "## Call",
        f"```\n{PROGRAM} {command.command_line}\n```",
        "## Inputs",
        _table(
            ("Input", "Type", "Required", "Default", "Meaning"),
            (
                (
                    f"`{each.name}`",
                    each.type.value,
                    _yes(each.required),
                    _code(each.default_value),
                    each.description or "",
                )
                for each in command.inputs
            ),
        ),
        "## Outputs",
        _table(
            ("Output", "Path", "Required", "Meaning"),
            (
                (
                    f"`{each.name}`",
                    _code("/".join(part for part in (each.mount, each.path) if part)),
                    _yes(each.required),
                    each.description or "",
                )
                for each in command.outputs
            ),
        ),
    ]
    for wrapper in command.wrappers:
        parts += _wrapper_parts(wrapper)
    parts += ["## Exit codes", _table(("Code", "Meaning"), EXIT_CODES)]
    return "\n\n".join(parts) + "\n"


def _resources_line(command: Command) -> str:
    return (
        f"Image: `{command.image}`. Network: {command.network or 'default'}. "
        f"Memory: {command.reserve_memory} MB reserved, at most {command.limit_memory} MB."
    )


def _wrapper_parts(wrapper: Wrapper) -> list[str]:
    inputs = [(each, "the launch") for each in wrapper.external_inputs] + [
        (each, f"`{each.derived_from_wrapper_input}`") for each in wrapper.derived_inputs
    ]
    return [
        f"## Wrapper {wrapper.name}",
        wrapper.description or "",
        f"Offered on: {', '.join(f'`{context}`' for context in wrapper.contexts)}.",
        _table(
            ("Input", "Type", "From", "Provides", "Meaning"),
            (
                (
                    f"`{each.name}`",
                    each.type.value,
                    source,
                    _code(
                        each.provides_value_for_command_input
                        or each.provides_files_for_command_mount
                    ),
                    each.description or "",
                )
                for each, source in inputs
            ),
        ),
        _table(
            ("Output", "Goes to", "As", "Label"),
            (
                (
                    _code(each.accepts_command_output),
                    _code(each.as_a_child_of),
                    each.type.value,
                    _code(each.label),
                )
                for each in wrapper.output_handlers
            ),
        ),
    ]


def _yes(value: bool | None) -> str:  # noqa: FBT001 - formats one cell
    return "yes" if value else "no"


def _code(value: str | None) -> str:
    return f"`{value}`" if value else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = ([str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def stale_files(root: Path) -> tuple[Path, ...]:
    """Return the generated files below `root` that are absent, different or no longer made."""
    files = generated_files()
    different = [
        path
        for path, text in files.items()
        if not (root / path).is_file() or (root / path).read_bytes() != text.encode()
    ]
    return tuple(sorted({*different, *_orphans(root, files)}))


def _orphans(root: Path, files: Iterable[Path]) -> set[Path]:
    there = {path.relative_to(root) for path in (root / JSON_DIR).glob("*.json")}
    return there - set(files)


def write_files(root: Path) -> tuple[Path, ...]:
    """Bring all generated files below `root` up to date; return those that changed."""
    files = generated_files()
    stale = stale_files(root)
    for path in stale:
        target = root / path
        if path in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(files[path].encode())
        else:
            target.unlink()
    return stale


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(prog=RENEW, description="Renew the generated files.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if not up to date")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(__file__).resolve().parents[1],
        help="root of the source tree",
    )
    options = parser.parse_args(argv)
    if not options.check:
        for path in write_files(options.root):
            sys.stdout.write(f"renewed {path.as_posix()}\n")
        return 0
    stale = stale_files(options.root)
    if stale:
        sys.stderr.write(
            "These generated files are not what the definitions make: "
            f"{', '.join(path.as_posix() for path in stale)}. Renew them with: {RENEW}\n"
        )
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
