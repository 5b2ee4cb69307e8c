"""Asks a peer over HTTP and reads its answer within bounds; the only importer of httpx.

Whatever a peer does comes back as a ``Page``: with its content, or with the reason why there is
none. One exchange has one deadline for all of it, from the name's resolution to the last byte, and
a limit of bytes as they come over the wire. No redirect is followed, nothing is decompressed, no
cookie is kept and no proxy of the environment asked: each of them would let the peer, or somebody
else, decide what we talk to or how much memory we need.

It lies below ``endpoint`` and ``prometheus``: both ask through it, and neither knows the other.
"""

from hotfire.bounded.reader import Page, Reader, Transport, get, json_of

__all__ = ["Page", "Reader", "Transport", "get", "json_of"]
