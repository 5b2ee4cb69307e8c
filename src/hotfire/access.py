"""What a client of the gateway shows of itself, and whom it takes for the gateway."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from hotfire import reference, tls
from hotfire.gateway import Gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The way in; by default a peer is shown nothing, and the usual authorities vouch for it."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each request, secrets in their places; names in lower case."""
    trusted: ssl.SSLContext | None = None
    server_name: str = ""
    """Name that the peer's certificate must bear; empty: the host of the URL."""

    @classmethod
    def to(cls, gateway: Gateway) -> Self:
        """Return the way into a gateway as the target file tells it.

        Raises:
            ProfileError: a secret or a file that it names cannot be read.
        """
        shown = gateway.shown_headers
        headers = {name: reference.resolved(text, field="gateway") for name, text in shown.items()}
        secure = gateway.reachable_url.startswith("https:")
        return cls(
            headers=headers,
            trusted=tls.context(**gateway.tls_files) if secure else None,
            server_name=gateway.peer_name,
        )
