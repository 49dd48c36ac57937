"""Options of requests that change objects. Not here: fields (``submissions``)."""

from __future__ import annotations

from deploy.sandbox.call import Call
from deploy.sandbox.errors import not_implemented

# XNAT's old pipelines and its unification of scan types (triggerPipelines, fixScanTypes) have
# nothing to do on a site that has set up neither, such as this: the options change nothing.
_NOT_DONE = frozenset({"_lock", "_unlock", "_obsolete"})
_NOT_DONE_IF_TRUE = frozenset({"pulldatafromheaders", "allowdatadeletion"})


def refuse_unknown_options(call: Call, *further: str) -> None:
    """Raise 501 for options that a full XNAT acts on and the sandbox would pass over.

    Parameters
    ----------
    *further : str
        Options that exist, but not for this kind of object.
    """
    for name in call.query:
        wanted = name in _NOT_DONE or (name.lower() in _NOT_DONE_IF_TRUE and call.flag(name))
        if wanted or (name in further and call.flag(name)):
            raise not_implemented(f"the option '{name}'")
