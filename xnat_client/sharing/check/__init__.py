"""Evaluating the prerequisites of a level: what is met, what is not, who must do what.

``checking`` asks all of them; the other modules answer one each, grouped by what they read.
Whatever cannot be told keeps a release closed. Does not belong here: what a level demands
(``levels``), changing anything.
"""

from xnat_client.sharing.check.checking import check_project, check_release

__all__ = ["check_project", "check_release"]
