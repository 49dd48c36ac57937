"""Removes faces from images of heads, and proves on each result that it did, or gives none.

Belongs here: the step, its template and its own checks. Not here: the network that finds the
brain (``qc.brain_mask``), headers of DICOM files, sharing.
"""
