"""Undo entries on the node's disk: written before acting, read back after a crash.

This agent works by what it has in memory; the disk is for the next one. So arming alone insists on
the disk. What is written later may be made up for later, and what is healed needs no free byte: its
file is removed.
"""

import contextlib
import json
import math
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hotfire.agent.host import OperationError

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
ARMED, INJECTED, HEALED = "armed", "injected", "healed"
LONGEST_LEASE_SECONDS = 3600.0
# However often it is renewed. The longest fault that is defined holds for half a minute.
LONGEST_LIFE_SECONDS = 3600.0
_LARGEST_BYTES = 4 << 20
# Room for two entries and their drafts, given up when the disk is full and an entry must be noted.
_RESERVE_BYTES = 1 << 14
_RETRY_SECONDS = 2.0


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


_SHAPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "op", "boot_id", "state"), (str,)),
    **dict.fromkeys(("args", "observed"), (dict,)),
    **dict.fromkeys(("expires_at", "armed_at"), (int, float)),
}


def boot_seconds() -> float:
    """Return the time since boot, suspended time included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Return this boot's id; stamps and process ids of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class Entries:
    """The open and the lately healed entries of this node, one file each while they are open."""

    def __init__(self, folder: Path) -> None:
        """Read what is there; what cannot be read is told by ``unreadable`` and left alone."""
        with contextlib.suppress(OSError):
            # A read-only disk has to be healed all the same; arming will say what is the matter.
            folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._unwritten: set[str] = set()
        self._barred: set[str] = set()
        self._retry_at = 0.0
        self.unreadable: dict[str, str] = {}
        """Why, by the name of the file. What such an entry broke may still be broken."""
        found = sorted(self._read_all(), key=lambda one: one.armed_at)
        self._entries = {entry.id: entry for entry in found}

    def arm(
        self,
        id_: str,
        op: str,
        args: dict[str, Any],
        *,
        ttl_seconds: float,
        observed: dict[str, Any] | None = None,
    ) -> Entry:
        """Write a new entry to disk; only after this may the fault be injected.

        Raises:
            OperationError: it is refused, or the disk did not take it.
        """
        if not _ID.fullmatch(id_):
            raise OperationError(f"{id_!r} is no entry id: lower case, digits and '-', at most 40")
        if id_ in self._entries or self._path(id_).name in self.unreadable:
            raise OperationError(f"entry {id_} exists already")
        if id_ in self._barred:
            raise OperationError(f"entry {id_} was healed before it was armed; it comes too late")
        now = boot_seconds()
        entry = Entry(id_, op, args, now + _lease(ttl_seconds), now, boot_id())
        entry = replace(entry, observed=observed or {})
        try:
            self._keep_reserve()
            self._write(entry)
            self._require_written(entry)
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                self._path(id_).unlink(missing_ok=True)
            raise OperationError(
                f"the disk of this node takes no undo entry, so nothing was fired: {error}"
            ) from error
        self._entries[id_] = entry
        return entry

    def mark(self, id_: str, *, state: str | None = None, **observed: object) -> Entry:
        """Record a new state of an entry, or more of what was observed."""
        entry = self.get(id_)
        seen = {**entry.observed, **observed}
        return self._note(replace(entry, state=state or entry.state, observed=seen))

    def renew(self, id_: str, *, ttl_seconds: float) -> Entry:
        """Prolong an open entry's life from now on, never beyond an hour after it was armed.

        Raises:
            OperationError: it is healed, its time is over, or the new lease is too long.
        """
        entry, now = self.get(id_), boot_seconds()
        if entry.state == HEALED:
            raise OperationError(f"entry {id_} is healed already; it cannot be renewed")
        if entry.expires_at <= now or entry.boot_id != boot_id():
            raise OperationError(f"the time of entry {id_} is over; it is being undone")
        last = entry.armed_at + LONGEST_LIFE_SECONDS
        return self._note(replace(entry, expires_at=min(now + _lease(ttl_seconds), last)))

    def bar(self, id_: str) -> None:
        """Refuse an entry that is not here, from now on: its order may still be on its way."""
        if not self.has(id_) and _ID.fullmatch(id_):
            self._barred.add(id_)

    def expire(self, id_: str) -> None:
        """End an entry's time, in memory: whoever reads its file later undoes it anyway."""
        self._entries[id_] = replace(self.get(id_), expires_at=0.0)

    def has(self, id_: str) -> bool:
        """Return whether an entry is here, open or lately healed."""
        return id_ in self._entries

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
        """Forget what needs no undo any more; give the reserve back when nothing is left."""
        for entry in [one for one in self.all() if one.state == HEALED]:
            with contextlib.suppress(OSError):
                self._path(entry.id).unlink(missing_ok=True)
            del self._entries[entry.id]
            self._unwritten.discard(entry.id)
        if not self._entries:
            self._release_reserve()

    def catch_up(self) -> None:
        """Try again, every other second, to bring to the disk what it did not take before."""
        if self._unwritten and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            for id_ in sorted(self._unwritten):
                self._bring_to_disk(self._entries[id_])

    def _note(self, entry: Entry) -> Entry:
        self._entries[entry.id] = entry
        self._bring_to_disk(entry)
        return entry

    def _bring_to_disk(self, entry: Entry) -> None:
        self._unwritten.add(entry.id)
        for _ in range(2):
            try:
                if entry.state == HEALED:
                    self._path(entry.id).unlink(missing_ok=True)
                    self._sync_folder()
                else:
                    self._write(entry)
            except OSError:
                # The armed entry is there, and it alone suffices to undo.
                self._release_reserve()
            else:
                self._unwritten.discard(entry.id)
                break
        if not self._reserve.exists() and self.open():
            # Taken back at once: a disk that is to be full has no room of ours in it.
            with contextlib.suppress(OSError):
                self._keep_reserve()

    def _write(self, entry: Entry) -> None:
        path = self._path(entry.id)
        draft = path.with_suffix(".new")
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump(asdict(entry), file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        self._sync_folder()

    def _require_written(self, entry: Entry) -> None:
        if _read(self._path(entry.id)) != entry:
            raise ValueError("what was written does not read back")

    def _sync_folder(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _keep_reserve(self) -> None:
        if self._reserve.exists() and self._reserve.stat().st_size == _RESERVE_BYTES:
            return
        with self._reserve.open("wb") as file:
            file.write(bytes(_RESERVE_BYTES))
            file.flush()
            os.fsync(file.fileno())

    def _release_reserve(self) -> None:
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)

    def _read_all(self) -> Iterator[Entry]:
        try:
            paths = sorted(self._folder.iterdir())
        except OSError as error:
            self.unreadable[str(self._folder)] = str(error)
            return
        for path in [one for one in paths if one.suffix == ".json"]:
            try:
                yield _read(path)
            except (OSError, ValueError, TypeError, RecursionError) as error:
                self.unreadable[path.name] = f"{type(error).__name__}: {error}"

    @property
    def _reserve(self) -> Path:
        return self._folder / "reserve"

    def _path(self, id_: str) -> Path:
        return self._folder / f"{id_}.json"


def _read(path: Path) -> Entry:
    """Return the entry of a file.

    Raises:
        OSError, ValueError, TypeError, RecursionError: it holds none, or one of another version.
    """
    if not path.is_file() or path.stat().st_size > _LARGEST_BYTES:
        raise ValueError("it is no file, or too large for an entry")
    document = json.loads(path.read_bytes())
    entry = Entry(**document)
    for name, shapes in _SHAPES.items():
        if not isinstance(document.get(name, getattr(entry, name)), shapes):
            raise TypeError(f"{name} has another shape")
    if path.name != f"{entry.id}.json" or entry.state not in {ARMED, INJECTED, HEALED}:
        raise ValueError(f"it holds entry {entry.id} in state {entry.state}")
    if not math.isfinite(entry.expires_at) or not math.isfinite(entry.armed_at):
        raise ValueError("its times are not finite")
    return entry


def _lease(ttl_seconds: float) -> float:
    if not 0 < ttl_seconds <= LONGEST_LEASE_SECONDS:
        raise OperationError(
            f"a ttl of {ttl_seconds} s is not within 0 to {LONGEST_LEASE_SECONDS:g}"
        )
    return ttl_seconds
