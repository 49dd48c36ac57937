"""Launching and watching against a scripted Container Service."""

from __future__ import annotations

import json

import pytest

from xnat_client.commands_registry import AvailableWrapper, ensure_registered, find_available
from xnat_client.errors import (
    ConflictError,
    NotFoundError,
    RefusedError,
    RunFailedError,
    UnreachableError,
    UsageError,
)
from xnat_client.launch import (
    Patience,
    Run,
    RunState,
    WholeProject,
    describe_failure,
    get_state,
    kill_run,
    launch_command,
    watch_run,
)
from xnat_client.sessions import Session
from xnat_client.transport import Transport

from .conftest import Reply, ScriptedServer

SESSION = Session("X_E1", "E1", "P", "S", "xnat:mrSessionData")
WRAPPER = AvailableWrapper(1, "convert", 3, "convert-session", "session", "winxnat/convert:1")
RUN = Run("117", "P", "convert", "E1")
LAUNCH = "/xapi/projects/P/wrappers/3/root/session/launch"
CONTAINERS = "/xapi/projects/P/containers"
WORKFLOW = "/data/workflows/117"
QUICK = Patience(first_pause_s=0.001, longest_pause_s=0.002, assignment_s=5)


def _status(status: str, details: str = "") -> Reply:
    return Reply.json({"items": [{"data_fields": {"status": status, "details": details}}]})


def _report(workflow_id: str) -> Reply:
    return Reply.json({"status": "success", "workflow-id": workflow_id})


def test_launch_sends_the_session_as_root_input(
    scripted: ScriptedServer, transport: Transport
) -> None:
    """The request has the archive URI under the wrapper's root input, and all values as text."""
    scripted.answer("GET", CONTAINERS, Reply.json([]))
    scripted.answer("POST", LAUNCH, _report("117"))

    run = launch_command(transport, WRAPPER, SESSION, {"gzip": "true"})

    assert run == RUN
    [request] = scripted.requests_to(LAUNCH)
    assert json.loads(request.body) == {"gzip": "true", "session": "/archive/experiments/X_E1"}
    assert request.headers["Content-Type"] == "application/json"


def test_a_project_as_a_whole_is_a_root_input_too(
    scripted: ScriptedServer, transport: Transport
) -> None:
    """The service knows a project by /archive/projects/ID; messages call it a project."""
    scripted.answer("GET", CONTAINERS, Reply.json([]))
    scripted.answer("POST", LAUNCH, _report("117"))
    scripted.answer("GET", WORKFLOW, _status("Failed"))

    run = launch_command(transport, WRAPPER, WholeProject("P"))
    with pytest.raises(RunFailedError, match="on project P ended as Failed"):
        watch_run(transport, run, patience=QUICK)

    [request] = scripted.requests_to(LAUNCH)
    assert json.loads(request.body) == {"session": "/archive/projects/P"}


def test_a_missing_input_says_what_makes_it(scripted: ScriptedServer, transport: Transport) -> None:
    """The service names the input only; the message says which commands make its resource."""
    details = "Missing values for required inputs: bids."
    scripted.answer("GET", WORKFLOW, _status("Failed (Command resolution)", details))
    scripted.answer("GET", CONTAINERS, Reply.json([]))

    with pytest.raises(RunFailedError, match="which dicom-to-bids and eeg-to-bids make"):
        watch_run(transport, RUN, patience=QUICK)


def test_workflow_to_be_assigned_is_found_afterwards(
    scripted: ScriptedServer, transport: Transport
) -> None:
    """The container that was not there before the launch tells the workflow."""
    old = {"id": 1, "wrapper-id": 3, "workflow-id": "100"}
    other = {"id": 2, "wrapper-id": 9, "workflow-id": "116"}
    mine = {"id": 3, "wrapper-id": 3, "workflow-id": "117"}
    scripted.answer(
        "GET",
        CONTAINERS,
        Reply.json([old]),
        Reply.json([old, other]),
        Reply.json([old, other, mine]),
    )
    scripted.answer("POST", LAUNCH, _report("To be assigned"))

    assert launch_command(transport, WRAPPER, SESSION, patience=QUICK).workflow_id == "117"


def test_workflow_that_never_comes_is_an_error(
    scripted: ScriptedServer, transport: Transport
) -> None:
    """Without a container in time the launch is not called a success."""
    scripted.answer("GET", CONTAINERS, Reply.json([]))
    scripted.answer("POST", LAUNCH, _report("To be assigned"))

    with pytest.raises(UnreachableError, match="no container appeared"):
        launch_command(
            transport, WRAPPER, SESSION, patience=Patience(first_pause_s=0.001, assignment_s=0.01)
        )


