"""``winxnat share``: records, levels, checks, grants, the loop that keeps watch, withdrawal.

Not here: the subcommands themselves; each stands in a module of ``sharing``.
"""

from __future__ import annotations

import click

from xnat_client.cli.lazy_group import LazyGroup

HELP = "Keep consent and roles, check sharing levels, grant access, watch the servers."

_HERE = "xnat_client.cli.sharing"


@click.group(
    cls=LazyGroup,
    lazy={
        "init": (f"{_HERE}.setup:init", "Make the records of a site."),
        "server": (f"{_HERE}.setup:server", "Name the XNAT servers of the site."),
        "template": (f"{_HERE}.setup:template", "Write the example texts that the officer edits."),
        "person": (f"{_HERE}.people:person", "People, their roles, accounts and signing keys."),
        "directory": (f"{_HERE}.people:directory", "Members of the centre from its directory."),
        "study": (f"{_HERE}.studies:study", "Source projects and their leads."),
        "form": (f"{_HERE}.forms:form", "Consent forms and what they allow."),
        "consent": (f"{_HERE}.consent:consent", "Consent of participants: import, show, withdraw."),
        "criteria": (f"{_HERE}.criteria:criteria", "The list of criteria that counts here."),
        "link": (f"{_HERE}.links:link", "Seal, open, destroy and look up link tables."),
        "agreement": (f"{_HERE}.agreements:agreement", "Agreements, licences, acceptances."),
        "state": (f"{_HERE}.statements:state", "A statement where no machine can decide."),
        "check": (f"{_HERE}.check:check", "Say what a project lacks for a sharing level."),
        "grant": (f"{_HERE}.grants:grant", "Permissions of single people: request to revoke."),
        "declare": (f"{_HERE}.watch:declare", "Say what must be true of a project on a server."),
        "watch": (f"{_HERE}.watch:watch", "Compare servers with what is declared; close leaks."),
        "alive": (f"{_HERE}.watch:alive", "Fail when the loop has not run lately."),
        "notices": (f"{_HERE}.notices:notices", "Duties sent to recipients, and their answers."),
    },
    extra="sharing",
    help=HELP,
)
def share() -> None:
    """Group of the subcommands on sharing."""
