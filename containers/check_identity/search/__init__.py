"""Finds byte patterns in files of any size and opens what is compressed inside them.

Not here: what the findings mean (``check``), and any format of images or recordings.
"""
