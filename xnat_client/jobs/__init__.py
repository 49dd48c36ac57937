"""Runs over a whole study: which sessions, one remembered job for each, and driving them.

Belongs here: choosing sessions, the local memory of jobs, launching with a cap, checking results.
Does not belong here: a single launch (``xnat_client.launch``), printing (``xnat_client.cli``).
"""
