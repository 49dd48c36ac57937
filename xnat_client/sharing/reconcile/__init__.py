"""The loop that keeps watch: what servers say, compared with what the records say, and repaired.

Over-exposure is closed at once; what cannot be read counts as over-exposed. Not here: what must be
true (``server_side.declared``), the changes on a server (``server_side``).
"""
