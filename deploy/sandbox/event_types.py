"""The kinds of events that one can subscribe to. Not here: noting and delivering them."""

from __future__ import annotations

from dataclasses import dataclass

from commands.model import WrapperInputType as Type

CLASS_PREFIX = "org.nrg.xnat.eventservice.events."
ACTION_PROVIDER = "org.nrg.containers.services.CommandActionProvider"


@dataclass(frozen=True, slots=True)
class EventType:
    """One kind of event.

    Parameters
    ----------
    xsi_type : str
        Data type of what it is about.
    inputs : tuple of Type
        Types of external inputs that can take what it is about.
    """

    name: str
    title: str
    statuses: tuple[str, ...]
    xsi_type: str
    inputs: tuple[Type, ...]

    @property
    def class_name(self) -> str:
        """Return the name that subscriptions give."""
        return CLASS_PREFIX + self.name


_SESSIONS = (Type.SESSION, Type.SUBJECT_ASSESSOR)

EVENT_TYPES: dict[str, EventType] = {
    each.name: each
    for each in (
        EventType("ProjectEvent", "Project", ("CREATED", "DELETED"), "xnat:projectData",
                  (Type.PROJECT,)),
        EventType("SubjectEvent", "Subject", ("CREATED", "DELETED"), "xnat:subjectData",
                  (Type.SUBJECT,)),
        EventType("SessionEvent", "Session", ("CREATED", "MERGED", "DELETED"),
                  "xnat:imageSessionData", _SESSIONS),
        EventType("SubjectAssessorEvent", "Subject Assessor", ("CREATED", "DELETED"),
                  "xnat:subjectAssessorData", _SESSIONS),
        EventType("ScanEvent", "Scan", ("CREATED",), "xnat:imageScanData", (Type.SCAN,)),
        EventType("ImageAssessorEvent", "Image Assessor", ("CREATED", "UPDATED"),
                  "xnat:imageAssessorData", (Type.ASSESSOR,)),
        EventType("ResourceEvent", "Resource", ("CREATED", "UPDATED"), "xnat:resourceCatalog",
                  (Type.RESOURCE,)),
        EventType("WorkflowStatusChangeEvent", "Workflow Status Change", ("CHANGED",),
                  "wrk:workflowData", (Type.PROJECT, Type.SUBJECT, *_SESSIONS, Type.ASSESSOR)),
    )
}  # fmt: skip
"""Kinds of events by short name."""

ABSENT_TYPES = frozenset({"ScheduledEvent", "ProjectAssetEvent"})
"""Kinds of events that a real XNAT has and the sandbox has not."""
