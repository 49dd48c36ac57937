"""The worker that tells subscriptions of events: each event once, also across a sudden end.

The launches that an event leads to, the history, and the removal of the event are one
transaction. Not here: noting events (``schemas/events.sql``) and doing launches (``runner``).
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deploy.sandbox import command_rows, event_rows, launches
from deploy.sandbox.errors import HttpError
from deploy.sandbox.event_objects import EventObject, describe
from deploy.sandbox.event_rows import MISMATCH, Delivery, Event, Subscription
from deploy.sandbox.event_types import ACTION_PROVIDER
from deploy.sandbox.launch_requests import check_launchable, find_root, project_of
from deploy.sandbox.matchers import MatcherError, matching
from deploy.sandbox.object_tree import ObjectTree, UnknownItemError
from deploy.sandbox.rights import Action

if TYPE_CHECKING:
    from deploy.sandbox.command_rows import StoredWrapper
    from deploy.sandbox.object_items import Item
    from deploy.sandbox.people import User
    from deploy.sandbox.site import Site

_LOG = logging.getLogger("winxnat.sandbox.events")
_PAUSE_S = 1.0


class _Halt(Exception):  # noqa: N818 - an end of the way, not always an error
    """The event leads to no launch."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass
class _Decision:
    """What is to become of an event for one subscription."""

    subscription: Subscription
    steps: list[tuple[str, str]] = field(default_factory=list)
    login: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    failed: bool = False
    launch: _Launch | None = None


@dataclass(frozen=True)
class _Launch:
    stored: StoredWrapper
    user: User
    project: str | None
    root: Item


def wrapper_number(action_key: str) -> int | None:
    """Return the wrapper's number in an action key, or None when the key is of another form."""
    provider, _, number = action_key.rpartition(":")
    if provider != ACTION_PROVIDER or not (number.isascii() and number.isdigit()):
        return None
    return int(number[:18])


