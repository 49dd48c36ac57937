"""Cleaners for what MRI manufacturers keep in private attributes, and their tables.

Belongs here: Siemens CSA headers and protocol text, the GE protocol blocks, checks of single
private values. Does not belong: which private attribute meets which cleaner
(``containers.scrub_headers.private_blocks``), and anything about public attributes.
"""
