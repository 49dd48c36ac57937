"""Who does something, in which role, for what reason. Not here: what each role may do."""

from __future__ import annotations

from dataclasses import dataclass

from xnat_client.errors import UsageError
from xnat_client.sharing.vocabulary import Role


@dataclass(frozen=True)
class Actor:
    """A person, or the service, in the role in which they act.

    Attributes
    ----------
    person_id : str
        Directory identity, never a user name of one server.
    role : Role
        The acting role; that the person has it is checked against the records by who acts on it.
    reason : str
        Why; mandatory, it stands in the audit log.
    source : str
        Where the call comes from: ``cli``, ``api`` or ``loop``.
    """

    person_id: str
    role: Role
    reason: str
    source: str = "api"

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise UsageError("An action on shared data needs a reason; give it with --reason.")


SERVICE_ID = "service"
"""Identity of the service account in the records."""


def service(reason: str, source: str = "loop") -> Actor:
    """Return the service as an actor."""
    return Actor(SERVICE_ID, Role.SERVICE, reason, source)
