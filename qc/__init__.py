"""Measures and reports: arrays, tables and text in, numbers and pages out.

Belongs here: pure functions over image data and their documentation.
Does not belong here: XNAT, Docker, or command definitions.
"""
