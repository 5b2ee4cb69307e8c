"""One run at a time: a Lease in the cluster; deleting it from anywhere is the kill switch."""

import os
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final, Self

from hotfire.chaos.holders import (
    API,
    CHECK_SECONDS,
    NAME,
    RUNNER,
    WHERE,
    Holder,
    boot_seconds,
    is_alive,
    read_stamp,
    require_free,
)
from hotfire.chaos.runner import runner_identity
from hotfire.cluster import Cluster, Document
from hotfire.errors import ClusterError, Conflict, HarnessError

# Whoever waits to see whether a run is alive sees it renew within this time.
_RENEW_SECONDS: Final = 10.0


class RunLease:
    """Hold the cluster for one run, renewing on a thread of its own.

    It is had by creating the Lease, or by replacing one whose holder is dead exactly as it was
    read, so that of two who try at once one fails.
    """

    def __init__(  # noqa: PLR0913 - all but two by keyword
        self,
        cluster: Cluster,
        namespace: str,
        *,
        run_id: str,
        lease_seconds: float,
        on_lost: Callable[[], None],
        target: str = "",
        alone: bool = True,
    ) -> None:
        """Prepare to hold; ``on_lost`` is called once if somebody deletes or takes the lease.

        It is called, too, when it could not be renewed for so long that others may take it.
        ``alone``: refuse to begin beside a live run of another target in this cluster.
        """
        self._cluster = cluster
        self._namespace = namespace
        self._run_id = run_id
        self._seconds = max(1, round(lease_seconds))
        self._alone = alone
        self._listeners = [on_lost]
        self._where = f"{target or namespace} on {platform.node()}"
        self._over = threading.Event()
        self._lost = threading.Event()
        self._telling = threading.Lock()
        self._threads = [
            threading.Thread(target=each, name="run-lease", daemon=True)
            for each in (self._keep, self._count_down)
        ]
        self._lease: Document = {}
        # What this run wrote last, and what it may have written: an answer can get lost.
        self._stamps: set[str] = set()
        self._renewed = 0.0
        self.token = 0
        """Grows from holder to holder: whoever takes orders refuses those with an older one."""

    @property
    def run_id(self) -> str:
        """The run it is held for."""
        return self._run_id

    @property
    def lost(self) -> bool:
        """Whether it was held and is not any more."""
        return self._lost.is_set()

    def __enter__(self) -> Self:
        """Take the lease.

        Raises:
            HarnessError: another run holds it and is alive, or was faster.
        """
        taken = self._take()
        self._lease = taken
        # etcd counts every write to the cluster. So this is greater than that of any holder
        # before, though its Lease or the whole namespace may have been deleted since.
        self.token = int(taken["metadata"]["resourceVersion"])
        for thread in self._threads:
            thread.start()
        if self._alone:
            self._refuse_company()
        return self

    def end_watch(self) -> None:
        """Look no more whether it is held: what it lies in is about to be removed."""
        self._over.set()
        for thread in self._threads:
            thread.join(self._seconds)

    def __exit__(self, *_: object) -> None:
        self.end_watch()
        if not self.lost:
            with suppress(Conflict):
                self._give_back()

    @contextmanager
    def watched(self, on_lost: Callable[[], None]) -> Iterator[Self]:
        """Have another one told of the loss for the length of a block.

        Raises:
            HarnessError: it is lost already.
        """
        self._listeners.append(on_lost)
        try:
            self.require()
            yield self
        finally:
            self._listeners.remove(on_lost)

    def require(self) -> None:
        """Make sure that the cluster is still held.

        Raises:
            HarnessError: it is not; what was observed since may be another run's doing.
        """
        if self.lost:
            raise HarnessError(f"run {self._run_id} lost its Lease {self._namespace}/{NAME}")

    # Parts

    def _take(self) -> Document:
        """Return the Lease, created or taken from a dead holder."""
        fresh = self._fresh()
        with suppress(Conflict):
            return self._cluster.create(fresh)
        if (found := self._get()) is not None:
            held = Holder.parse(found)
            if is_alive(self._cluster, held):
                way_out = "wait for it, or end it with `hotfire heal --now`"
                raise HarnessError(f"{held} holds this cluster; {way_out}")
            fresh = self._fresh(transitions=held.transitions + 1)
            fresh["metadata"] |= {"uid": held.uid, "resourceVersion": held.version}
            with suppress(Conflict):
                return self._cluster.replace(fresh)
        raise HarnessError("another run took or gave back the cluster this moment; begin again")

    def _refuse_company(self) -> None:
        """Look for others once ours can be seen: of two who begin at once, at least one sees."""
        try:
            require_free(self._cluster, self._namespace)
        except HarnessError:
            self.__exit__()
            raise

    def _keep(self) -> None:
        while not self._over.wait(min(CHECK_SECONDS, self._seconds / 4)):
            # Faults may cut us off for a while; nodes heal by their own clock meanwhile.
            with suppress(ClusterError):
                if not self._look():
                    self._lose()
                    return

    def _count_down(self) -> None:
        """Give up in time, however long a look takes: then others may take it any moment."""
        limit = self._seconds - min(2 * CHECK_SECONDS, self._seconds / 4)
        while not self._over.wait(min(CHECK_SECONDS, self._seconds / 4) / 2):
            if boot_seconds() >= self._renewed + limit:
                self._lose()
                return

    def _look(self) -> bool:
        """Renew it when that is due; return whether it is still held."""
        found = self._get()
        if found is None or not self._is_mine(found):
            return False
        self._lease = found
        if boot_seconds() >= self._renewed + min(self._seconds / 4, _RENEW_SECONDS):
            # The next look tells whether whoever changed it took it or only touched it.
            with suppress(Conflict):
                self._renew()
        return True

    def _renew(self) -> None:
        """Write the time, if the Lease is as it was read: it must not bring back a deleted one."""
        before, stamp = boot_seconds(), _stamp()
        self._stamps = {self._lease["spec"]["renewTime"], stamp}
        spec = {**self._lease["spec"], "renewTime": stamp}
        self._lease = self._cluster.replace({**self._lease, "spec": spec})
        self._renewed = before

    def _give_back(self) -> None:
        found = self._get()
        if found is not None and self._is_mine(found):
            uid, version = found["metadata"]["uid"], found["metadata"]["resourceVersion"]
            self._cluster.delete(
                "Lease", self._namespace, NAME, uid=uid, version=version, api_version=API
            )

    def _lose(self) -> None:
        with self._telling:
            if self.lost or self._over.is_set():
                return
            self._lost.set()
        for listener in list(self._listeners):
            listener()

    def _get(self) -> Document | None:
        return self._cluster.get("Lease", self._namespace, NAME, api_version=API)

    def _is_mine(self, found: Document) -> bool:
        """Return whether this Lease is as this run wrote it; nobody else has to write to it."""
        written = {read_stamp(stamp) for stamp in self._stamps}
        held, uid = Holder.parse(found), self._lease["metadata"]["uid"]
        return (held.uid, held.run_id) == (uid, self._run_id) and held.renewed_at in written

    def _fresh(self, *, transitions: int = 0) -> Document:
        now = _stamp()
        self._stamps, self._renewed = {now}, boot_seconds()
        marks = {RUNNER: runner_identity(os.getpid()) or "", WHERE: self._where}
        return {
            "apiVersion": API,
            "kind": "Lease",
            "metadata": {"name": NAME, "namespace": self._namespace, "annotations": marks},
            "spec": {
                "holderIdentity": self._run_id,
                "leaseDurationSeconds": self._seconds,
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }


def _stamp() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
