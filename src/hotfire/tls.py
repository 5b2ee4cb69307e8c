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
    try:
        settings = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise _unusable("ca_file", ca_file, "certificates of authorities", error) from error
    if client_certificate:
        try:
            # Without a password, which the library would ask the terminal for.
            settings.load_cert_chain(client_certificate, client_key or None, password="")
        except OSError as error:
            raise _unusable(
                "client_key" if client_key and not os.access(client_key, os.R_OK)
                else "client_certificate",
                client_key or client_certificate,
                "a certificate and its key, without a password",
                error,
            ) from error  # fmt: skip
    return settings


def _unusable(field: str, path: str, wanted: str, error: OSError) -> ProfileError:
    why = error.strerror if not isinstance(error, ssl.SSLError) else f"it holds no {wanted}"
    return ProfileError(f"{field}: {path} cannot be used: {why}; name a PEM file with {wanted}")
