"""From a folder of DICOM files to one verified session on the server.

Belongs here: looking at the folder (``scan``), sending and verifying (``send``).
Does not belong here: HTTP itself (``transport``), listing what the server holds (``resources``).
"""
