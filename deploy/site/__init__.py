"""A site as data: the wanted state in a file, the difference to an XNAT server, and closing it.

Belongs here: what a site file may say, reading and writing each part, plan, apply, doctor.
Does not belong here: the sandbox (``deploy.sandbox``), the command line (``deploy.site_cli``).
"""
