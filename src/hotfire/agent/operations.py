"""The closed list of what the agent does, and the life of a fault on this node."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

from hotfire.agent import (
    block,
    carrier,
    cgroup,
    cuda,
    delay,
    disk,
    kubelet,
    link,
    loss,
    markers,
    probe,
    services,
    signals,
)
from hotfire.agent.entries import HEALED, INJECTED, Entries, Entry
from hotfire.agent.hogs import CgroupHog, DeviceHog, Hog
from hotfire.agent.host import Host, OperationError


class Fault(Protocol):
    """What every fault of the agent brings along: its own undo and the proof of it."""

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None: ...
    def inject(self, host: Host, entry: Entry) -> dict[str, Any]: ...
    def undo(self, host: Host, entry: Entry) -> None: ...
    def healed(self, host: Host, entry: Entry) -> bool: ...


class Operations:
    """Answers requests and keeps every fault's promise to end."""

    def __init__(self, host: Host, entries: Entries, *, fence: int = 0) -> None:
        """Take orders with a token of at least ``fence``: that of the run that has the cluster."""
        self._fence = fence
        self._host = host
        self._entries = entries
        self._faults: dict[str, Fault] = {
            "link.silent_loss": loss.SilentLoss(),
            "link.one_way_loss": loss.OneWayLoss(),
            "link.packet_loss": loss.PacketLoss(),
            "link.carrier_down": carrier.CarrierDown(),
            "link.rate": carrier.Rate(),
            "link.delay": delay.Delay(),
            "net.block": block.Block(),
            "service.stop": services.Stop(),
            "process.signal": signals.Signal(),
            "gpu.health": markers.GpuHealth(),
            "store.mode": markers.StoreMode(),
            "disk.fill": disk.Fill(),
            "cgroup.hog": CgroupHog(),
            "device.hog": DeviceHog(),
        }
        self._answers: dict[str, Callable[[dict[str, Any]], object]] = {
            "ping": lambda _: {"open": len(entries.open())},
            "link.state": lambda args: link.state(host, args),
            "link.probe": lambda args: probe.frames(host, args),
            "link.round_trip": lambda args: probe.round_trip(host, args),
            "net.lookup": lambda args: probe.lookup(host, args),
            "net.drops": lambda args: {"drops": block.drops(host, entries.get(str(args["id"])))},
            "service.state": lambda args: services.state(host, args),
            "cgroup.state": lambda args: cgroup.state(host, args),
            "gpu.list": lambda _: cuda.gpus(host),
            "pod_resources": lambda _: kubelet.pod_resources(host),
            "list": lambda _: [asdict(entry) for entry in entries.all()],
            "entry": lambda args: asdict(entries.get(str(args["id"]))),
            "renew": self._renew,
            "heal": self._heal,
        }

    def answer(self, request: dict[str, Any]) -> object:
        """Carry out one request, such as ``{"op": "link.state", "link": "up1"}``.

        Raises:
            OperationError: it was refused or did not work.
        """
        args = {name: value for name, value in request.items() if name not in {"op", "token"}}
        op = str(request.get("op"))
        self._admit(op, args, request.get("token", 0))
        if op in self._faults:
            return self._fire(op, args)
        if op not in self._answers:
            known = ", ".join(sorted([*self._answers, *self._faults]))
            raise OperationError(f"no operation {op!r}; there are {known}")
        return self._answers[op](args)

    def start(self) -> None:
        """Heal whatever a former agent left, and forget what was healed."""
        for entry in self._entries.open():
            # What cannot be undone now is then tried again at every tick.
            self._entries.renew(entry.id, ttl_seconds=0)
        self.tick()
        self._entries.forget_healed()

    def idle(self) -> bool:
        """Return whether nothing is broken here."""
        return not self._entries.open()

    def tick(self) -> None:
        """Note what running faults told, and end those whose time is over."""
        for entry in self._entries.open():
            fault = self._faults[entry.op]
            if isinstance(fault, Hog) and entry.state == INJECTED:
                self._note(fault, entry)
        for entry in self._entries.expired():
            self._undo(entry, reason="expired")

    def heal_all(self) -> list[str]:
        """Undo every open entry, newest first; return what could not be undone, with the reason."""
        return [problem for entry in self._entries.open() if (problem := self._undo(entry))]

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
        id_, ttl_seconds = str(args.pop("id", "")), float(args.pop("ttl_seconds", 0))
        fault = self._faults[op]
        fault.check(self._host, args, self._entries.open())
        entry = self._entries.arm(id_, op, args, ttl_seconds=ttl_seconds)
        try:
            observed = fault.inject(self._host, entry)
        except (OperationError, OSError):
            self._undo(entry, reason="not injected")
            raise
        return asdict(self._entries.mark(id_, state=INJECTED, **observed))

    def _note(self, fault: Hog, entry: Entry) -> None:
        observed, ended = fault.observe(entry)
        if observed or ended:
            self._entries.mark(entry.id, state=HEALED if ended else None, **observed)

    def _undo(self, entry: Entry, *, reason: str = "asked to") -> str | None:
        """Undo one entry and prove it; return the problem, if any. It is tried again later."""
        fault = self._faults[entry.op]
        try:
            fault.undo(self._host, entry)
            if not fault.healed(self._host, entry):
                return f"{entry.id}: still there after its undo"
        except (OperationError, OSError) as error:
            return f"{entry.id}: {error}"
        self._entries.mark(entry.id, state=HEALED, healed_because=reason)
        return None

    def _renew(self, args: dict[str, Any]) -> object:
        entry = self._entries.renew(str(args["id"]), ttl_seconds=float(args["ttl_seconds"]))
        return asdict(entry)

    def _heal(self, args: dict[str, Any]) -> object:
        if args.get("id") is None:
            return {"problems": self.heal_all()}
        entry = self._entries.get(str(args["id"]))
        problem = None if entry.state == HEALED else self._undo(entry)
        return {"problems": [problem] if problem else []}
