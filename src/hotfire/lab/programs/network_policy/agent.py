"""The agent of one node: keeps the kernel's table at what the cluster's policies ask for."""

import logging
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from . import objects, watch
from .objects import Name
from .rules import ClusterState, ruleset
from .ruleset import TABLE, Ruleset, script

PATHS = {
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
    "policies": "/apis/networking.k8s.io/v1/networkpolicies",
}
# Changes come in bursts, a rollout above all: one transaction for those that come together.
_GATHER_SECONDS = 0.01
_CHECK_SECONDS = 10.0
_NFT_SECONDS = 20
_RETRY_SECONDS = 1.0
_log = logging.getLogger("network-policy")


class Born(NamedTuple):
    """A pod whose network has just been made, told by the node before the API knows of it."""

    name: Name
    address: str
    governed: threading.Event


Change = Callable[[], None]


class Agent:
    """One node's view of the cluster and what it has made of it."""

    def __init__(self, node: str, apply: Callable[[str], None]) -> None:
        self.node = node
        self.ready = threading.Event()
        self._apply = apply
        self._changes: queue.SimpleQueue[Change] = queue.SimpleQueue()
        self._known: dict[str, dict[Any, Any]] = {kind: {} for kind in PATHS}
        self._listed: set[str] = set()
        self._born: dict[Name, Born] = {}
        self._installed: Ruleset | None = None
        self._settled = False

    def sink(self, kind: str) -> watch.Sink:
        """Return what a watch of that kind tells; safe to call from its thread."""
        return watch.Sink(
            replace=lambda items: self._changes.put(lambda: self._replace(kind, items)),
            change=lambda event, item: self._changes.put(lambda: self._change(kind, event, item)),
        )

    def born(self, name: Name, address: str) -> threading.Event:
        """Take note of a pod's address; the event is set once the kernel treats it as it should."""
        born = Born(name, address, threading.Event())
        self._changes.put(lambda: self._note(born))
        return born.governed

    def run(self, stop: threading.Event) -> None:
        """Follow the changes until told to stop; the rules stay."""
        while not stop.is_set():
            self._gather()
            if not self._settled and self._listed == PATHS.keys():
                self._settle(stop)

    def _gather(self) -> None:
        try:
            change = self._changes.get(timeout=_CHECK_SECONDS if self._waits() else 0.0)
        except queue.Empty:
            self._check()
            return
        deadline = time.monotonic() + _GATHER_SECONDS
        while True:
            change()
            try:
                change = self._changes.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return

    def _waits(self) -> bool:
        """Return whether there is nothing to do before the next change."""
        return self._settled or self._listed != PATHS.keys()

    def _check(self) -> None:
        """Somebody may have flushed the ruleset: then it is made anew."""
        done = subprocess.run(
            ["nft", "--terse", "list", "table", *TABLE.split()],
            capture_output=True,
            timeout=_NFT_SECONDS,
            check=False,
        )
        if done.returncode and self._installed is not None:
            _log.warning("the table is gone; it is made anew")
            self._installed, self._settled = None, False

    def _note(self, born: Born) -> None:
        self._born[born.name] = born
        self._settled = False

    def _replace(self, kind: str, items: list[watch.Object]) -> None:
        self._known[kind] = {}
        for item in items:
            self._put(kind, item)
        self._listed.add(kind)
        self._settled = False

    def _change(self, kind: str, event: str, item: watch.Object) -> None:
        if event == "DELETED":
            self._known[kind].pop(_key(kind, item), None)
            self._settled = False
        else:
            self._put(kind, item)

    def _put(self, kind: str, item: watch.Object) -> None:
        """Take over what an object says now; most changes of a pod do not concern its rules."""
        key, known = _key(kind, item), self._known[kind]
        value, former = _READ[kind](item), known.get(key)
        if value is None:
            known.pop(key, None)
        else:
            known[key] = value
        self._settled = self._settled and value == former

    def _settle(self, stop: threading.Event) -> None:
        """Bring the kernel to where the cluster is."""
        wanted = ruleset(self.node, self._cluster())
        try:
            self._install(wanted)
        except (OSError, subprocess.SubprocessError) as error:
            _log.error("nft refused: %s; the former rules stay", error)
            self._installed = None
            stop.wait(_RETRY_SECONDS)
            return
        self._settled = True
        self._answer()
        self.ready.set()

    def _install(self, wanted: Ruleset) -> None:
        text = script(self._installed, wanted)
        if text:
            started = time.monotonic()
            self._apply(text)
            _log.info(_told(wanted), 1000 * (time.monotonic() - started))
        self._installed = wanted

    def _cluster(self) -> ClusterState:
        pods = dict(self._known["pods"])
        for name, born in self._born.items():
            if name in pods:
                pods[name] = pods[name]._replace(addresses=(born.address,))
        return ClusterState(pods, self._known["namespaces"], self._known["policies"])

    def _answer(self) -> None:
        """Tell who waits for a new pod; once the API has its address, the node's word is over."""
        pods = self._known["pods"]
        for name, born in list(self._born.items()):
            known = pods.get(name)
            if known is not None:
                born.governed.set()
            if (known is None and born.governed.is_set()) or (known and known.addresses):
                del self._born[name]


def _key(kind: str, item: watch.Object) -> Name | str:
    return objects.name(item).name if kind == "namespaces" else objects.name(item)


_READ: dict[str, Callable[[watch.Object], object]] = {
    "pods": objects.pod,
    "namespaces": objects.labels,
    "policies": objects.policy,
}


def _told(table: Ruleset) -> str:
    pods = len({*table.from_pods, *table.to_pods})
    return f"{pods} pods governed, {len(table.chains)} chains, {len(table.sets)} sets; %.0f ms"


def nft(text: str) -> None:
    """Give one transaction to the kernel: all of it holds afterwards, or none.

    Raises:
        OSError, subprocess.SubprocessError: it was refused.
    """
    done = subprocess.run(
        ["nft", "--file", "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=_NFT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise OSError(done.stderr.strip())
