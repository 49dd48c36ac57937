"""The site's signature of a release's manifest: a file beside it, which changes nothing in it.

It says which site built the release. That people approved it is in the site's records, signed
with keys of their own. Not here: the key (``xnat_client.sharing.site_key``).
"""

from __future__ import annotations

import json
from pathlib import Path

from xnat_client.release.manifest import MANIFEST_NAME, SIGNATURE_NAME, Problem
from xnat_client.sharing import site_key
from xnat_client.sharing.home import Home

_ALGORITHM = "Ed25519"
_PURPOSE = b"winxnat release manifest\n"
"""Before the signed bytes, so that no other signature of the key is taken for this one."""


def write(home: Home, folder: Path) -> None:
    """Sign the manifest in a folder with the site's key."""
    content = _PURPOSE + (folder / MANIFEST_NAME).read_bytes()
    document = {
        "algorithm": _ALGORITHM,
        "public_key": site_key.public_key(home),
        "signature": site_key.sign(home, content),
        "signed": MANIFEST_NAME,
    }
    text = json.dumps(document, sort_keys=True, indent=1)
    (folder / SIGNATURE_NAME).write_text(text + "\n", encoding="utf-8", newline="\n")


def verify(folder: Path, public_key: str) -> list[Problem]:
    """Compare the manifest with its signature; return what is wrong.

    Parameters
    ----------
    public_key : str
        The site's, base64 of the raw 32 bytes, from elsewhere than the folder: the one that the
        file names proves nothing.
    """
    try:
        content = _PURPOSE + (folder / MANIFEST_NAME).read_bytes()
        document = json.loads((folder / SIGNATURE_NAME).read_text(encoding="utf-8"))
        signature = str(document["signature"])
    except FileNotFoundError:
        return [Problem("is missing, so nothing says who built this", SIGNATURE_NAME)]
    except (OSError, ValueError, KeyError, TypeError):
        return [Problem("cannot be read, or is no signature of this form", SIGNATURE_NAME)]
    if not site_key.is_signature(content, signature, public_key.strip()):
        return [Problem("is not of this manifest and that key", SIGNATURE_NAME)]
    return []
