"""``winxnat deid``: whole studies, what scrubbing would do to a file, keys, a script for XNAT."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from containers.cli_errors import CommandError
from containers.contract import ExitCode, StepError, ToolFailedError
from containers.engine import EngineError
from containers.local import EngineKind

if TYPE_CHECKING:
    from containers.deid_study import Result
    from containers.scrub_headers.profile import Profile

HELP = "De-identify a study, explain a file, keep keys, export a script for XNAT."

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_PASSPHRASE_FILE = click.option(
    "--passphrase-file", type=_FILE, help="File with the passphrase in one line."
)


@click.group(help=HELP)
def deid() -> None:
    """Collect the verbs."""


@deid.command()
@click.argument("file_path", metavar="FILE", type=_FILE)
@click.option("--profile", default="external", show_default=True, help="Name or YAML file.")
@click.option("--json", "is_json", is_flag=True, help="Print the decisions as JSON.")
def explain(*, file_path: Path, profile: str, is_json: bool) -> None:
    """Show element by element what would happen to a DICOM file, and by which rule.

    Values are never shown.
    """
    with _errors():
        # Imported here, as below: asking for help must not need the step's libraries.
        from containers.scrub_headers.dicom_file import explain_dicom  # noqa: PLC0415 - the help is quick without it
        from containers.scrub_headers.errors import RefusedFileError  # noqa: PLC0415 - the help is quick without it

        try:
            decisions = list(explain_dicom(file_path, _profile(profile)))
        except RefusedFileError as error:
            raise CommandError(
                f"The file would be left out: {error}", ExitCode.BAD_INPUT
            ) from error
        except OSError as error:
            message = f"The file cannot be read: {error.strerror}."
            raise CommandError(message, ExitCode.WRONG_USAGE) from error
    rows = [
        {
            "place": "/".join((*each.path, each.tag)),
            "keyword": each.keyword,
            "vr": each.vr,
            "action": each.action,
            "outcome": each.outcome,
            "rule": each.rule,
        }
        for each in decisions
    ]
    if is_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(
            f"{row['place']:<24} {row['vr']:<2} {row['outcome']:<10} {row['keyword']}: "
            f"{row['rule']}"
        )


@deid.command("profiles")
def list_profiles() -> None:
    """List the profiles, for whom each is."""
    with _errors():
        from containers.scrub_headers.profile import load_profile, profile_names  # noqa: PLC0415 - the help is quick without it

        for name in profile_names():
            found = load_profile(name)
            click.echo(f"{found.name:<10} version {found.version}  {found.description}")


@deid.command()
@click.argument("study_dir", metavar="STUDY_FOLDER", type=_FOLDER)
@click.argument("out_dir", metavar="OUT_FOLDER", type=_FOLDER)
@click.option(
    "--sessions",
    "pattern",
    default="*",
    show_default=True,
    help="Which folders are sessions: * are those directly below, */* those one level deeper.",
)
@click.option(
    "--labels",
    type=_FILE,
    help="Table (CSV or TSV) of new labels: columns folder, subject and, if wanted, session.",
)
@click.option("--profile", default="external", show_default=True, help="Name of a profile.")
@click.option("--keys", type=_FILE, required=True, help="Key store of the study.")
@click.option(
    "--keys-passphrase",
    type=_FILE,
    required=True,
    envvar="WINXNAT_KEYS_PASSPHRASE_FILE",
    help="File with its passphrase in one line.",
)
@click.option("--known", type=_FILE, help="File of names and numbers that no copy may hold.")
@click.option("--strict", is_flag=True, help="No copy of a session of which a file is left out.")
@click.option(
    "--engine",
    type=click.Choice([each.value for each in EngineKind]),
    default=EngineKind.PROCESS.value,
    show_default=True,
    help="Scrub in processes of this machine, or in the container image.",
)
@click.option("--dry-run", is_flag=True, help="Show the sessions and their new places only.")
@click.option("--json", "is_json", is_flag=True, help="Print the outcome as JSON.")
def study(  # noqa: PLR0913, PLR0917 - the options of one command
    study_dir: Path, out_dir: Path, pattern: str, labels: Path | None, profile: str, keys: Path,
    keys_passphrase: Path, known: Path | None, strict: bool, engine: str, dry_run: bool,  # noqa: FBT001 - click names them
    is_json: bool,  # noqa: FBT001 - click names them
) -> None:  # fmt: skip
    """Scrub all sessions of a study folder under one key store.

    Sessions go one after the other, each into a folder of its own. Called again, it goes on
    where it was stopped: sessions that are done and have not changed are passed over. Sessions
    are named by their number, in the order of their folders, because a folder's name may
    identify somebody.
    """
    with _errors():
        from containers import deid_study  # noqa: PLC0415 - the help is quick without it
        from containers.scrub_headers import key_store  # noqa: PLC0415 - the help is quick without it

        found = key_store.read(keys, key_store.passphrase_from_file(keys_passphrase))
        sessions, outside = deid_study.find_sessions(study_dir, pattern, labels, found.secret)
        if outside:
            click.echo(f"Warning: {outside} files are in none of the sessions.", err=True)
        settings = deid_study.Settings(profile, keys, keys_passphrase, found.secret, known, strict)
        if dry_run:
            results = [deid_study.Result(each.number, each.target) for each in sessions]
        else:
            results = deid_study.scrub_study(
                sessions, out_dir, settings,
                lambda result, is_old: _tell(result, len(sessions), is_old=is_old),
                EngineKind(engine),
            )  # fmt: skip
    _show_study(results, outside, is_json=is_json)
    sys.exit(deid_study.exit_code_of(results))


def _tell(result: Result, count: int, *, is_old: bool) -> None:
    state = "done before" if is_old else result.state.value
    files = f", {result.files} files, {result.left_out} left out" if result.files else ""
    reason = f": {result.reason}" if result.reason else ""
    click.echo(f"session {result.number} of {count}: {state}{files}{reason}", err=True)


def _show_study(results: Sequence[Result], outside: int, *, is_json: bool) -> None:
    if is_json:
        rows = [{k: v for k, v in asdict(e).items() if k != "stamp"} for e in results]
        click.echo(json.dumps({"sessions": rows, "files_in_no_session": outside}, indent=2))
        return
    for each in results:
        click.echo(f"{each.number:>5}  {each.state.value:<9} {each.target}")
    counts = Counter(each.state.value for each in results)
    listed = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    click.echo(f"{len(results)} sessions: {listed}.")


@deid.command("export-script")
@click.argument("profile")
def export_script(*, profile: str) -> None:
    """Print a DicomEdit 6 script of what XNAT can do for a PROFILE when data arrive.

    A first line of defence for the site's or a project's anonymisation script; it does not
    replace scrub-headers.
    """
    with _errors():
        from containers.scrub_headers.import_script import import_script  # noqa: PLC0415 - the help is quick without it

        click.echo(import_script(_profile(profile)), nl=False)


@deid.group()
def keys() -> None:
    """Make and keep key stores: encrypted files from which pseudonyms are made.

    The passphrase comes from --passphrase-file, WINXNAT_KEYS_PASSPHRASE,
    WINXNAT_KEYS_PASSPHRASE_FILE, or a question on the terminal; never from an argument.
    """


@keys.command()
@click.argument("store_path", metavar="FILE", type=_FILE)
@_PASSPHRASE_FILE
def create(*, store_path: Path, passphrase_file: Path | None) -> None:
    """Make a new key store; an existing one is never replaced."""
    with _errors():
        from containers.scrub_headers import key_store  # noqa: PLC0415 - the help is quick without it

        key_store.create(store_path, _passphrase(passphrase_file, is_new=True))
        click.echo("The key store is made. Keep file and passphrase in two places, and a copy.")


@keys.command()
@click.argument("store_path", metavar="FILE", type=_FILE)
@_PASSPHRASE_FILE
def check(*, store_path: Path, passphrase_file: Path | None) -> None:
    """Tell whether a key store opens with the passphrase; shows nothing of its content."""
    with _errors():
        from containers.scrub_headers import key_store  # noqa: PLC0415 - the help is quick without it

        found = key_store.read(store_path, _passphrase(passphrase_file))
        click.echo(f"The key store opens; it remembers {len(found.labels)} labels.")


@keys.command("passphrase")
@click.argument("store_path", metavar="FILE", type=_FILE)
@_PASSPHRASE_FILE
@click.option("--new-passphrase-file", type=_FILE, help="File with the new passphrase.")
def change_passphrase(
    *, store_path: Path, passphrase_file: Path | None, new_passphrase_file: Path | None
) -> None:
    """Give a key store another passphrase; its pseudonyms stay the same."""
    with _errors():
        from containers.scrub_headers import key_store  # noqa: PLC0415 - the help is quick without it

        old = _passphrase(passphrase_file)
        if new_passphrase_file is None:
            new = _asked("New passphrase", is_new=True)
        else:
            new = key_store.passphrase_from_file(new_passphrase_file)
        key_store.change_passphrase(store_path, old, new)
        click.echo("The key store has the new passphrase.")


@keys.command()
@click.argument("store_path", metavar="FILE", type=_FILE)
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
def destroy(*, store_path: Path, is_sure: bool) -> None:
    """Destroy a key store: nobody can then link or reverse its pseudonyms, you neither."""
    with _errors():
        from containers.scrub_headers import key_store  # noqa: PLC0415 - the help is quick without it

        if not is_sure:
            if not sys.stdin.isatty():
                raise key_store.KeyStoreError("Destroying needs a terminal to ask on, or --yes.")
            click.confirm("Destroy the key store for good?", abort=True, err=True)
        key_store.destroy(store_path)
        click.echo("The key store is destroyed. Destroy its copies, too.")


def _profile(name: str) -> Profile:
    from containers.scrub_headers.profile import load_profile, read_profile  # noqa: PLC0415 - the help is quick without it

    is_file = os.sep in name or name.endswith((".yaml", ".yml"))
    return read_profile(Path(name)) if is_file else load_profile(name)


def _passphrase(file_path: Path | None, *, is_new: bool = False) -> str:
    from containers.scrub_headers import key_store  # noqa: PLC0415 - the help is quick without it

    if file_path is not None:
        return key_store.passphrase_from_file(file_path)
    found = key_store.passphrase_from_environment()
    return _asked("Passphrase", is_new=is_new) if found is None else found


def _asked(what: str, *, is_new: bool) -> str:
    from containers.scrub_headers.key_store import KeyStoreError  # noqa: PLC0415 - the help is quick without it

    if not sys.stdin.isatty():
        raise KeyStoreError(
            "There is no terminal to ask for the passphrase on. Name a file with it, or set "
            "WINXNAT_KEYS_PASSPHRASE."
        )
    answer: str = click.prompt(what, hide_input=True, confirmation_prompt=is_new, err=True)
    return answer


@contextmanager
def _errors() -> Iterator[None]:
    """End with the exit code and the sentence of an error of our own."""
    try:
        yield
    except ImportError as error:
        missing = ToolFailedError(
            f"The libraries of scrub-headers are not installed here ({error.name} is missing). "
            "Install winxnat[scrub-headers]."
        )
        raise CommandError(str(missing), missing.exit_code) from error
    except StepError as error:
        raise CommandError(str(error), error.exit_code) from error
    except EngineError as error:
        raise CommandError(str(error), ExitCode.TOOL_FAILED) from error
