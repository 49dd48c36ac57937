"""Putting it on a machine: the sandbox, the demonstration, site templates.

Belongs here: what an administrator or a newcomer starts.
Does not belong here: anything another package would want to import.
"""
