"""Whom a client of a TLS peer trusts, and what it shows of itself."""

import os
import ssl

from hotfire.errors import ProfileError


def context(
    *, ca_file: str = "", client_certificate: str = "", client_key: str = ""
) -> ssl.SSLContext:
    """Return settings that verify a peer against one file, or the machine's store if empty.

    With a ``client_certificate`` the peer is shown that one; its key may lie in the same file.

    Raises:
        ProfileError: a file is missing or holds something else; the message names the field.
    """
    files = {"ca_file": ca_file, "client_certificate": client_certificate, "client_key": client_key}
    for field, path in files.items():
        if path and not os.access(path, os.R_OK):
            raise ProfileError(f"{field}: {path} cannot be read; name a PEM file that can")
    try:
        settings = ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError as error:
        raise _unusable("ca_file", ca_file, "certificates of authorities") from error
    if client_certificate:
        try:
            # Without a password, which the library would ask the terminal for.
            settings.load_cert_chain(client_certificate, client_key or None, password="")
        except ssl.SSLError as error:
            pair = "a certificate and its key, without a password"
            raise _unusable("client_certificate", client_certificate, pair) from error
    return settings


def _unusable(field: str, path: str, wanted: str) -> ProfileError:
    return ProfileError(f"{field}: {path} holds no {wanted}; name a PEM file that does")
