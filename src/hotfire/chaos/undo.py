"""The write-ahead undo journal: on this disk and in the cluster, before anything is broken."""

import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from hotfire.cluster import Cluster, Document
from hotfire.errors import RollbackFailed

UNDO_LABEL: Final = "hotfire.dev/undo"
_KEY: Final = "entry.json"


class State(StrEnum):
    """Where a fault stands; armed comes before anything was done."""

    ARMED = "armed"
    INJECTED = "injected"
    HEALED = "healed"


class Record(BaseModel):
    """A frozen part of what is written ahead."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Undo(Record):
    """How to undo a fault: one of a closed list of ways, and what it needs to know."""

    func: str
    """A name in ``heal.WAYS``; never an import path, since copies in a cluster can be edited."""
    args: dict[str, str]


class UndoEntry(Record):
    """One line of the journal."""

    id: str
    at: datetime
    """UTC."""
    run_id: str
    cluster_uid: str
    """Which cluster it was done to; a journal on disk may tell of several."""
    fault: str
    """Id of the experiment."""
    target: dict[str, str]
    undo: Undo
    expires_at: datetime | None
    """When a node heals it by itself; None where nothing on a node has to be undone."""
    token: int = 0
    """Fencing token of the run's Lease: a fault of a later holder is not undone by an earlier."""
    state: State = State.ARMED


class UndoJournal:
    """The journal of one run; an entry is in both places before ``arm`` returns."""

    def __init__(self, path: Path, cluster: Cluster, namespace: str) -> None:
        """Use ``path`` on this disk and ConfigMaps in ``namespace`` of the cluster."""
        self._path = path
        self._cluster = cluster
        self._namespace = namespace

    def arm(self, entry: UndoEntry) -> None:
        """Write an entry ahead, to this disk first.

        Raises:
            ClusterError: the cluster did not take its copy; then nothing may be injected.
        """
        append(self._path, entry)
        self._cluster.apply([config_map(entry, self._namespace)])

    def mark(self, entry: UndoEntry, state: State) -> UndoEntry:
        """Write an entry's new state; the copy of a healed one is removed."""
        marked = entry.model_copy(update={"state": state, "at": datetime.now(UTC)})
        append(self._path, marked)
        if state is State.HEALED:
            self._cluster.delete("ConfigMap", self._namespace, copy_name(entry.id))
        else:
            self._cluster.apply([config_map(marked, self._namespace)])
        return marked

    def open(self) -> list[UndoEntry]:
        """Return what this disk says is not healed, newest first."""
        return still_open(read(self._path))


def append(path: Path, entry: UndoEntry) -> None:
    """Add one line and have it on the disk before returning."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, entry.model_dump_json().encode() + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: Path) -> list[UndoEntry]:
    """Return every line of a journal; empty when there is none.

    Raises:
        RollbackFailed: a line other than a torn last one cannot be read.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entries += [UndoEntry.model_validate_json(line)] if line else []
        except ValidationError as error:
            # A line without its end was being written when the writer died: nothing was injected.
            if number < len(lines):
                raise RollbackFailed(f"{path}:{number} is no undo entry; heal by hand") from error
    return entries


def still_open(entries: Iterable[UndoEntry]) -> list[UndoEntry]:
    """Return the last word on each entry that is not healed, newest first."""
    last = {entry.id: entry for entry in entries}
    unhealed = [entry for entry in last.values() if entry.state is not State.HEALED]
    return sorted(unhealed, key=lambda entry: entry.at, reverse=True)


def copies(cluster: Cluster, namespace: str) -> list[UndoEntry]:
    """Return the entries whose copies lie in the cluster, newest first.

    Raises:
        RollbackFailed: a copy cannot be read.
    """
    found = cluster.list("ConfigMap", namespace, selector=f"{UNDO_LABEL}=true")
    return still_open(map(_entry, found))


def config_map(entry: UndoEntry, namespace: str) -> Document:
    """Return the copy of an entry as the cluster keeps it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": copy_name(entry.id),
            "namespace": namespace,
            "labels": {UNDO_LABEL: "true", "hotfire.dev/fault": entry.fault},
        },
        "data": {_KEY: entry.model_dump_json()},
    }


def copy_name(entry_id: str) -> str:
    """Return the name of an entry's ConfigMap."""
    return f"hotfire-undo-{entry_id}"


def _entry(copy: Mapping[str, object]) -> UndoEntry:
    data = copy.get("data")
    text = data.get(_KEY, "") if isinstance(data, dict) else ""
    try:
        return UndoEntry.model_validate_json(text)
    except (ValidationError, json.JSONDecodeError) as error:
        raise RollbackFailed(f"an undo copy in the cluster cannot be read: {copy}") from error
