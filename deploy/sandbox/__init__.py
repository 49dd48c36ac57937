"""The sandbox: an embedded XNAT-compatible server, spoken to over HTTP only.

Belongs here: the server and its strict reading of XNAT's REST contract.
Does not belong here: client code, steps, or anything imported by other packages.
"""