class EventDispatcher:
    """Delivers the events of one site, in the order in which they happened."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)
        site.on_stop.append(self.stop)

    def start(self) -> None:
        """Begin with what an earlier server left, then go on with what happens."""
        self._thread.start()

    def stop(self) -> None:
        """Let the worker end; what it did not deliver, the next start does."""
        self._stopping.set()
        self._site.store.event_noted.set()

    def _work(self) -> None:
        store = self._site.store
        while not self._stopping.is_set():
            store.event_noted.clear()
            try:
                while not self._stopping.is_set():
                    event = event_rows.next_event(store.connection)
                    if event is None:
                        break
                    self._deliver(event)
            except Exception as error:  # noqa: BLE001 - a full disk now must not end all events
                _log_fault(error)
                self._stopping.wait(_PAUSE_S)
            else:
                store.event_noted.wait()

    # One event --------------------------------------------------------------------------------

    def _deliver(self, event: Event) -> None:
        about = describe(self._site.store.connection, self._site.types, event)
        decisions = [self._decide(event, about, each) for each in self._listeners(event, about)]
        numbers = []
        with self._site.store.write() as connection:
            if not event_rows.take_event(connection, event):  # pragma: no cover - one worker
                return
            for decision in decisions:
                number = _carry_out(connection, event, about, decision)
                numbers += [] if number is None else [number]
        for number in numbers:
            self._site.runner.submit(number)

    def _listeners(self, event: Event, about: EventObject) -> list[Subscription]:
        return [
            each
            for each in event_rows.list_subscriptions(self._site.store.connection)
            if each.draft.active
            and each.after_event < event.id
            and each.draft.event_type in about.event_types
            and each.draft.status == event.status
            and (not each.draft.projects or about.project in each.draft.projects)
        ]

    def _decide(self, event: Event, about: EventObject, each: Subscription) -> _Decision:
        decision = _Decision(each, [("SUBSCRIPTION_TRIGGERED", "The event was noticed.")])
        try:
            self._prepare(event, about, decision)
        except _Halt as halt:
            decision.steps.append((halt.status, halt.message))
            decision.failed = halt.status != MISMATCH
        except HttpError as error:
            decision.steps.append(("ACTION_FAILED", error.message))
            decision.failed = True
        except Exception as error:  # noqa: BLE001 - one subscription must not stop the others
            _log_fault(error)
            decision.steps.append(("FAILED", "The sandbox has a fault here; its log says where."))
            decision.failed = True
        return decision

    def _prepare(self, event: Event, about: EventObject, decision: _Decision) -> None:
        draft = decision.subscription.draft
        self._require_standing(decision.subscription)
        user = self._acting_user(event, decision)
        stored = self._wrapper(draft.action_key)
        if stored.id == about.wrapper_id:
            raise _Halt(MISMATCH, "The workflow is one of this action's own launches.")
        item = self._item(about, draft.payload_filter, user, stored, decision)
        # As XNAT does: with several projects the object's own, with none no project at all.
        several = about.project if draft.projects else None
        project = draft.projects[0] if len(draft.projects) == 1 else several
        external = stored.wrapper.external_inputs[0].name
        decision.inputs = {**draft.attributes, external: item.uri}
        decision.steps.append(("ACTION_CALLED", f"Launching {stored.wrapper.name}."))
        check_launchable(self._site, user, stored, project)
        root = find_root(self._site, user, stored, project=project, params=decision.inputs)
        if root is None:
            raise _Halt("ACTION_FAILED", "The object does not appear in the project.")
        decision.launch = _Launch(stored, user, project, root)

    def _require_standing(self, subscription: Subscription) -> None:
        """Halt where the subscription's owner could no longer make it."""
        owner = self._site.people.by_id(subscription.owner_id)
        projects = subscription.draft.projects
        rights = self._site.rights
        if owner is None or not owner.is_usable:
            raise _Halt("ACTION_FAILED", "The account of the subscription can no longer be used.")
        if owner.is_admin:
            return
        if not projects or not all(
            Action.DELETE in rights.record_actions(owner, each) for each in projects
        ):
            raise _Halt(
                "ACTION_FAILED",
                "Who made the subscription is no longer an owner of its projects. "
                "An owner can make a new one.",
            )

    def _acting_user(self, event: Event, decision: _Decision) -> User:
        subscription, people = decision.subscription, self._site.people
        if subscription.draft.as_event_user:
            user = people.by_login(event.login)
        else:
            user = people.by_id(subscription.owner_id)
        decision.login = event.login if user is None else user.login
        if user is None or not user.is_usable:
            raise _Halt("ACTION_FAILED", "The account to act as can no longer be used.")
        return user

    def _wrapper(self, action_key: str) -> StoredWrapper:
        number = wrapper_number(action_key)
        connection = self._site.store.connection
        stored = None if number is None else command_rows.find_wrapper(connection, number)
        if stored is None or not stored.wrapper.external_inputs:
            raise _Halt("ACTION_FAILED", f"Wrapper not found with id: {number}.")
        return stored

    def _item(
        self,
        about: EventObject,
        accepted: str,
        user: User,
        stored: StoredWrapper,
        decision: _Decision,
    ) -> Item:
        """Return the object of the event, if the filter accepts it."""
        tree = ObjectTree(self._site, user)
        item = None
        if about.uri is not None:
            try:
                item = tree.find(about.uri, stored.wrapper.external_inputs[0].type)
            except UnknownItemError:
                item = None
        document = about.document
        if document is None and item is not None:
            document = tree.document(item, accepted)
        if document is not None and accepted:
            if not _matches(accepted, document):
                raise _Halt(MISMATCH, "Event object failed filter test.")
            decision.steps.append(("OBJECT_FILTERED", "Event object passed filter test."))
        if item is None:
            raise _Halt(
                "ACTION_FAILED",
                "The object is gone, of a type that the action does not take, or not readable to "
                "the account to act as.",
            )
        return item


def _matches(accepted: str, document: dict[str, object]) -> bool:
    try:
        return bool(matching(accepted, [document]))
    except MatcherError as error:
        raise _Halt("OBJECT_FILTERING_FAULT", "The filter is not JSONPath.") from error


def _carry_out(
    connection: sqlite3.Connection, event: Event, about: EventObject, decision: _Decision
) -> int | None:
    """Store the launch and the history; return the launch's workflow number, if there is one."""
    subscription = event_rows.find_subscription(connection, decision.subscription.id)
    if subscription is None or not subscription.draft.active:
        return None  # deleted or put to rest meanwhile
    number = None
    if decision.launch is not None:
        launch = decision.launch
        number = launches.add(
            connection,
            wrapper_id=launch.stored.id,
            wrapper_name=launch.stored.wrapper.name,
            user_id=launch.user.id,
            project=project_of(launch.project, launch.root),
            params=decision.inputs,
            root=launch.root,
            justification=f"Event subscription {subscription.id}",
        )
        decision.steps.append(("ACTION_STEP", f"Container queued: workflow {number}."))
    event_rows.add_delivery(
        connection,
        subscription.id,
        Delivery(
            project=about.project,
            login=decision.login,
            event_type=subscription.draft.event_type,
            event_status=event.status,
            about={**about.about, "uri": about.uri},
            inputs=decision.inputs,
            failed=decision.failed,
            steps=tuple(decision.steps),
        ),
    )
    return number


def _log_fault(error: Exception) -> None:
    # The frames say where; the exception's own text could hold data, so it is not logged.
    frames = "".join(traceback.format_tb(error.__traceback__))
    _LOG.error("An event could not be delivered: %s\n%s", type(error).__name__, frames)
