"""Undo entries on the node's disk: written before acting, read back after a crash."""

import json
import os
import re
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hotfire.agent.host import OperationError

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
ARMED, INJECTED, HEALED = "armed", "injected", "healed"


@dataclass(frozen=True)
class Entry:
    """One fault on this node and what its undo needs to know."""

    id: str
    op: str
    args: dict[str, Any]
    expires_at: float
    """Seconds on the boot-time clock: a fault that shifts the wall clock must not move it."""
    armed_at: float
    """Seconds on the same clock."""
    boot_id: str
    state: str = ARMED
    observed: dict[str, Any] = field(default_factory=dict)


def boot_seconds() -> float:
    """Return the time since boot, suspended time included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Return this boot's id; stamps of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class Entries:
    """The open and the lately healed entries of this node, one file each."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._entries = {entry.id: entry for entry in self._read()}

    def arm(self, id_: str, op: str, args: dict[str, Any], *, ttl_seconds: float) -> Entry:
        """Write a new entry to disk; only after this may the fault be injected."""
        if not _ID.fullmatch(id_):
            raise OperationError(f"{id_!r} is no entry id: lower case, digits and '-', at most 40")
        if id_ in self._entries:
            raise OperationError(f"entry {id_} exists already")
        if not 0 < ttl_seconds <= 3600:
            raise OperationError(f"a ttl of {ttl_seconds} s is not within 0 to 3600")
        now = boot_seconds()
        entry = Entry(id_, op, args, now + ttl_seconds, now, boot_id())
        return self._write(entry)

    def mark(self, id_: str, *, state: str | None = None, **observed: object) -> Entry:
        """Record a new state of an entry, or more of what was observed."""
        entry = self.get(id_)
        seen = {**entry.observed, **observed}
        return self._write(replace(entry, state=state or entry.state, observed=seen))

    def renew(self, id_: str, *, ttl_seconds: float) -> Entry:
        """Prolong an open entry's life from now on."""
        entry = self.get(id_)
        if entry.state == HEALED:
            raise OperationError(f"entry {id_} is healed already; it cannot be renewed")
        return self._write(replace(entry, expires_at=boot_seconds() + ttl_seconds))

    def get(self, id_: str) -> Entry:
        """Return one entry, open or lately healed."""
        try:
            return self._entries[id_]
        except KeyError:
            raise OperationError(f"this node has no entry {id_}") from None

    def all(self) -> list[Entry]:
        """Return all entries, in the order of arming."""
        return list(self._entries.values())

    def open(self) -> list[Entry]:
        """Return what is not healed, newest first."""
        return [entry for entry in reversed(self.all()) if entry.state != HEALED]

    def expired(self) -> list[Entry]:
        """Return open entries whose time is over, or that an earlier boot left."""
        now, boot = boot_seconds(), boot_id()
        return [one for one in self.open() if one.expires_at <= now or one.boot_id != boot]

    def forget_healed(self) -> None:
        """Remove what needs no undo any more."""
        for entry in [one for one in self.all() if one.state == HEALED]:
            self._path(entry.id).unlink(missing_ok=True)
            del self._entries[entry.id]

    def _write(self, entry: Entry) -> Entry:
        path = self._path(entry.id)
        draft = path.with_suffix(".new")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(entry), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        self._entries[entry.id] = entry
        return entry

    def _read(self) -> list[Entry]:
        texts = [path.read_text(encoding="utf-8") for path in self._folder.glob("*.json")]
        return sorted((Entry(**json.loads(text)) for text in texts), key=lambda one: one.armed_at)

    def _path(self, id_: str) -> Path:
        return self._folder / f"{id_}.json"
