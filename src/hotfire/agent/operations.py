"""The closed list of what the agent does, and the life of a fault on this node.

One entry's trouble is never another's: what cannot be read, is of another version or stumbles is
told and tried again, and the others are undone.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hotfire.agent import (
    arguments,
    ask,
    bgp,
    block,
    carrier,
    cgroup,
    crash_loop,
    cuda,
    delay,
    disk,
    echo,
    flap,
    flows,
    kubelet,
    link,
    loss,
    markers,
    probe,
    quota,
    redis,
    reset,
    sample,
    services,
    signals,
    spoil,
    start,
    store,
)
from hotfire.agent.entries import HEALED, INJECTED, LONGEST_LEASE_SECONDS, Entries, Entry
from hotfire.agent.hogs import CgroupHog, DeviceHog
from hotfire.agent.host import Host, OperationError, say

_HERE = Path(__file__).parent
# An undo that fails is tried again after a second, then ever more rarely, never more than this.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 10.0


class Fault(Protocol):
    """What every fault of the agent brings along: its own undo and the proof of it."""

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None: ...
    def inject(self, host: Host, entry: Entry) -> dict[str, Any]: ...
    def undo(self, host: Host, entry: Entry) -> None: ...
    def healed(self, host: Host, entry: Entry) -> bool: ...


@runtime_checkable
class Aimed(Protocol):
    """A fault whose undo needs more than what was asked for; it is written before the deed."""

    def aim(self, host: Host, args: dict[str, Any]) -> dict[str, Any]: ...


@runtime_checkable
class Observing(Protocol):
    """A fault that is looked at again and again while it lasts."""

    def observe(self, entry: Entry) -> tuple[dict[str, Any], bool]:
        """Return what it told since, and whether it has ended by itself."""


class Operations:
    """Answers requests and keeps every fault's promise to end."""

    def __init__(self, host: Host, entries: Entries, *, code: str = "", fence: int = 0) -> None:
        """Work on a host; with ``code``, the SHA-256 of our modules, only while they stay so.

        Orders are taken with a token of at least ``fence``: that of the run that has the cluster.
        """
        self._fence = fence
        self._host = host
        self._entries = entries
        self._code = code
        self._running_code = start.digest(_HERE)
        self._pauses: dict[str, tuple[float, float]] = {}
        self._told: dict[str, str] = {}
        self._faults: dict[str, Fault] = {
            "link.silent_loss": loss.SilentLoss(),
            "link.one_way_loss": loss.OneWayLoss(),
            "link.packet_loss": loss.PacketLoss(),
            "link.carrier_down": carrier.CarrierDown(),
            "link.rate": carrier.Rate(),
            "link.flap": flap.Flap(),
            "link.delay": delay.Delay(),
            "link.mangle": delay.Mangle(),
            "net.block": block.Block(),
            "net.reset": reset.Reset(),
            "service.stop": services.Stop(),
            "process.signal": signals.Signal(),
            "process.crash_loop": crash_loop.CrashLoop(),
            "gpu.health": markers.GpuHealth(),
            "store.mode": markers.StoreMode(),
            "store.slow": store.Slow(),
            "disk.fill": disk.Fill(),
            "file.spoil": spoil.Spoil(),
            "cgroup.hog": CgroupHog(),
            "cgroup.cpu_quota": quota.CpuQuota(),
            "device.hog": DeviceHog(),
        }
        self._answers: dict[str, Callable[[dict[str, Any]], object]] = {
            "ping": lambda _: {
                "open": len(entries.open()),
                "unreadable": len(entries.unreadable),
                "code": self._running_code,
            },
            "link.state": lambda args: link.state(host, args),
            "link.probe": lambda args: probe.frames(host, args),
            "link.flows": lambda args: flows.crossing(host, args),
            "bgp.sessions": lambda _: bgp.sessions(host),
            "bgp.routes": lambda args: bgp.routes(host, args),
            "link.echoes": lambda args: echo.echoes(host, args),
            "net.lookup": lambda args: probe.lookup(host, args),
            "net.connect": lambda args: probe.connect(host, args),
            "net.answers": ask.timed,
            "net.drops": lambda args: _counted(block.drops(host, entries.get(_id(args)))),
            "store.share": lambda args: store.share(entries.get(_id(args))),
            "service.state": lambda args: services.state(host, args),
            "process.states": lambda args: signals.states(entries.get(_id(args))),
            "engine.ask": ask.engine,
            "engine.metrics": ask.metrics,
            "redis.ping": redis.ping,
            "engine.sample": sample.engine,
            "cgroup.use": lambda args: cgroup.use(host, args),
            "memory.room": lambda args: cgroup.room(host, args),
            "cgroup.cpu": lambda args: quota.state(host, args),
            "file.present": lambda args: spoil.present(host, args),
            "disk.room": lambda args: disk.room(host, args),
            "gpu.list": lambda _: cuda.gpus(host),
            "pod_resources": lambda _: kubelet.pod_resources(host),
            "list": lambda _: [asdict(entry) for entry in entries.all()],
            "entry": lambda args: asdict(entries.get(_id(args))),
            "renew": self._renew,
            "heal": self._heal,
        }

    def answer(self, request: object) -> object:
        """Carry out one request, such as ``{"op": "link.state", "link": "up1"}``.

        Raises:
            OperationError: it was refused or did not work.
        """
        if not isinstance(request, dict) or not isinstance(request.get("op"), str):
            raise OperationError('a request is a mapping such as {"op": "ping"}')
        args = {name: value for name, value in request.items() if name not in {"op", "token"}}
        op = request["op"]
        self._admit(op, args, request.get("token", 0))
        if op in self._faults:
            return self._fire(op, args)
        if op not in self._answers:
            known = ", ".join(sorted([*self._answers, *self._faults]))
            raise OperationError(f"no operation {op[:80]!r}; there are {known}")
        return self._answers[op](args)

    def start(self) -> None:
        """Heal whatever a former agent left, and forget what was healed; nothing is written."""
        for problem in self._unreadable():
            say(problem)
        for entry in self._entries.open():
            # What cannot be undone now is then tried again at later ticks.
            self._entries.expire(entry.id)
        self.tick()
        self._entries.forget_healed()

    def idle(self) -> bool:
        """Return whether nothing is broken here."""
        return not self._entries.open()

    def tick(self) -> None:
        """Note what running faults told, and end those whose time is over."""
        for entry in self._entries.open():
            fault = self._faults.get(entry.op)
            if isinstance(fault, Observing) and entry.state == INJECTED:
                self._note(fault, entry)
        for entry in self._entries.expired():
            if time.monotonic() >= self._pauses.get(entry.id, (0.0, 0.0))[0]:
                self._undo(entry, reason="expired")
        self._entries.catch_up()

    def heal_all(self) -> list[str]:
        """Undo every open entry, newest first; return what could not be undone, with the reason."""
        undone = [problem for entry in self._entries.open() if (problem := self._undo(entry))]
        return undone + self._unreadable()

    def leave(self) -> list[str]:
        """Undo every open entry and forget the healed ones; return what could not be undone."""
        problems = self.heal_all()
        self._entries.forget_healed()
        return problems

    def _admit(self, op: str, args: dict[str, Any], token: object) -> None:
        """Refuse to break or to prolong anything for a run that was overtaken, or to end it all.

        Its own fault it may end, and whoever heals by hand, without a token, everything.
        """
        if not isinstance(token, int):
            raise OperationError(f"{token!r} is no token: a whole number")
        breaks = op in self._faults or op == "renew"
        ends_all = op == "heal" and args.get("id") is None and token > 0
        if token < self._fence and (breaks or ends_all):
            raise OperationError(
                f"{op} with token {token} is refused: a later run, with {self._fence}, has this"
                " cluster"
            )
        self._fence = max(self._fence, token)

    def _fire(self, op: str, args: dict[str, Any]) -> object:
        id_ = str(args.pop("id", ""))
        ttl_seconds = _ttl(args)
        args.pop("ttl_seconds")
        fault = self._faults[op]
        self._require_sound()
        fault.check(self._host, args, self._entries.open())
        aimed = fault.aim(self._host, args) if isinstance(fault, Aimed) else {}
        entry = self._entries.arm(id_, op, args, ttl_seconds=ttl_seconds, observed=aimed)
        try:
            observed = fault.inject(self._host, entry)
        except Exception:
            self._undo(entry, reason="not injected")
            raise
        return asdict(self._entries.mark(id_, state=INJECTED, **observed))

    def _require_sound(self) -> None:
        """Refuse to break anything where something unknown may be broken, or as another program."""
        if problems := self._unreadable():
            raise OperationError(f"nothing was fired: {problems[0]}")
        if self._code and start.digest(_HERE) != self._code:
            raise OperationError("nothing was fired: the agent's code was changed since it started")

    def _note(self, fault: Observing, entry: Entry) -> None:
        try:
            observed, ended = fault.observe(entry)
        except Exception as error:  # noqa: BLE001 - see the head of this module
            self._tell(entry.id, f"{entry.id}: {type(error).__name__}: {error}")
            return
        if observed or ended:
            self._entries.mark(entry.id, state=HEALED if ended else None, **observed)

    def _undo(self, entry: Entry, *, reason: str = "asked to") -> str | None:
        """Undo one entry and prove it; return the problem, if any. It is tried again later.

        Nothing is written before it is undone: undoing needs no free byte on any disk.
        """
        if problem := self._problem(entry):
            _, pause = self._pauses.get(entry.id, (0.0, _FIRST_PAUSE_SECONDS))
            longer = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            self._pauses[entry.id] = time.monotonic() + pause, longer
            self._entries.expire(entry.id)
            self._tell(entry.id, problem)
            return problem
        self._entries.mark(
            entry.id, state=HEALED, healed_because=reason, healed_at_seconds=time.time()
        )
        return None

    def _problem(self, entry: Entry) -> str | None:
        fault = self._faults.get(entry.op)
        if fault is None:
            known = "this version has no such operation; the one that wrote the entry undoes it"
            return f"{entry.id}: {entry.op}: {known}"
        try:
            fault.undo(self._host, entry)
            if not fault.healed(self._host, entry):
                return f"{entry.id}: still there after its undo"
        except OperationError as error:
            return f"{entry.id}: {error}"
        except Exception as error:  # noqa: BLE001 - see the head of this module
            return f"{entry.id}: {type(error).__name__}: {error}"
        return None

    def _tell(self, id_: str, problem: str) -> None:
        """Write a problem to the log, once until it is another one."""
        if self._told.get(id_) != problem:
            self._told[id_] = problem
            say(f"not healed: {problem}")

    def _unreadable(self) -> list[str]:
        return [
            f"{name}: an undo entry that cannot be read ({why}); what it broke may still be broken:"
            " heal it with the version that wrote it, or look, then remove the file"
            for name, why in self._entries.unreadable.items()
        ]

    def _renew(self, args: dict[str, Any]) -> object:
        return asdict(self._entries.renew(_id(args), ttl_seconds=_ttl(args)))

    def _heal(self, args: dict[str, Any]) -> object:
        if args.get("id") is None:
            return {"problems": self.heal_all()}
        id_ = _id(args)
        if not self._entries.has(id_):
            self._entries.bar(id_)
            return {"problems": []}
        entry = self._entries.get(id_)
        problem = None if entry.state == HEALED else self._undo(entry)
        return {"problems": [problem] if problem else []}


def _counted(rules: list[int]) -> dict[str, Any]:
    return {"drops": sum(rules), "of_each_rule": rules}


def _id(args: dict[str, Any]) -> str:
    if not isinstance(args.get("id"), str):
        raise OperationError("id takes the name of an entry")
    return str(args["id"])


def _ttl(args: dict[str, Any]) -> float:
    return arguments.number(args, "ttl_seconds", above=0, at_most=LONGEST_LEASE_SECONDS)
