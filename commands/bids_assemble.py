"""The command ``bids-assemble``: the BIDS results of a project's sessions to one dataset."""

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

_NAME = "name"
_BIDS = "bids"

_PROJECT_WRAPPER = Wrapper(
    name="bids-assemble-project",
    label="Assemble the BIDS dataset",
    description="Put the BIDS results of the project's sessions together as one dataset.",
    contexts=("xnat:projectData",),
    external_inputs=(
        ExternalInput(
            name="project",
            type=WrapperInputType.PROJECT,
            label="Project",
            description="The project whose sessions were converted.",
            provides_files_for_command_mount=INPUT_MOUNT.name,
        ),
    ),
    derived_inputs=(
        DerivedInput(
            name="project-name",
            description="The project's label, as the name of the dataset.",
            required=False,
            provides_value_for_command_input=_NAME,
            derived_from_wrapper_input="project",
            derived_from_xnat_object_property="label",
        ),
    ),
    output_handlers=(
        resource_handler(_BIDS, "project", "BIDS", "BIDS", "BIDS"),
        report_handler("project", "BIDS_REPORT"),
    ),
)

COMMAND = own_command(
    "bids-assemble",
    label="Assemble BIDS",
    description=(
        "Put the BIDS results of a project's sessions together as one validated dataset. Two "
        "subjects or sessions that would get the same label are refused, never merged."
    ),
    inputs=(
        CommandInput(
            name=_NAME,
            label="Name",
            description="Name of the dataset, in its description.",
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
            description="The BIDS dataset of the project.",
            required=True,
            path="bids",
        ),
    ),
    wrappers=(_PROJECT_WRAPPER,),
    reserve_memory=500,
    limit_memory=2000,
)
