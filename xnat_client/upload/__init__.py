"""From folders of research data to verified sessions and resources on the server.

Belongs here: looking (``survey``, ``scan``), planning (``plan``), sending (``bulk``, ``send``).
Does not belong here: HTTP itself (``transport``), listing what the server holds (``resources``).
"""
