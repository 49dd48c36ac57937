"""Decides what each image of a session is: data type and suffix, with reason and confidence.

Belongs here: what headers and names mean. Does not belong: file names of a session as a whole
(``names``), reading DICOM files, writing anything.
"""
