"""From the server to a folder: which files (``selection``), and fetching them (``fetching``).

Belongs here: selected scans and resources of many sessions, in parallel, resumable, proved.
Does not belong here: HTTP itself (``transport``), one resource of one session (``resources``).
"""
