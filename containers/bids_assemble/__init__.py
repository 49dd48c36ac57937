"""The step ``bids-assemble``: the BIDS results of a project's sessions to one dataset.

Belongs here: finding the results, deciding whether they fit together, and the tables of the
whole. Does not belong: conversion, or anything about one session only (``dicom_to_bids``).
"""