@pytest.mark.parametrize(
    "reply",
    [
        Reply.json({"status": "failure", "message": "no such input"}),
        Reply(500, json.dumps({"status": "failure", "message": "no such input"}).encode()),
    ],
)
def test_refused_launch_says_why(
    scripted: ScriptedServer, transport: Transport, reply: Reply
) -> None:
    """The service's reason is passed on, whether it comes with 200 or 500; one request is sent."""
    scripted.answer("GET", CONTAINERS, Reply.json([]))
    scripted.answer("POST", LAUNCH, reply)

    with pytest.raises(RefusedError, match="no such input"):
        launch_command(transport, WRAPPER, SESSION)

    assert len(scripted.requests_to(LAUNCH)) == 1


def test_root_input_is_no_parameter(transport: Transport) -> None:
    """The session cannot be overridden by a parameter of the root input's name."""
    with pytest.raises(UsageError):
        launch_command(transport, WRAPPER, SESSION, {"session": "/archive/experiments/OTHER"})


def test_watch_reports_each_change_and_ends_at_complete(
    scripted: ScriptedServer, transport: Transport
) -> None:
    """Repeated looks at the same state are told once; only Complete is success."""
    states = ["Queued", "Running", "Running", "Finalizing", "Complete"]
    scripted.answer("GET", WORKFLOW, *[_status(one) for one in states])
    seen: list[str] = []

    final = watch_run(
        transport, RUN, patience=QUICK, progress=lambda state: seen.append(state.status)
    )

    assert seen == ["Queued", "Running", "Finalizing", "Complete"]
    assert final.is_complete


@pytest.mark.parametrize(
    "status",
    ["Failed", "Failed (Upload)", "Failed (Staging)", "Killed", "Killed (Out of Memory)"],
)
def test_every_other_end_is_a_failure(
    scripted: ScriptedServer, transport: Transport, status: str
) -> None:
    """The error holds the service's reason and the end of the container's stderr."""
    scripted.answer("GET", WORKFLOW, _status("Running"), _status(status, "because"))
    scripted.answer("GET", CONTAINERS, Reply.json([{"id": 5, "workflow-id": "117"}]))
    log = "\n".join(f"line {n}" for n in range(100)).encode()
    scripted.answer("GET", "/xapi/containers/5/logs/stderr", Reply(body=log))

    with pytest.raises(RunFailedError, match="because") as caught:
        watch_run(transport, RUN, patience=QUICK)

    assert caught.value.run_status == status
    assert caught.value.stderr_tail.splitlines()[0] == "line 80"
    assert str(caught.value).endswith("line 99")


def test_failure_is_told_even_without_a_log(scripted: ScriptedServer, transport: Transport) -> None:
    """A log that cannot be read does not hide that the run failed."""
    scripted.answer("GET", WORKFLOW, _status("Failed"))
    scripted.answer("GET", CONTAINERS, Reply(500))

    with pytest.raises(RunFailedError, match="left no stderr"):
        watch_run(transport, RUN, patience=QUICK)


def test_failure_without_a_container_names_no_log(
    scripted: ScriptedServer, transport: Transport
) -> None:
    """Where nothing ran, or the account may not see it, no log is promised."""
    scripted.answer("GET", CONTAINERS, Reply.json([]))
    state = RunState("Failed (Command resolution)")

    told = str(describe_failure(transport, RUN, state, "winxnat jobs logs 1"))

    assert "shows this account no container" in told
    assert "winxnat jobs logs" not in told


@pytest.mark.parametrize(
    ("details", "kept"),
    [
        ("Exit code 3; nothing was uploaded. Read its logs: /xapi/containers/1/logs/stderr",
         "Exit code 3; nothing was uploaded."),
        ("Exit code 3", "Exit code 3"),
    ],
)  # fmt: skip
def test_addresses_of_logs_are_not_told(
    scripted: ScriptedServer, transport: Transport, details: str, kept: str
) -> None:
    """Who has a command line has no use for an address on the server."""
    scripted.answer("GET", WORKFLOW, _status("Failed", details))

    assert get_state(transport, RUN).details == kept


def test_watching_ends_in_time(scripted: ScriptedServer, transport: Transport) -> None:
    """A run that goes on is left running, and the message says so."""
    scripted.answer("GET", WORKFLOW, _status("Running"))

    with pytest.raises(UnreachableError, match="it goes on"):
        watch_run(transport, RUN, patience=Patience(first_pause_s=0.001, timeout_s=0.01))


