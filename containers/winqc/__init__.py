"""The step ``winqc``: measures of image quality for the images of one session.

Belongs here: which images there are, what is said of them, the result's files. Does not belong:
the measures themselves (``qc``), the server.
"""
