"""The write-ahead undo journal: on this disk and in the cluster, before anything is broken."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import Field, JsonValue, ValidationError

from hotfire import whole_files
from hotfire.chaos.written import Target, Written
from hotfire.cluster import UNDO_LABEL, Cluster, Document
from hotfire.errors import HarnessError
from hotfire.waiting import until

_KEY: Final = "entry.json"
_LOCK_SECONDS: Final = 5.0
_BLOCK_BYTES: Final = 1 << 16


class State(StrEnum):
    """Where a fault stands; armed comes before anything was done."""

    ARMED = "armed"
    INJECTED = "injected"
    HEALED = "healed"


class Undo(Written):
    """How to undo a fault: by the step that did it, and with what was there before."""

    step: dict[str, JsonValue]
    """A word of ``hotfire.chaos.steps`` with its arguments; never an import path, since copies in a
    cluster can be edited."""
    former: dict[str, str] = Field(default_factory=dict)
    """What the step found and has to put back."""
    ready: int = 0
    """How many engine pods must then be Ready again; 0: nobody's engine was touched."""


class UndoEntry(Written):
    """One line of the journal: one step done to one target."""

    id: str
    at: datetime
    """UTC."""
    run_id: str
    cluster_uid: str
    """Which cluster it was done to; a journal on disk may tell of several."""
    fault: str
    """Id of the experiment."""
    target: Target
    undo: Undo
    expires_at: datetime | None
    """When a node or the janitor undoes it unasked; None where nothing is left behind."""
    token: int = 0
    """Fencing token of the run's Lease: a fault of a later holder is not undone by an earlier."""
    state: State = State.ARMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A record of an undo that this version cannot read: something may be broken there."""

    where: str
    """File and line, or the name of a ConfigMap."""
    why: str

    def __str__(self) -> str:
        return (
            f"{self.where} is no undo entry that this version can read ({self.why}); heal with the"
            " version that wrote it, or look what is broken, then remove it by hand"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a journal or a cluster holds: one bad record hides none of the others."""

    entries: list[UndoEntry]
    unreadable: list[Unreadable]


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
            HarnessError: this disk did not take it whole, or the cluster did not take its copy
                (ClusterError); then nothing may be injected.
        """
        append(self._path, entry)
        self._cluster.apply([config_map(entry, self._namespace)])

    def mark(self, entry: UndoEntry, state: State) -> UndoEntry:
        """Write an entry's new state; the copy of a healed one is removed.

        Raises:
            HarnessError: one of both did not take it; the other was asked to all the same.
        """
        marked = entry.model_copy(update={"state": state, "at": datetime.now(UTC)})
        try:
            append(self._path, marked)
        finally:
            if state is State.HEALED:
                self._cluster.delete("ConfigMap", self._namespace, copy_name(entry.id))
            else:
                self._cluster.apply([config_map(marked, self._namespace)])
        return marked

    def open(self) -> list[UndoEntry]:
        """Return what this disk says is not healed, newest first."""
        return still_open(read(self._path).entries)


def append(path: Path, entry: UndoEntry) -> None:
    """Add one line and have all of it on the disk before returning.

    Raises:
        HarnessError: the disk did not take it; then the file is as it was before.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            with _alone(handle, path):
                _append_whole(handle, entry.model_dump_json().encode() + b"\n")
        finally:
            os.close(handle)
        whole_files.sync_folder(path.parent)
    except OSError as error:
        raise HarnessError(f"{path} takes no undo entry ({entry.state}): {error}") from error


def read(path: Path) -> Found:
    """Return what each line of a journal says; nothing when there is none.

    A last line without its end is left out: its writer died before anything was fired by it. So is
    what another version wrote, in a shape of its own, once that says that it is healed.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return Found(entries=[], unreadable=[])
    except OSError as error:
        return Found(entries=[], unreadable=[Unreadable(where=str(path), why=str(error))])
    entries, unreadable, over = [], [], set()
    for number, line in enumerate(lines, start=1):
        try:
            entries += [UndoEntry.model_validate_json(line)] if line.strip() else []
        except ValidationError as error:
            id_, state = _said(line)
            over |= {id_} if state == State.HEALED else set()
            if number < len(lines):
                unreadable.append((id_, Unreadable(where=f"{path}:{number}", why=_first(error))))
    # Another version's fault that it healed itself is nobody's trouble any more.
    left = [record for id_, record in unreadable if not id_ or id_ not in over]
    return Found(entries=entries, unreadable=left)


def _said(line: bytes) -> tuple[str, str]:
    """Return id and state of an entry in a shape that is not ours; empty where it has none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return "", ""
    found = found if isinstance(found, dict) else {}
    return str(found.get("id") or ""), str(found.get("state") or "")


def still_open(entries: Iterable[UndoEntry]) -> list[UndoEntry]:
    """Return the last word on each entry that is not healed, newest first."""
    last = {entry.id: entry for entry in entries}
    unhealed = [entry for entry in last.values() if entry.state is not State.HEALED]
    return sorted(unhealed, key=lambda entry: entry.at, reverse=True)


def copies(cluster: Cluster, namespace: str) -> Found:
    """Return what the copies in the cluster say, open entries newest first."""
    entries, unreadable = [], []
    for copy in cluster.list("ConfigMap", namespace, selector=f"{UNDO_LABEL}=true"):
        try:
            entries.append(_entry(copy))
        except ValidationError as error:
            where = f"ConfigMap {namespace}/{copy['metadata']['name']}"
            unreadable.append(Unreadable(where=where, why=_first(error)))
    return Found(entries=still_open(entries), unreadable=unreadable)


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
    return UndoEntry.model_validate_json(text)


def _first(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")


@contextmanager
def _alone(handle: int, path: Path) -> Iterator[None]:
    """Keep other writers of the same journal out meanwhile; the kernel drops a dead one's lock."""

    def taken() -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    what = f"the lock of {path}"
    until(taken, within_seconds=_LOCK_SECONDS, what=what, poll_seconds=0.01)
    yield


def _append_whole(handle: int, line: bytes) -> None:
    """Write a line at the end, all of it or nothing.

    What a dead writer left of a line is cut off first: nothing was fired by it, and it would spoil
    this one.
    """
    size = os.fstat(handle).st_size
    end = _end_of_lines(handle, size)
    tail = os.pread(handle, size - end, end)
    if tail and _is_entry(tail):
        end, line = size, b"\n" + line
    try:
        if end != size:
            os.ftruncate(handle, end)
        while line:
            line = line[os.write(handle, line) :]
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, end)
        raise


def _end_of_lines(handle: int, size: int) -> int:
    """Return where the last line that has an end ends."""
    end = size
    while end:
        start = max(0, end - _BLOCK_BYTES)
        found = os.pread(handle, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _is_entry(line: bytes) -> bool:
    try:
        UndoEntry.model_validate_json(line)
    except ValidationError:
        return False
    return True
