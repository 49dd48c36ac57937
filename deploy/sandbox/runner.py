"""The background worker that does the launches: a queue, a few threads, one path for each.

What a launch needs to go on after a restart is in the database before anything runs. Not here:
the steps themselves (``run``), and HTTP (``launch``, ``containers_api``).
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from containers.engine import ContainerEngine, EngineError
from deploy.sandbox import container_rows, launches, workflow_rows
from deploy.sandbox.engines import Engines
from deploy.sandbox.launches import LaunchFailure, LaunchRequest
from deploy.sandbox.run import Run
from deploy.sandbox.run_context import Interrupted, RunContext
from deploy.sandbox.store import ACTING_LOGIN

if TYPE_CHECKING:
    from deploy.sandbox.site import Site

_LOG = logging.getLogger("winxnat.sandbox.runner")

MIN_PARALLEL = 4
"""Launches that are worked on at a time, at least; more wait as Queued."""


class Runner:
    """Does the launches of one site.

    Notes
    -----
    Stopping the server leaves containers running; the next start goes on with them. Launches
    that had not started their container begin afresh.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self.engines = Engines(site.settings, site.store)
        self.stopping = threading.Event()
        self._pool = ThreadPoolExecutor(
            max_workers=max(MIN_PARALLEL, os.cpu_count() or 1), thread_name_prefix="launch"
        )
        site.on_stop.append(self.stop)

    @property
    def engine(self) -> ContainerEngine:
        """Return the engine that new containers are given to."""
        return self.engines.present

    def engine_of(self, row: sqlite3.Row) -> ContainerEngine:
        """Return the engine that runs a container."""
        return self.engines.named(str(json.loads(row["document"]).get("backend", "")))

    def recover(self) -> None:
        """Take up what an earlier server left unfinished.

        Containers that run come first: there were never more of them than threads.
        """
        connection = self._site.store.connection
        for workflow_id in launches.unfinished(connection):
            self.submit(workflow_id)
        for workflow_id in launches.uncleaned(connection):
            self._pool.submit(self._clean_up, workflow_id).add_done_callback(_tell_fault)

    def submit(self, workflow_id: int) -> None:
        """Do a stored launch as soon as a thread is free."""
        self._pool.submit(self._work, workflow_id).add_done_callback(_tell_fault)

    def stop(self) -> None:
        """Let go of everything; containers run on.

        Nothing is waited for: a step that is cut off here is one that a crash would cut off too,
        and the next start knows what to do with it.
        """
        self.stopping.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def kill(self, container_id: int) -> None:
        """Ask for the end of a container; the launch then ends as Killed, within a second.

        Only the thread of its launch speaks to the engine about it, so that it is not ended and
        removed at the same time.
        """
        with self._site.store.write() as connection:
            container_rows.save_state(connection, container_id, kill=True)

    def _run(self, request: LaunchRequest) -> Run:
        row = None
        if request.container_id is not None:
            row = container_rows.find(self._site.store.connection, str(request.container_id))
        engine = self.engine if row is None else self.engine_of(row)
        return Run(RunContext(self._site, engine, request, self.stopping))

    def _work(self, workflow_id: int) -> None:
        store = self._site.store
        request = launches.find(store.connection, workflow_id)
        if request is None or request.phase == launches.DONE:
            return
        user = self._site.people.by_id(request.user_id)
        ACTING_LOGIN.set("" if user is None else user.login)
        try:
            self._run(request).go()
        except Interrupted:
            return  # the next server goes on with it
        except LaunchFailure as failure:
            self._end(request, failure.status, failure.details)
        except EngineError as error:
            self._end(request, "Failed", str(error))
        except Exception as error:  # noqa: BLE001 - no launch may stay under way for ever
            frames = "".join(traceback.format_tb(error.__traceback__))
            _LOG.error("Launch %s: %s\n%s", workflow_id, type(error).__name__, frames)
            self._end(request, "Failed (org.nrg.containers.exceptions.ContainerException)",
                      "The sandbox has a fault here; its log says where.")  # fmt: skip

    def _end(self, request: LaunchRequest, status: str, details: str) -> None:
        """Mark a launch and its containers as over."""
        with self._site.store.write() as connection:
            current = launches.find(connection, request.workflow_id)
            workflow_rows.update(connection, request.workflow_id, status, details=details)
            launches.move(connection, request.workflow_id, launches.DONE)
            container_id = None if current is None else current.container_id
            if container_id is not None:
                word = status if status in container_rows.FINAL_STATUSES else "Failed"
                container_rows.record(connection, container_id, word, message=details)
        self._run(request).clean_up()

    def _clean_up(self, workflow_id: int) -> None:
        """Clean up after a launch whose server ended between its last word and this."""
        request = launches.find(self._site.store.connection, workflow_id)
        if request is not None:
            self._run(request).clean_up()


def _tell_fault(done: Future[None]) -> None:
    """Write into the log what not even the end of a launch could deal with."""
    error = None if done.cancelled() else done.exception()
    if error is not None:
        frames = "".join(traceback.format_tb(error.__traceback__))
        _LOG.error("A launch could not be ended: %s\n%s", type(error).__name__, frames)
