"""The command ``eeg-to-bids``: the EEG and MEG recordings of one session to a BIDS dataset."""

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
    DerivedInput,
    ExternalInput,
    Wrapper,
    WrapperInputType,
)

_SUBJECT_LABEL = "subject-label"
_SESSION_LABEL = "session-label"
_BIDS = "bids"

_SESSION_WRAPPER = Wrapper(
    name="eeg-to-bids-session",
    label="Convert EEG and MEG to BIDS",
    description=(
        "Convert all EEG and MEG recordings of the session to BIDS, without identities, and keep "
        "the result with the session."
    ),
    # Not on sessions of images: both commands would write the resource BIDS.
    contexts=("xnat:eegSessionData", "xnat:megSessionData"),
    external_inputs=(
        ExternalInput(
            name="session",
            type=WrapperInputType.SESSION,
            label="Session",
            description="The session to convert.",
            provides_files_for_command_mount=INPUT_MOUNT.name,
        ),
    ),
    derived_inputs=(
        DerivedInput(
            name="subject",
            type=WrapperInputType.SUBJECT,
            description="The subject of the session.",
            user_settable=False,
            derived_from_wrapper_input="session",
        ),
        DerivedInput(
            name="subject-name",
            description="The subject's label in the project.",
            user_settable=False,
            provides_value_for_command_input=_SUBJECT_LABEL,
            derived_from_wrapper_input="subject",
            derived_from_xnat_object_property="label",
        ),
        DerivedInput(
            name="session-name",
            description="The session's label in the project.",
            user_settable=False,
            provides_value_for_command_input=_SESSION_LABEL,
            derived_from_wrapper_input="session",
            derived_from_xnat_object_property="label",
        ),
    ),
    output_handlers=(
        resource_handler(_BIDS, "session", "BIDS", "BIDS", "BIDS"),
        report_handler("session", "BIDS_REPORT"),
    ),
)

COMMAND = own_command(
    "eeg-to-bids",
    label="EEG and MEG to BIDS",
    description=(
        "Convert the EEG and MEG recordings of one session (EDF, BDF, BrainVision, EEGLAB, FIF, "
        "CTF, KIT) to a validated BIDS dataset without identities. Every file is converted or "
        "left out with a reason in the report."
    ),
    inputs=(
        CommandInput(
            name=_SUBJECT_LABEL,
            label="Subject label",
            description=(
                "Label of the subject in the dataset; characters that BIDS does not allow are "
                "left out. Never taken from the recordings."
            ),
        ),
        CommandInput(
            name=_SESSION_LABEL,
            label="Session label",
            description=(
                "Label of the session in the dataset; characters that BIDS does not allow are "
                "left out. Never taken from the recordings."
            ),
        ),
        CommandInput(
            name="task",
            label="Task",
            description=(
                "What was done during the recordings; without it the name of each file is looked "
                "at (task-NAME, or a word such as rest), and then it is unknown."
            ),
        ),
        CommandInput(
            name="dates",
            label="Dates",
            description="What becomes of the dates of measurement; birth dates always go.",
            type=CommandInputType.SELECT_ONE,
            default_value="remove",
            select_values=("remove", "shift", "keep"),
        ),
        CommandInput(
            name="shift-days",
            label="Days to shift",
            description=(
                "Whole number of days added to each date with dates=shift; keep it secret, and "
                "the same for all sessions of a participant."
            ),
            sensitive=True,
        ),
        CommandInput(
            name="line-frequency",
            label="Power line frequency",
            description="Frequency of the mains in Hz, for the description of the recordings.",
            type=CommandInputType.SELECT_ONE,
            default_value="unknown",
            select_values=("unknown", "50", "60"),
        ),
        CommandInput(
            name="allow-invalid",
            label="Keep invalid results",
            description="Hand on the dataset even if the BIDS validator finds errors in it.",
            type=CommandInputType.BOOLEAN,
            default_value="false",
        ),
    ),
    outputs=(
        CommandOutput(
            name=_BIDS,
            mount=OUTPUT_MOUNT.name,
            description="The BIDS dataset of this session.",
            required=True,
            path="bids",
        ),
    ),
    wrappers=(_SESSION_WRAPPER,),
    reserve_memory=500,
    limit_memory=4000,
)
