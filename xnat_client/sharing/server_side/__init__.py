"""What the records decided, done on XNAT servers: release projects, their files, their readers.

Closing needs nothing and is read back; opening comes last. Not here: deciding (``machines``),
looking again (``reconcile``).
"""
