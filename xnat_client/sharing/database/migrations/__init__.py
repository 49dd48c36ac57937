"""Steps from one shape of the tables to the next; ``migrating`` runs them in order.

Each module is one step and is never changed once a site has run it. Not here: anything that is
not a step.
"""

HEAD = "0001"
"""Revision that this program's tables have; opened records are brought to it."""
