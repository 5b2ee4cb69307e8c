"""The agent's command: `serve` answers on a UNIX socket, `call JSON` asks it once."""

import argparse
import json
import shlex
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from hotfire.agent.entries import Entries
from hotfire.agent.host import Host, OperationError
from hotfire.agent.operations import Operations

SOCKET = "/run/hotfire-agent.sock"
STATE = "/var/lib/hotfire-agent"
HOST_PREFIX = "nsenter -t 1 -m -n -u -i --"
_TICK_SECONDS = 0.2
_CALL_SECONDS = 30.0
_READ_SECONDS = 2.0
_QUIET_SECONDS = 3.0
_LARGEST_REQUEST_BYTES = 1 << 20


def main(argv: list[str] | None = None) -> int:
    """Serve, or ask the serving one."""
    options = _options().parse_args(argv)
    if options.action == "call":
        return call(Path(options.socket), options.request)
    host = Host(tuple(shlex.split(options.host_prefix)), Path(options.host_root))
    host = Host(host.prefix, host.root, tuple(shlex.split(options.birdc)))
    retire = Path(options.retire) if options.retire else None
    operations = Operations(host, Entries(Path(options.state)), fence=options.fence)
    serve(operations, Path(options.socket), retire)
    return 0


def call(path: Path, request: str) -> int:
    """Send one request, print the reply; the exit code is 0 only if it was carried out."""
    reply = ask(path, request)
    sys.stdout.write(reply)
    return 0 if json.loads(reply)["ok"] else 1


def ask(path: Path, request: str) -> str:
    """Return what the serving agent replies to one request: one line of JSON.

    Raises:
        OSError: nobody serves there, or it took too long.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CALL_SECONDS)
        connection.connect(str(path))
        connection.sendall(request.encode() + b"\n")
        with connection.makefile("r", encoding="utf-8") as stream:
            return stream.readline()


def serve(operations: Operations, path: Path, retire: Path | None = None) -> None:
    """Heal what is left, then answer until a signal; heal everything before leaving.

    With ``retire`` it also leaves when nothing has been broken or asked for a while, and writes
    that file first: its supervisor then lets it rest until somebody removes the file.

    One thread: requests are short, and a hog must be the child of a thread that lives as long as
    the agent, for it dies with that thread.
    """
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    operations.start()
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen()
        listener.settimeout(_TICK_SECONDS)
        quiet_since = time.monotonic()
        try:
            while retire is None or time.monotonic() - quiet_since < _QUIET_SECONDS:
                operations.tick()
                if _answer_one(listener, operations) or not operations.idle():
                    quiet_since = time.monotonic()
            retire.touch()
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            path.unlink(missing_ok=True)
            for problem in operations.leave():
                sys.stderr.write(f"not healed: {problem}\n")


def _answer_one(listener: socket.socket, operations: Operations) -> bool:
    """Answer whoever asks next; return whether anybody did."""
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        return False
    with connection, connection.makefile("rb") as stream:
        connection.settimeout(_READ_SECONDS)
        try:
            reply = _reply(operations, stream.readline(_LARGEST_REQUEST_BYTES))
            connection.sendall(json.dumps(reply).encode() + b"\n")
        except OSError:
            # The caller is gone; what it asked for is done and has an end of its own.
            return True
    return True


def _reply(operations: Operations, line: bytes) -> dict[str, Any]:
    try:
        return {"ok": True, "result": operations.answer(json.loads(line))}
    except (OperationError, OSError, ValueError, KeyError, AttributeError) as error:
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hotfire-agent", description=__doc__)
    parser.add_argument("--socket", default=SOCKET)
    actions = parser.add_subparsers(dest="action", required=True)
    serving = actions.add_parser("serve")
    serving.add_argument("--state", default=STATE)
    serving.add_argument("--host-prefix", default=HOST_PREFIX)
    serving.add_argument("--host-root", default="/proc/1/root")
    serving.add_argument("--birdc", default="birdc")
    serving.add_argument("--retire", default="")
    serving.add_argument("--fence", type=int, default=0)
    asking = actions.add_parser("call")
    asking.add_argument("request")
    return parser


if __name__ == "__main__":
    sys.exit(main())
