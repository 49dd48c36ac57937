"""Building a release: copies, labels, evidence, manifest; and verifying one.

The one way in is ``build.build_release``. A release folder holds its files, ``manifest.json`` and
``manifest.sha256``; the table ``release_file`` has one row for each file that the manifest lists
and one for each of these two, so that folder, table and server can be compared file by file.
Does not belong here: decisions about a release (``xnat_client.sharing``), servers' projects.
"""
