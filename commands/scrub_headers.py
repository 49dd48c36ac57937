"""The command ``scrub-headers``: a copy of a session without identities in headers and names."""

from __future__ import annotations

from commands.authoring import (
    INPUT_MOUNT,
    OUTPUT_MOUNT,
    own_command,
    report_handler,
    resource_handler,
)
from commands.model import (
    CommandInput,
    CommandInputType,
    CommandOutput,
    ExternalInput,
    Mount,
    Wrapper,
    WrapperInputType,
)

_SCRUBBED = "scrubbed"
_KNOWN = "known"
_KEYS = "keys"
_KEYS_PASSPHRASE = "keys-passphrase"  # noqa: S105 - the name of an input

_SESSION_WRAPPER = Wrapper(
    name="scrub-headers-session",
    label="Scrub headers",
    description="Keep a copy of the session without identities in headers and names beside it.",
    contexts=("xnat:imageSessionData",),
    external_inputs=(
        ExternalInput(
            name="session",
            type=WrapperInputType.SESSION,
            label="Session",
            description="The session to copy; it is not changed.",
            provides_files_for_command_mount=INPUT_MOUNT.name,
        ),
    ),
    output_handlers=(
        resource_handler(_SCRUBBED, "session", "SCRUBBED", "MIXED", "SCRUBBED"),
        report_handler("session", "SCRUBBED_REPORT"),
    ),
)

COMMAND = own_command(
    "scrub-headers",
    label="Scrub headers",
    description=(
        "Copy a session without identities in headers, sidecars, tables, recordings and names. "
        "Every file is copied by the rules of its kind or left out with a reason; the copy is "
        "checked before it is handed over. Faces in images are not its business."
    ),
    inputs=(
        CommandInput(
            name="profile",
            label="Profile",
            description="For whom the copy is; docs/deidentification.md compares the profiles.",
            type=CommandInputType.SELECT_ONE,
            default_value="external",
            select_values=("ingest", "internal", "external", "open"),
        ),
        CommandInput(
            name="subject-label",
            label="New subject label",
            description=(
                "Stands for the person in the copy; must not be an identifier that others know. "
                "Without it a label is made from the keys."
            ),
        ),
        CommandInput(
            name="session-label",
            label="New session label",
            description="Replaces the labels of BIDS sessions in names and tables.",
        ),
        CommandInput(
            name=_KNOWN,
            label="Known identities",
            description=(
                "File of names and numbers that must be nowhere in the copy, besides those in "
                "the headers (docs/check-identity.md)."
            ),
        ),
        CommandInput(
            name=_KEYS,
            label="Key store",
            description=(
                "File made by winxnat deid keys create; the same one gives the same pseudonyms "
                "again. Without it they are made for this run only."
            ),
        ),
        CommandInput(
            name=_KEYS_PASSPHRASE,
            label="Passphrase file",
            description="File with the passphrase of the key store in one line.",
        ),
        CommandInput(
            name="strict",
            label="Strict",
            description="End without a result if any file has to be left out.",
            type=CommandInputType.BOOLEAN,
            default_value="false",
        ),
    ),
    outputs=(
        CommandOutput(
            _SCRUBBED,
            OUTPUT_MOUNT.name,
            "The copy.",
            required=True,
            path="scrubbed",
        ),
    ),
    wrappers=(_SESSION_WRAPPER,),
    file_mounts=(
        Mount(_KNOWN, "/known"),
        Mount(_KEYS, "/keys"),
        Mount(_KEYS_PASSPHRASE, "/keys-passphrase"),
    ),
    reserve_memory=500,
    limit_memory=2000,
)
