"""What a run had before it and left behind: the digest of its inputs, and its results.

Not here: whether it is to be run (``driver``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xnat_client.address import path_of
from xnat_client.errors import NotAllowedError, NotFoundError
from xnat_client.resources import list_files, list_resources, list_scan_files

if TYPE_CHECKING:
    from xnat_client.commands_registry import AvailableWrapper
    from xnat_client.sessions import Session
    from xnat_client.transport import Transport

REPORT = "report.json"
_TEMPLATE_SIGNS = ("#", "^", "[")


@dataclass(frozen=True, slots=True)
class Outputs:
    """Labels of the resources that a wrapper makes on its session, and which it must make.

    ``inputs`` are the names that a launch may give values for; None where they are not known.
    """

    labels: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    inputs: frozenset[str] | None = None


def find_outputs(transport: Transport, wrapper: AvailableWrapper) -> Outputs:
    """Return what a wrapper makes, by its definition on the server.

    Labels that hold a replacement key are not known before the run and are left out; where the
    definition is hidden from this account nothing is known.
    """
    try:
        document = transport.get_json(
            path_of("xapi", "commands", str(wrapper.command_id)),
            doing=f"read the definition of {wrapper.command_name}",
        )
    except (NotAllowedError, NotFoundError):
        return Outputs()
    needed = {
        one["name"] for one in _objects(document.get("outputs")) if one.get("required") is True
    }
    labels, required = set(), set()
    inputs = {str(one.get("name")) for one in _objects(document.get("inputs"))}
    for one in _objects(document.get("xnat")):
        if one.get("name") != wrapper.wrapper_name:
            continue
        for kind in ("external-inputs", "derived-inputs"):
            own = _objects(one.get(kind))
            # What the wrapper takes from the session is not the launch's to give.
            inputs -= {str(each.get("provides-value-for-command-input")) for each in own}
            inputs |= {str(each.get("name")) for each in own}
        for handler in _objects(one.get("output-handlers")):
            parent = handler.get("as-a-child-of") or handler.get("as-a-child-of-wrapper-input")
            label = str(handler.get("label") or "")
            is_resource = handler.get("type", "Resource") == "Resource"
            known = label and not any(sign in label for sign in _TEMPLATE_SIGNS)
            if is_resource and known and parent == wrapper.root_input:
                labels.add(label)
                if handler.get("accepts-command-output") in needed:
                    required.add(label)
    return Outputs(frozenset(labels), frozenset(required), frozenset(inputs))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value or () if isinstance(one, dict)]


def catalogue_digest(transport: Transport, session: Session, own_outputs: Collection[str]) -> str:
    """Return the SHA-256 of a session's files, by place, size and MD5, without our own results.

    Parameters
    ----------
    own_outputs : collection of str
        Labels of the resources that the command itself makes: its result is not its input.
    """
    files = [*list_scan_files(transport, session)]
    for resource in list_resources(transport, session):
        if resource.label not in own_outputs:
            files += list_files(transport, session, resource.label)
    lines = sorted({f"{file.uri}\0{file.size_bytes}\0{file.md5}" for file in files})
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_results(
    transport: Transport, session: Session, wrapper: AvailableWrapper, outputs: Outputs
) -> tuple[tuple[str, ...], str]:
    """Return the resources that a run left, and what is wrong with them (empty if nothing).

    A report of a winxnat step among them must be one of this command and say that it is done.
    """
    found = {
        one.label: one for one in list_resources(transport, session) if one.label in outputs.labels
    }
    missing = sorted(
        label for label in outputs.required if label not in found or not found[label].file_count
    )
    if missing:
        wrong = (
            f"The run ended as Complete, but resource {', '.join(missing)} of session "
            f"{session.label} is not there or empty. Look at the run's log and launch it again."
        )
        return tuple(sorted(found)), wrong
    for label in sorted(found):
        for file in list_files(transport, session, label):
            if file.path == REPORT and (wrong := _wrong_report(transport, file.uri, wrapper)):
                return tuple(sorted(found)), f"{REPORT} of resource {label} {wrong}"
    return tuple(sorted(found)), ""


def _wrong_report(transport: Transport, uri: str, wrapper: AvailableWrapper) -> str:
    report = transport.get_json(uri, doing=f"read {REPORT}")
    if not isinstance(report, dict) or "report_version" not in report:
        return ""  # another program's file of that name
    if report.get("command") != wrapper.command_name:
        return "is that of another command. Launch it again."
    if report.get("exit_code") != 0:
        return "does not say that the step is done. Read the run's log."
    return ""
