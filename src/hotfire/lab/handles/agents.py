"""Asking the agent inside a machine; it is started for the first question."""

import json
from pathlib import Path
from typing import Any

from hotfire.agent import program
from hotfire.errors import HarnessError
from hotfire.lab.machine.machines import Rack
from hotfire.lab.shape.blueprint import AGENT, AGENT_SOCKET, AGENT_STATE
from hotfire.waiting import until

_START_SECONDS = 15.0


def ask(rack: Rack, machine: str, op: str, **args: object) -> Any:  # noqa: ANN401 - JSON
    """Return what a machine's agent answers.

    Raises:
        HarnessError: the machine is off, its agent does not start, or it refused.
    """
    said = reply(rack, machine, {"op": op, **args})
    if not said["ok"]:
        raise HarnessError(f"the agent of {machine} refused {op}: {said['error']}")
    return said["result"]


def reply(rack: Rack, machine: str, request: dict[str, object]) -> dict[str, Any]:
    """Return what a machine's agent says to a request, a refusal included.

    Raises:
        HarnessError: the machine is off, or its agent does not start.
    """
    _awake(rack, machine)
    said = _reply(rack, machine, request)
    if said is None:
        raise HarnessError(f"the agent of {machine} went away while it was asked: {request['op']}")
    return said


def open_entries(rack: Rack, machine: str) -> bool:
    """Return whether a machine's disk holds something that waits for its undo.

    What cannot be read does: its agent will tell.
    """
    return any(map(_is_open, rack.inside(machine, AGENT_STATE).glob("*.json")))


def _is_open(path: Path) -> bool:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return False
    except (OSError, ValueError, RecursionError):
        return True
    return not isinstance(document, dict) or document.get("state") != "healed"


def wake(rack: Rack, machine: str) -> None:
    """Let the agent of a machine start, if it rests; it mends what it finds."""
    rack.release(machine, AGENT.name)


def _awake(rack: Rack, machine: str) -> None:
    def answers() -> bool:
        if rack.pid(machine) is None:
            raise HarnessError(f"machine {machine} is off")
        said = _reply(rack, machine, {"op": "ping"})
        if said is None:
            wake(rack, machine)
        return said is not None

    until(
        answers,
        within_seconds=_START_SECONDS,
        what=f"an answer of the agent of {machine}",
        poll_seconds=0.1,
    )


def _reply(rack: Rack, machine: str, request: dict[str, object]) -> dict[str, Any] | None:
    """Return the agent's reply; None: nobody answers."""
    path = Path(f"/proc/{rack.pid(machine)}/root{AGENT_SOCKET}")
    try:
        said = program.ask(path, json.dumps(request))
    except OSError:
        return None
    answer: dict[str, Any] | None = json.loads(said) if said else None
    return answer
