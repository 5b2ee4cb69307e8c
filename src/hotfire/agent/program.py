"""The agent's command: `serve` answers on a UNIX socket, `call JSON` asks it once."""

import argparse
import json
import shlex
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from hotfire.agent.door import Door, ask
from hotfire.agent.entries import Entries
from hotfire.agent.host import Host, OperationError, say
from hotfire.agent.operations import Operations

SOCKET = "/run/hotfire-agent.sock"
STATE = "/var/lib/hotfire-agent"
HOST_PREFIX = "nsenter -t 1 -m -n -u -i --"
_QUIET_SECONDS = 3.0

__all__ = ["ask", "call", "main", "serve"]


def main(argv: list[str] | None = None) -> int:
    """Serve, or ask the serving one."""
    options = _options().parse_args(argv)
    if options.action == "call":
        return call(Path(options.socket), options.request)
    host = Host(tuple(shlex.split(options.host_prefix)), Path(options.host_root))
    host = Host(host.prefix, host.root, tuple(shlex.split(options.birdc)))
    retire = Path(options.retire) if options.retire else None
    entries = Entries(Path(options.state))
    operations = Operations(host, entries, code=options.code, fence=options.fence)
    try:
        serve(operations, Path(options.socket), retire)
    finally:
        if options.vacate:
            vacate(host, options.vacate)
    return 0


def call(path: Path, request: str) -> int:
    """Send one request, print the reply; the exit code is 0 only if it was carried out."""
    reply = ask(path, request)
    sys.stdout.write(reply)
    return 0 if json.loads(reply)["ok"] else 1


def serve(operations: Operations, path: Path, retire: Path | None = None) -> None:
    """Heal what is left, then answer until a signal; heal everything before leaving.

    With ``retire`` it also leaves when nothing has been broken or asked for a while, and writes
    that file first: its supervisor then lets it rest until somebody removes the file.

    One thread: requests are short, and a hog must be the child of a thread that lives as long as
    the agent, for it dies with that thread.
    """
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    door = Door(path)
    try:
        operations.start()
        quiet_since = time.monotonic()
        while True:
            operations.tick()
            if door.answer_one(operations.answer) or not operations.idle():
                quiet_since = time.monotonic()
            if retire and time.monotonic() - quiet_since >= _QUIET_SECONDS:
                quiet_since = time.monotonic()
                if _rests(retire):
                    return
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for problem in operations.leave():
            say(f"not healed: {problem}")
        door.close()


def vacate(host: Host, folder: str) -> None:
    """Take the state's folder off the node, and the one above, for as far as they are empty.

    Done in the node's own namespace: only there is a folder safe that something is mounted on.
    """
    for empty in (Path(folder), Path(folder).parent):
        try:
            host.run(["rmdir", "--", str(empty)])
        except OperationError as error:
            # What is not healed stays for the next agent, and so do the folders of other targets.
            say(f"{empty} stays: {error}")
            return


def _rests(retire: Path) -> bool:
    """Ask the supervisor for rest; return whether the disk took it."""
    try:
        retire.touch()
    except OSError:
        return False
    return True


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
    serving.add_argument("--vacate", default="", help="the state's folder, as the node has it")
    serving.add_argument(
        "--code", default="", help="SHA-256 its modules must keep to break a thing"
    )
    serving.add_argument("--fence", type=int, default=0)
    asking = actions.add_parser("call")
    asking.add_argument("request")
    return parser


if __name__ == "__main__":
    sys.exit(main())
