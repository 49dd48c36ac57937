"""Finding projects, subjects, sessions and scans on a server.

Belongs here: what can be asked for, and which of XNAT's interfaces answers it.
Does not belong here: printing (cli), fetching files (download).
"""
