"""The step that copies a folder without the identities in headers, names and tables.

Belongs here: DICOM, NIfTI, BIDS files, names, keys. Does not belong: faces in images
(``deface``), recordings of EEG and MEG (``recordings``), the independent check
(``check_identity``), XNAT.
"""
