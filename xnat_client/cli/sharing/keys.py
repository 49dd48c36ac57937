"""``winxnat release key``: the signing keys of the people who decide.

Not here: what is signed (``decide``), how (``sharing.signing``).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from xnat_client.cli.sharing.acting import Acting, acting
from xnat_client.errors import BadInputError, UsageError
from xnat_client.sharing import signing

PASSPHRASE_VARIABLE = "WINXNAT_KEY_PASSPHRASE"  # noqa: S105  # the variable's name

key_option = click.option(
    "--key",
    "key_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of your signing key [WINXNAT_SIGNING_KEY].",
)


@click.command("key")
@key_option
@click.option("--of", "whose", help="As officer: record this person's key, read from --public.")
@click.option("--public", help="The public key of --of, as that person's own 'key' showed it.")
@click.option(
    "--compromised", is_flag=True, help="With --of: what older keys signed counts no more."
)
@acting
def key(
    records: Acting,
    *,
    key_file: Path | None,
    whose: str | None,
    public: str | None,
    compromised: bool,
) -> None:
    """Make your signing key and record its public half; a later key is recorded by the officer.

    The private key is written to the file of --key, protected by a passphrase of at least twelve
    characters (WINXNAT_KEY_PASSPHRASE or a question), and never leaves it.
    """
    if (whose is None) != (public is None):
        raise UsageError("Give --of and --public together, or neither.")
    owner = whose or records.actor.person_id
    made: Path | None = None
    text = public or ""
    if not text:
        made = key_file or signing.key_path()
        text = _own_key(made)
    _register(records, owner, text, compromised=compromised)
    where = f"; the private key is in {made.name}" if made else ""
    document = {"person": owner, "public_key": text}
    records.show(document, f"Public key of {owner}: {text}{where}.")


def _own_key(path: Path) -> str:
    """Return the public half of the key in a file, which is made if there is none."""
    if path.exists():
        return signing.public_text(signing.load_key(path, passphrase(new=False)).public_key())
    return signing.make_key(path, passphrase(new=True))


def _register(records: Acting, whose: str, text: str, *, compromised: bool) -> None:
    with records.transaction() as (session, now):
        signing.register_key(
            session, records.actor, whose, text, now=now, old_is_compromised=compromised
        )


def passphrase(*, new: bool) -> str:
    """Return the passphrase of a signing key, from the environment or a question."""
    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given:
        return given
    if not sys.stdin.isatty():
        raise BadInputError(
            f"The signing key needs its passphrase; set {PASSPHRASE_VARIABLE}, or call from a "
            "terminal."
        )
    text: str = click.prompt(
        "Passphrase of the signing key", hide_input=True, confirmation_prompt=new, err=True
    )
    return text
