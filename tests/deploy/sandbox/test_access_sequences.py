"""No sequence of allowed requests gives anybody more than the access model says.

A slow, obvious model, written from the description of XNAT's access model, runs beside the server:
it knows who is in which group, what is shared where, and nothing else.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from tests.deploy.sandbox.conftest import Api, unique_name

READERS = {"owner", "member", "collaborator"}
WRITERS = {"owner", "member"}
DONE = {200, 201}
REFUSED = {403, 404, 409}

people = st.integers(0, 2)
places = st.integers(0, 2)
picks = st.integers(0, 30)
words = st.sampled_from(["private", "protected", "public", "Public", "open", "protected "])
groups = st.sampled_from(["owner", "member", "collaborator"])


@dataclass(eq=False)
class Thing:
    """A subject or a session, as the model knows it."""

    id: str
    is_subject: bool
    home: int
    parent: Thing | None = None
    shared: set[int] = field(default_factory=set)

    @property
    def path(self) -> str:
        """Return the path below a project or /data."""
        return f"{'subjects' if self.is_subject else 'experiments'}/{self.id}"


class AccessMachine(RuleBasedStateMachine):
    """Three people, three projects; whatever they do, the server and the model agree."""

    users: ClassVar[list[Api]] = []

    @initialize()
    def start(self) -> None:
        """Three private projects, each made by another person."""
        self.labels = itertools.count()
        self.projects = [unique_name("W") for _ in self.users]
        self.level = ["private"] * 3
        self.standing: dict[tuple[int, int], str] = {}
        self.things: list[Thing] = []
        for number, (user, project) in enumerate(zip(self.users, self.projects, strict=True)):
            user.made(
                f"/data/projects/{project}", xsiType="xnat:projectData", accessibility="private"
            )
            self.standing[number, number] = "owner"

    # The model: the rules in the order in which they are described ------------------------------

    def sees(self, user: int, place: int) -> bool:
        """Members and, unless it is private, everybody see the project's record."""
        return (user, place) in self.standing or self.level[place] in {"protected", "public"}

    def reads_in(self, user: int, place: int) -> bool:
        """Any group reads; public data are everybody's."""
        return self.standing.get((user, place)) in READERS or self.level[place] == "public"

    def writes_in(self, user: int, place: int) -> bool:
        """Owners and members create and edit."""
        return self.standing.get((user, place)) in WRITERS

    def owns(self, user: int, place: int) -> bool:
        """Only owners delete and manage."""
        return self.standing.get((user, place)) == "owner"

    def reads(self, user: int, thing: Thing, via: int | None = None) -> bool:
        """Readable where it appears: in one place, or without a place in any."""
        everywhere = {thing.home, *thing.shared}
        if via is None:
            return any(self.reads_in(user, place) for place in everywhere)
        return via in everywhere and self.reads_in(user, via)

    def edits(self, user: int, thing: Thing, via: int) -> bool:
        """Editing through a share needs the right in both projects."""
        if via not in {thing.home, *thing.shared}:
            return False
        return self.writes_in(user, via) and self.writes_in(user, thing.home)

    # Requests ---------------------------------------------------------------------------------

    def pick(self, number: int) -> Thing | None:
        """Return one of the objects, if there is any."""
        return self.things[number % len(self.things)] if self.things else None

    def base(self, place: int) -> str:
        """Return a project's path."""
        return f"/data/projects/{self.projects[place]}"

    def send(self, user: int, method: str, path: str, *, allowed: bool) -> str:
        """Send a request that the model allows or refuses; return the answer's text."""
        answer = self.users[user].request(method, path)
        told = (method, path, answer.status_code, answer.text)
        assert answer.status_code in (DONE if allowed else REFUSED), told
        return answer.text

    @rule(user=people, place=places)
    def make_subject(self, user: int, place: int) -> None:
        """Make a subject in a project."""
        allowed = self.writes_in(user, place)
        path = f"{self.base(place)}/subjects/S{next(self.labels)}?gender=female"
        made = self.send(user, "PUT", path, allowed=allowed)
        if allowed:
            self.things.append(Thing(made, is_subject=True, home=place))

    @rule(user=people, place=places, number=picks)
    def make_session(self, user: int, place: int, number: int) -> None:
        """Make a session of a subject, in a project where the subject appears."""
        subject = self.pick(number)
        if subject is None or not subject.is_subject:
            return
        # Where the subject does not appear, its ID would be the label of a new subject.
        if place not in {subject.home, *subject.shared}:
            return
        allowed = self.writes_in(user, place)
        label = f"E{next(self.labels)}"
        path = f"{self.base(place)}/{subject.path}/experiments/{label}?xsiType=xnat:mrSessionData"
        made = self.send(user, "PUT", path, allowed=allowed)
        if allowed:
            self.things.append(Thing(made, is_subject=False, home=place, parent=subject))

    @rule(user=people, via=places, to=places, number=picks)
    def share(self, user: int, via: int, to: int, number: int) -> None:
        """Share an object, seen through one project, into another."""
        thing = self.pick(number)
        if thing is None:
            return
        allowed = (
            self.reads(user, thing, via)
            and self.sees(user, to)
            and self.writes_in(user, to)
            and to not in {thing.home, *thing.shared}
        )
        path = f"{self.base(via)}/{thing.path}/projects/{self.projects[to]}"
        self.send(user, "PUT", f"{path}?label=L{next(self.labels)}", allowed=allowed)
        if allowed:
            thing.shared.add(to)

    @rule(user=people, via=places, to=places, number=picks)
    def unshare(self, user: int, via: int, to: int, number: int) -> None:
        """End a share, seen through one project."""
        thing = self.pick(number)
        if thing is None:
            return
        allowed = (
            self.reads(user, thing, via)
            and to in thing.shared
            and (self.owns(user, to) or self.owns(user, thing.home))
        )
        path = f"{self.base(via)}/{thing.path}/projects/{self.projects[to]}"
        self.send(user, "DELETE", path, allowed=allowed)
        if allowed:
            thing.shared.discard(to)

    @rule(user=people, via=places, number=picks)
    def delete(self, user: int, via: int, number: int) -> None:
        """Delete an object through its own project, or unshare it through another."""
        thing = self.pick(number)
        if thing is None:
            return
        inside = [other for other in self.things if other.parent is thing]
        allowed = via in {thing.home, *thing.shared} and self.owns(user, via)
        if via == thing.home:
            # Other projects' sessions of a subject are their data: it cannot go.
            allowed = allowed and all(other.home == thing.home for other in inside)
        self.send(user, "DELETE", f"{self.base(via)}/{thing.path}", allowed=allowed)
        if allowed and via == thing.home:
            self.things = [t for t in self.things if t is not thing and t not in inside]
        elif allowed:
            thing.shared.discard(via)

    @rule(user=people, via=places, number=picks)
    def edit(self, user: int, via: int, number: int) -> None:
        """Change a field of an object."""
        thing = self.pick(number)
        # Where it does not appear, its ID would be the label of a new object.
        if thing is None or via not in {thing.home, *thing.shared}:
            return
        name = "gender=male" if thing.is_subject else "note=x"
        path = f"{self.base(via)}/{thing.path}?{name}"
        self.send(user, "PUT", path, allowed=self.edits(user, thing, via))

    @rule(user=people, place=places, word=words)
    def set_level(self, user: int, place: int, word: str) -> None:
        """Set the accessibility to a word that XNAT knows or to another."""
        allowed = self.owns(user, place)
        self.send(user, "PUT", f"{self.base(place)}/accessibility/{word}", allowed=allowed)
        if allowed:
            self.level[place] = word if word in {"protected", "public"} else "private"

    @rule(user=people, place=places, other=people, group=groups)
    def add(self, user: int, place: int, other: int, group: str) -> None:
        """Put a person into a group of a project, out of the others."""
        allowed = self.owns(user, place)
        path = f"{self.base(place)}/users/{group}/{self.users[other].login}"
        self.send(user, "PUT", path, allowed=allowed)
        if allowed:
            self.standing[other, place] = group

    @rule(user=people, place=places, other=people, group=groups)
    def remove(self, user: int, place: int, other: int, group: str) -> None:
        """Take a person out of a group of a project."""
        allowed = self.owns(user, place)
        path = f"{self.base(place)}/users/{group}/{self.users[other].login}"
        self.send(user, "DELETE", path, allowed=allowed)
        if allowed and self.standing.get((other, place)) == group:
            del self.standing[other, place]

    # What must always be so -------------------------------------------------------------------

    @invariant()
    def lists_hold_what_the_model_reads(self) -> None:
        """The lists of all subjects and sessions have exactly the readable ones."""
        for (user, api), path in itertools.product(
            enumerate(self.users), ("/data/subjects", "/data/experiments")
        ):
            ids = {thing.id: thing for thing in getattr(self, "things", [])}
            listed = {row["ID"] for row in api.rows(path)} & ids.keys()
            wanted = {
                name
                for name, thing in ids.items()
                if thing.is_subject == (path == "/data/subjects") and self.reads(user, thing)
            }
            assert listed == wanted, (user, path)

    @rule(user=people, via=st.one_of(st.none(), places), number=picks)
    def one_object_is_as_the_model_says(self, user: int, via: int | None, number: int) -> None:
        """An object is 200 where the model reads it, else 404."""
        thing = self.pick(number)
        if thing is None:
            return
        base = "/data" if via is None else self.base(via)
        status = self.users[user].get(f"{base}/{thing.path}?format=json").status_code
        assert status == (200 if self.reads(user, thing, via) else 404)

    @rule(user=people, place=places)
    def one_project_is_as_the_model_says(self, user: int, place: int) -> None:
        """The record and the list of subjects have the model's status."""
        record = self.users[user].get(f"{self.base(place)}?format=json").status_code
        subjects = self.users[user].get(f"{self.base(place)}/subjects").status_code
        if not self.sees(user, place):
            assert (record, subjects) == (404, 404)
        else:
            assert (record, subjects) == (200, 200 if self.reads_in(user, place) else 403)


@pytest.mark.slow
def test_no_sequence_of_requests_opens_more_than_the_model(make_user: Any) -> None:
    """After any steps by three people, each reads exactly what the access model gives."""
    AccessMachine.users = [make_user() for _ in range(3)]

    run_machine(
        AccessMachine,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
