"""Locust's connection between master and workers, on which only who knows the token is heard.

Locust itself takes whatever comes: any peer that says "client_ready" is a worker to it, and what it
sends is unpacked before anybody looks. Here a frame is checked before it is unpacked, and Locust
never learns of one that proves nothing. Imported by the locustfile alone, before Locust connects.
"""

import logging
import secrets
from typing import Any

import gevent
import zmq.green as zmq
from locust.exception import RPCError, RPCSendError
from locust.rpc import Message, zmqrpc
from zmq.error import ZMQError

from hotfire.traffic.process.seal import SESSION_BYTES, Seal, Side, load_token

_LARGEST_BYTES = 64 << 20
"""Of a frame; a worker's rows come in pieces of half a megabyte."""
_TOLD = 10
# Locust's functions say nothing of their types.
_RPC: Any = zmqrpc
_MESSAGE: Any = Message
_LOG = logging.getLogger(__name__)
# One for the process: Locust opens a broken connection anew and goes on.
_MASTER = Seal(load_token(), Side.MASTER, session=secrets.token_bytes(SESSION_BYTES))
_WORKER = Seal(load_token(), Side.WORKER)


def install() -> None:
    """Have Locust open its connections by these classes."""
    _RPC.Server, _RPC.Client = Server, Client


class Server(zmqrpc.Server):
    """The master's end."""

    def __init__(self, host: str, port: int) -> None:
        _RPC.BaseSocket.__init__(self, zmq.ROUTER, self.ipv4_only(host, port))
        self.socket.setsockopt(zmq.MAXMSGSIZE, _LARGEST_BYTES)
        self._strangers = 0
        try:
            if port == 0:
                self.port = self.socket.bind_to_random_port(f"tcp://{host}")
            else:
                self.socket.bind(f"tcp://{host}:{port}")
                self.port = port
        except ZMQError as error:
            raise RPCError(f"Socket bind failure: {error}") from error

    def send_to_client(self, msg: Any) -> None:  # noqa: ANN401
        """Send a message to the worker that it names."""
        peer = msg.node_id.encode()
        try:
            self.socket.send_multipart([peer, _MASTER.frame(peer, msg.serialize())])
        except ZMQError as error:
            raise RPCSendError("ZMQ sent failure") from error

    def recv_from_client(self) -> tuple[str, Message]:
        """Return the next message of a worker that has proven itself, and its name."""
        while True:
            try:
                frames = self.socket.recv_multipart()
            except ZMQError as error:
                raise RPCError("ZMQ network broken") from error
            if found := _opened(_MASTER, frames):
                return found
            self._strangers += 1
            if self._strangers <= _TOLD:
                _LOG.warning("a message of a peer without this load's token was dropped")
            # A flood of them must not keep the workers waiting.
            gevent.sleep(0)


class Client(zmqrpc.Client):
    """A worker's end."""

    def __init__(self, host: str, port: int, identity: str) -> None:
        _RPC.BaseSocket.__init__(self, zmq.DEALER, self.ipv4_only(host, port))
        self._identity = identity.encode()
        self.socket.setsockopt(zmq.MAXMSGSIZE, _LARGEST_BYTES)
        self.socket.setsockopt(zmq.IDENTITY, self._identity)
        self.socket.connect(f"tcp://{host}:{port}")

    def send(self, msg: Any) -> None:  # noqa: ANN401
        """Send a message to the master."""
        try:
            self.socket.send(_WORKER.frame(self._identity, msg.serialize()), zmq.NOBLOCK)
        except ZMQError as error:
            raise RPCSendError("ZMQ sent failure") from error

    def recv(self) -> Message:
        """Return the next message of a master that has proven itself."""
        while True:
            try:
                frame = self.socket.recv()
            except ZMQError as error:
                raise RPCError("ZMQ network broken") from error
            if found := _opened(_WORKER, [self._identity, frame]):
                return found[1]
            gevent.sleep(0)


def _opened(seal: Seal, frames: list[bytes]) -> tuple[str, Message] | None:
    if len(frames) != 2:
        return None
    peer, frame = frames
    if (found := seal.message(peer, frame)) is None:
        return None
    said, is_current = found
    message = _MESSAGE.unserialize(said)
    # A worker speaks for itself, and before it has heard the master it can only report.
    if message.node_id.encode() != peer or not (is_current or message.type == "client_ready"):
        return None
    return message.node_id, message