@pytest.mark.parametrize(
    ("status", "over", "complete"),
    [
        ("Complete", True, True),
        ("Failed (Staging)", True, False),
        ("Killed", True, False),
        ("Created", False, False),
        ("_Waiting", False, False),
        ("Finalizing", False, False),
    ],
)
def test_terminal_states(status: str, *, over: bool, complete: bool) -> None:
    """Which statuses end a run (XNAT Container Service, workflow statuses)."""
    state = RunState(status)

    assert (state.is_over, state.is_complete) == (over, complete)


def test_kill_posts_to_the_container(scripted: ScriptedServer, transport: Transport) -> None:
    """The run's own container is ended; a run without one is an error."""
    rows = [{"id": 4, "workflow-id": "1"}, {"id": 5, "workflow-id": "117"}]
    scripted.answer("GET", CONTAINERS, Reply.json(rows), Reply.json([]))
    scripted.answer("POST", "/xapi/containers/5/kill", Reply(body=b"abc"))

    kill_run(transport, RUN)
    with pytest.raises(NotFoundError):
        kill_run(transport, RUN)

    assert [one.path for one in scripted.received if one.method == "POST"] == [
        "/xapi/containers/5/kill"
    ]


def _summary(command: str, wrapper: str, command_id: int = 1) -> dict[str, object]:
    return {
        "command-id": command_id, "command-name": command, "wrapper-id": 10 * command_id,
        "wrapper-name": wrapper, "image-name": "i", "enabled": True, "root-element-name": "session",
    }  # fmt: skip


def test_command_is_found_by_name(scripted: ScriptedServer, transport: Transport) -> None:
    """A command goes by its own or its wrapper's name; of two versions the newer one is taken."""
    rows = [_summary("a", "a-session"), _summary("a", "a-session", 2), _summary("b", "b-session")]
    scripted.answer("GET", "/xapi/commands/available", Reply.json(rows))

    assert find_available(transport, "P", "xnat:mrSessionData", "a").command_id == 2
    assert find_available(transport, "P", "xnat:mrSessionData", "b-session").command_name == "b"
    with pytest.raises(NotFoundError, match="available to this account are: a, b"):
        find_available(transport, "P", "xnat:mrSessionData", "c")


def test_several_wrappers_need_a_choice(scripted: ScriptedServer, transport: Transport) -> None:
    """Two wrappers of one command that both fit are not chosen between by chance."""
    rows = [_summary("a", "a-quick"), _summary("a", "a-thorough")]
    scripted.answer("GET", "/xapi/commands/available", Reply.json(rows))

    with pytest.raises(UsageError, match="a-quick, a-thorough"):
        find_available(transport, "P", "xnat:mrSessionData", "a")
    chosen = find_available(transport, "P", "xnat:mrSessionData", "a", "a-thorough")
    assert chosen.wrapper_name == "a-thorough"


DOCUMENT = {"name": "a", "version": "1", "image": "winxnat/a:1"}
KNOWN = {**DOCUMENT, "id": 7, "xnat": [{"id": 70, "name": "a session"}]}


def test_registering_twice_posts_once(scripted: ScriptedServer, transport: Transport) -> None:
    """The command is posted if it is unknown, and enabled for site and project each time."""
    scripted.answer("GET", "/xapi/commands", Reply.json([]), Reply.json([KNOWN]))
    scripted.answer("POST", "/xapi/commands", Reply(201, b"7"))
    site = "/xapi/commands/7/wrappers/a session/enabled"
    project = "/xapi/projects/P/commands/7/wrappers/a session/enabled"
    scripted.answer("PUT", site, Reply())
    scripted.answer("PUT", project, Reply())

    first = ensure_registered(transport, DOCUMENT, ["P"])
    second = ensure_registered(transport, DOCUMENT, ["P"])

    assert first == second
    assert first.wrappers == {"a session": 70}
    methods = [one.method for one in scripted.requests_to("/xapi/commands")]
    assert methods == ["GET", "POST", "GET", "GET"]
    assert len(scripted.requests_to(site)) == len(scripted.requests_to(project)) == 2


def test_same_version_with_another_image_is_a_conflict(
    scripted: ScriptedServer, transport: Transport
) -> None:
    """A version stands for one image; nothing is enabled if it does not."""
    scripted.answer("GET", "/xapi/commands", Reply.json([{**KNOWN, "image": "other:1"}]))

    with pytest.raises(ConflictError):
        ensure_registered(transport, DOCUMENT, ["P"])

    assert [one for one in scripted.received if one.method == "PUT" and "enabled" in one.path] == []
