"""TLS without a socket: the connection moves the bytes."""

import ssl

from hotfire import tls
from hotfire.traffic.workload.plan import LoadPlan

RECORD_BYTES = 65_536


def context(plan: LoadPlan) -> ssl.SSLContext:
    """Return settings that verify the gateway, and show it what it wants to see."""
    settings = tls.context(**plan.tls_files)
    settings.set_alpn_protocols(["http/1.1"])
    return settings


class Session:
    """Turns what is sent and received into TLS records and back; never touches a socket.

    Every method may raise ssl.SSLError: the peer is not who it should be, or broke the protocol.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "closed", "established")

    def __init__(self, settings: ssl.SSLContext, server_name: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = settings.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_name
        )
        self.established = False
        self.closed = False

    def shake(self, received: bytes = b"") -> bytes:
        """Take the handshake on; return what is to be sent."""
        self._incoming.write(received)
        try:
            self._object.do_handshake()
            self.established = True
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()

    def encrypted(self, data: bytes) -> bytes:
        """Return the records of some plain text."""
        self._object.write(data)
        return self._outgoing.read()

    def decrypted(self, received: bytes) -> bytes:
        """Return the plain text that these bytes complete; empty when there is none yet."""
        self._incoming.write(received)
        parts = []
        try:
            while part := self._object.read(RECORD_BYTES):
                parts.append(part)
            self.closed = True
        except ssl.SSLWantReadError:
            pass
        return b"".join(parts)

    def owed(self) -> bytes:
        """Return what the session itself has to say, such as the answer to a key update."""
        return self._outgoing.read()
