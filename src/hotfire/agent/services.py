"""Services of the node: those of systemd, or of the supervisor of a lab machine."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hotfire.agent import arguments, processes
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host, OperationError

# A lab machine's PID 1 looks into the first once a second, and writes the second.
_HOLDS, _PIDS = "/var/lib/hotfire/services", "/run/hotfire"
_SECONDS = 6.0
_POLL_SECONDS = 0.05


class Stop:
    """Stop a service and keep it stopped."""

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse what does not run: healing would start what was stopped before."""
        arguments.only(args, {"service"})
        name = arguments.service(args)
        if pid(host, name) is None:
            raise OperationError(f"service {name} does not run here")

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Stop it; returns when its process is gone."""
        name = arguments.service(entry.args)
        former = pid(host, name)
        if _supervised(host):
            _hold(host, name).touch()
        else:
            host.run(["systemctl", "stop", name])
        if not _within(lambda: pid(host, name) is None):
            raise OperationError(f"service {name} still runs {_SECONDS:g} s after it was stopped")
        return {"stopped_pid": former}

    def undo(self, host: Host, entry: Entry) -> None:
        """Start it again."""
        name = arguments.service(entry.args)
        if _supervised(host):
            _hold(host, name).unlink(missing_ok=True)
        else:
            host.run(["systemctl", "start", name])
        _within(lambda: pid(host, name) is not None)

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether it runs, and nothing of ours keeps it back."""
        name = arguments.service(entry.args)
        held = _supervised(host) and _hold(host, name).exists()
        return not held and pid(host, name) is not None


def state(host: Host, args: dict[str, Any]) -> dict[str, Any]:
    """Return whether a service runs, and its main process."""
    name = arguments.service(args)
    found = pid(host, name)
    return {
        "service": name,
        "pid": found,
        "state": processes.state(found) if found else "",
        "held": _supervised(host) and _hold(host, name).exists(),
    }


def pid(host: Host, name: str) -> int | None:
    """Return the main process of a service; None: it does not run."""
    if _supervised(host):
        try:
            text = host.path(f"{_PIDS}/{name}.pid").read_text(encoding="ascii")
        except OSError:
            return None
    else:
        text = host.run(["systemctl", "show", name, "--property=MainPID", "--value"])
    found = int(text.strip() or 0)
    return found if found and processes.alive(found) else None


def _supervised(host: Host) -> bool:
    return host.path(_PIDS).is_dir()


def _hold(host: Host, name: str) -> Path:
    return host.path(f"{_HOLDS}/{name}.down")


def _within(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)  # noqa: TID251 - this program imports nothing that waits
    return True
