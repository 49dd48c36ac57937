"""The step ``eeg-to-bids``: EEG and MEG recordings of one session to a BIDS dataset.

Belongs here: tasks, runs, names, tables and the check of the result. Does not belong: formats
and their identities (``recordings``), the server.
"""
