"""The errors of a site file and of bringing a server to it.

SiteError                 5  the server did not do it, or has it not
└── SiteFileError         3  mend the file; nothing was changed
"""

from __future__ import annotations

from xnat_client.errors import XnatClientError


class SiteError(XnatClientError):
    """The server did not do what the file says; the message names the line."""

    exit_code = 5


class SiteFileError(SiteError):
    """The file cannot be used; the message names each line that must be mended."""

    exit_code = 3
