"""The work on all sessions of a build, some at a time. Not here: the work on one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xnat_client.release.assembly import Finished
from xnat_client.release.request import Refusal
from xnat_client.release.session_work import Labels, SessionOutcome, SessionWork, Workshop
from xnat_client.release.spellings import Secret

if TYPE_CHECKING:
    from xnat_client.release.plan import Plan, PlannedSession
    from xnat_client.transport import Transport


@dataclass(slots=True)
class Worked:
    """The sessions after their steps.

    Attributes
    ----------
    finished : list
        Those that came through, with whose they are.
    refusals : list of Refusal
        Those that a step refused.
    secrets : set of Secret
        Of the records and headers of all of them.
    left_out : Counter
        Files that are not in it, by reason.
    """

    finished: list[tuple[PlannedSession, Finished]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    secrets: set[Secret] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)


def work_on_all(
    workshop: Workshop,
    plan: Plan,
    labels: Mapping[str, Labels],
    transport: Transport,
    tell: Callable[[str], None],
) -> Worked:
    """Take all planned sessions through their steps; a refusal does not stop the others.

    Raises
    ------
    XnatClientError
        The server does not answer; what is finished is kept for the next try.
    """
    worked = Worked()
    works = {
        one.source.session_id: SessionWork(workshop, one, labels[one.source.session_id])
        for one in plan.sessions
    }
    with ThreadPoolExecutor(workshop.request.jobs) as pool:
        futures = {
            pool.submit(works[one.source.session_id].run, transport): one for one in plan.sessions
        }
        try:
            for count, future in enumerate(as_completed(futures), start=1):
                one = futures[future]
                _take(worked, one, works[one.source.session_id], future.result())
                tell(f"{count} of {len(futures)} sessions went through their steps")
        except BaseException:
            if workshop.on_server is not None:
                workshop.on_server.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return worked


def _take(worked: Worked, one: PlannedSession, work: SessionWork, outcome: SessionOutcome) -> None:
    worked.secrets |= work.secrets()
    worked.left_out.update(outcome.left_out)
    if outcome.refused_by:
        session = work.folder.name.rpartition("-")[2]
        worked.refusals.append(
            Refusal(one.participant_pk, session, outcome.refused_by, outcome.reason)
        )
    else:
        worked.finished.append((one, Finished(work.tree_dir, outcome)))
