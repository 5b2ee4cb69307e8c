"""A link that sends late: what leaves it waits in a process of ours (`delay_line`)."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from hotfire.agent import arguments, delay_line, link, nft, processes
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host, OperationError

_PACKAGES = str(Path(__file__).resolve().parents[2])
_START_SECONDS = 5.0
_END_SECONDS = 2.0
_LONGEST_SECONDS = 5.0


class Delay:
    """Send every frame of a link ``seconds`` late; the other direction is the other end's."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse a link that is not there, or that is late already."""
        arguments.only(args, {"link", "seconds"})
        _seconds(args)
        name = arguments.link(args)
        link.attributes(host, name)
        if any(one.op == "link.delay" and one.args["link"] == name for one in others):
            raise OperationError(f"{name} is late already; heal that first")

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Start the process, then send it what leaves the link."""
        name = arguments.link(entry.args)
        mtu = link.attributes(host, name)["mtu"]
        words = [entry.id, name, str(_seconds(entry.args)), str(mtu), str(os.getpid())]
        self._running[entry.id] = process = subprocess.Popen(
            [sys.executable, "-m", delay_line.MODULE, *words],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": _PACKAGES},
        )
        _await_ready(process)
        tap = delay_line.tap_name(name)
        nft.install(
            host,
            "netdev",
            nft.table(entry),
            f'chain egress {{ type filter hook egress device "{name}" priority -500;\n'
            f"meta mark {delay_line.MARK:#x} accept\n"
            f'counter fwd to "{tap}"\n}}',
        )
        return {"tap": tap, "pid": process.pid}

    def undo(self, host: Host, entry: Entry) -> None:
        """Let frames pass again, then end the process; it sends what still waits."""
        nft.remove(host, "netdev", nft.table(entry))
        for number in (signal.SIGTERM, signal.SIGKILL):
            left = _alive(entry)
            processes.send(left, number)
            processes.await_end(left, within_seconds=_END_SECONDS)
        if process := self._running.pop(entry.id, None):
            process.poll()

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether rules and process are gone."""
        return not nft.present(host, "netdev", nft.table(entry)) and not _alive(entry)


def _alive(entry: Entry) -> list[processes.Process]:
    return processes.of_entry(delay_line.MODULE, entry.id)


def _await_ready(process: subprocess.Popen[bytes]) -> None:
    if process.stdout is None:
        raise OperationError("the delay line has no output to wait for")
    told, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
    if not told or process.stdout.readline().strip() != delay_line.READY.encode():
        raise OperationError("the delay line did not start; is there a /dev/net/tun?")


def _seconds(args: dict[str, Any]) -> float:
    return arguments.number(args, "seconds", above=0, at_most=_LONGEST_SECONDS)
