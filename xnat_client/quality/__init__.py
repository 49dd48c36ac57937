"""Image quality on a server: reading records, a project's group page, searchable values, ratings.

Needs the part of the distribution that has numpy and pillow (``winxnat[winqc]``).
"""
