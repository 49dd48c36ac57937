"""People's review of defaced images: reports in, a page out, decisions back.

Here: reading reports and decisions. Not here: the page itself (``qc.report.face_review``), what a
decision does to a release (``xnat_client.sharing.check``).
"""
