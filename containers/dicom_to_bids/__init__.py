"""The step that turns one session's DICOM files into a validated BIDS tree.

Belongs here: everything between the session's folder and the finished tree. Does not belong:
XNAT, the command's definition (``commands``), header scrubbing of DICOM files.
"""
