"""One run at a time: a Lease in the cluster; deleting it from anywhere is the kill switch."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from hotfire.cluster import Cluster, Document
from hotfire.errors import ClusterError, HarnessError

NAME: Final = "hotfire-run"
_RUNNER: Final = "hotfire.dev/runner"
_API: Final = "coordination.k8s.io/v1"
# A deleted lease is noticed within this time.
_CHECK_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds the cluster."""

    run_id: str
    uid: str
    renewed_at: datetime
    lease_seconds: int
    runner: str

    @property
    def alive(self) -> bool:
        """Whether it was renewed within its length, and its process is not known to be dead."""
        fresh = datetime.now(UTC) - self.renewed_at < timedelta(seconds=self.lease_seconds)
        return fresh and not has_ended(self.runner)


def runner_identity(pid: int) -> str | None:
    """Return what tells a process from every other one ever, on any machine; None: there is none.

    Boot, process-id namespace, process id and start time; empty where the kernel is not Linux.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return ""
    try:
        space = Path("/proc/self/ns/pid").stat().st_ino
        # The second field is the name in parentheses and may hold spaces; the start is the 22nd.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie has ended, however long nobody collects it.
    return None if fields[0] in "ZX" else f"{boot.read_text().strip()}/{space}/{pid}/{fields[19]}"


def has_ended(runner: str) -> bool:
    """Return whether a runner of this very machine has ended; others are given their lease."""
    here = (runner_identity(os.getpid()) or "").split("/")[:2]
    parts = runner.split("/")
    return len(parts) == 4 and parts[:2] == here and runner_identity(int(parts[2])) != runner


def holder(cluster: Cluster, namespace: str) -> Holder | None:
    """Return who holds the cluster, alive or not; None if nobody does."""
    found = cluster.get("Lease", namespace, NAME, api_version=_API)
    if found is None:
        return None
    spec = found["spec"]
    return Holder(
        run_id=spec["holderIdentity"],
        uid=found["metadata"]["uid"],
        renewed_at=datetime.fromisoformat(spec["renewTime"]),
        lease_seconds=int(spec["leaseDurationSeconds"]),
        runner=(found["metadata"].get("annotations") or {}).get(_RUNNER, ""),
    )


def release(cluster: Cluster, namespace: str) -> bool:
    """Delete the lease, whoever holds it: its runner stops and heals. False if there is none."""
    return cluster.delete("Lease", namespace, NAME, api_version=_API)


class RunLease:
    """Hold the cluster for one run, renewing on a thread of its own."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        *,
        run_id: str,
        lease_seconds: float,
        on_lost: Callable[[], None],
    ) -> None:
        """Prepare to hold; ``on_lost`` is called once if somebody deletes or takes the lease."""
        self._cluster = cluster
        self._namespace = namespace
        self._run_id = run_id
        self._seconds = max(1, round(lease_seconds))
        self._on_lost = on_lost
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="run-lease", daemon=True)
        self._uid = ""

    def __enter__(self) -> Self:
        """Take the lease.

        Raises:
            HarnessError: another run holds it and is alive.
        """
        other = holder(self._cluster, self._namespace)
        if other and other.alive and other.run_id != self._run_id:
            raise HarnessError(
                f"run {other.run_id} holds this cluster (renewed {other.renewed_at:%H:%M:%S} UTC);"
                " wait for it, or end it with `hotfire heal --now`"
            )
        taken = self._cluster.apply([self._document()])
        self._uid = str(taken[0]["metadata"]["uid"])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(self._seconds)
        if self._uid:
            self._cluster.delete("Lease", self._namespace, NAME, uid=self._uid, api_version=_API)

    def _keep(self) -> None:
        since_renewal = 0.0
        while not self._over.wait(_CHECK_SECONDS):
            since_renewal += _CHECK_SECONDS
            try:
                held = holder(self._cluster, self._namespace)
                if held is None or held.uid != self._uid:
                    self._uid = ""
                    self._on_lost()
                    return
                if since_renewal >= self._seconds / 3:
                    self._renew()
                    since_renewal = 0.0
            except ClusterError:
                # Faults may cut us off for a while; nodes heal by their own clock meanwhile.
                continue

    def _renew(self) -> None:
        # A patch, not an apply: it must not bring back a lease that was deleted just now.
        body = {"spec": self._document()["spec"]}
        self._cluster.patch("Lease", self._namespace, NAME, body, api_version=_API)

    def _document(self) -> Document:
        return {
            "apiVersion": _API,
            "kind": "Lease",
            "metadata": {
                "name": NAME,
                "namespace": self._namespace,
                "annotations": {_RUNNER: runner_identity(os.getpid()) or ""},
            },
            "spec": {
                "holderIdentity": self._run_id,
                "leaseDurationSeconds": self._seconds,
                "renewTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            },
        }
