"""What is broken, on the host's disk: written before anything is broken, removed when mended."""

import contextlib
import datetime
import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hotfire import whole_files
from hotfire.agent.entries import boot_seconds
from hotfire.errors import HarnessError, ProfileError

# The lock for what concerns the first or the last broken handle: which facts are the sound ones.
# Whoever wants that of one handle too takes it before this one.
ALL = "all handles"


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineEntry:
    """One undo entry that an agent keeps inside its machine."""

    machine: str
    id: str
    op: str
    args: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """One broken handle."""

    name: str
    how: str
    """In words, with the amount."""
    began_at: str
    """UTC."""
    expires_at: float
    """Seconds on the boot-time clock."""
    machines: list[str]
    """Those whose state is compared when it is mended."""
    entries: list[MachineEntry]
    powerless: str = ""
    """The machine that was switched off."""
    problem: str = ""
    """Why it could not be mended, or how it is not as before."""

    @property
    def left_seconds(self) -> float:
        """How long it stays broken; negative: it should be mended already."""
        return self.expires_at - boot_seconds()


class Records:
    """The broken handles of one lab."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self) -> list[Broken]:
        """Return what is broken, longest broken first; see ``unreadable`` for the rest."""
        found = [self._readable(path) for path in self._paths()]
        broken = [one for one in found if isinstance(one, Broken)]
        return sorted(broken, key=lambda one: (one.began_at, one.name))

    def unreadable(self) -> dict[str, str]:
        """Return why a record cannot be read, by its file; what it broke may still be broken."""
        found = {path.name: self._readable(path) for path in self._paths()}
        return {name: why for name, why in found.items() if isinstance(why, str)}

    def mendable(self) -> list[Broken]:
        """Return what mends itself in time; the rest could not be mended and waits for somebody."""
        return [one for one in self.all() if not one.problem]

    def get(self, name: str) -> Broken | None:
        """Return one broken handle; None: it is not broken (any more)."""
        return self._read(self._path(name))

    def write(self, broken: Broken) -> None:
        """Put a record on disk; only after this may anything be broken.

        Raises:
            HarnessError: the disk did not take it; the record before, if any, is as it was.
        """
        write(self._path(broken.name), asdict(broken))

    def note(self, broken: Broken, problem: str) -> None:
        """Keep with the record why it is not mended, if the disk takes it."""
        with contextlib.suppress(HarnessError):
            self.write(replace(broken, problem=problem))

    def end(self, broken: Broken, **line: object) -> None:
        """Forget what is mended; who sees the record gone finds in the log how it ended.

        Raises:
            OSError: the disk takes no line, so the record stays; mending again is harmless.
        """
        self._add_line(handle=broken.name, event="mended", **line)
        self._path(broken.name).unlink(missing_ok=True)
        if not self._paths():
            self._sound.unlink(missing_ok=True)

    def sound(self) -> dict[str, str] | None:
        """Return the facts of the lab from when nothing was broken; None: nobody can tell."""
        try:
            found: dict[str, str] = json.loads(self._sound.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return found

    def keep_sound(self, found: Mapping[str, str]) -> None:
        """Remember how the lab is, before the first handle is broken.

        Raises:
            HarnessError: the disk did not take it.
        """
        write(self._sound, found)

    def log(self, **line: object) -> None:
        """Add a line to the log of everything that was broken and mended, if the disk takes it."""
        with contextlib.suppress(OSError):
            self._add_line(**line)

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Keep other processes from breaking or mending the same handle, or all, meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{slug(name)}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @property
    def _sound(self) -> Path:
        return self.folder / "sound.json"

    def _path(self, name: str) -> Path:
        return self.folder / f"{slug(name)}.broken.json"

    def _add_line(self, **line: object) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        with (self.folder / "handles.log").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": now, **line}) + "\n")

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.broken.json"))

    def _readable(self, path: Path) -> Broken | str | None:
        try:
            return self._read(path)
        except HarnessError as error:
            return str(error)

    def _read(self, path: Path) -> Broken | None:
        """Return the record of a file; None: there is none.

        Raises:
            HarnessError: it cannot be read, or another version wrote it.
        """
        try:
            document = json.loads(path.read_bytes())
            entries = [MachineEntry(**one) for one in document["entries"]]
            return Broken(**{**document, "entries": entries})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise HarnessError(
                f"{path} cannot be read ({type(error).__name__}: {error}); `hotfire lab down` ends"
                " what it broke, or remove it by hand once that is mended"
            ) from error


def write(path: Path, document: object) -> None:
    """Replace a file at once and see all of it on the disk.

    Raises:
        HarnessError: the disk did not take it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole_files.write(path, json.dumps(document, indent=1))
        whole_files.sync_folder(path.parent)
    except OSError as error:
        raise HarnessError(f"{path} was not written: {error}") from error


def slug(name: str) -> str:
    """Return a handle's name as a file's."""
    return name.replace("/", "-")


def due(broken: Sequence[Broken]) -> list[Broken]:
    """Return what is to be mended now: its time is over, and its machines have power.

    Where the power is what is broken, it comes back first.
    """
    dark = {one.powerless for one in broken if one.powerless}
    return [
        one
        for one in broken
        if one.left_seconds <= 0
        and not one.problem
        and not dark & {entry.machine for entry in one.entries}
    ]


def ended_by_boot(
    broken: Sequence[Broken], machine: str, booted_at: datetime.datetime
) -> list[str]:
    """Return the handles that were broken on a machine before it booted, youngest first.

    Its agent undoes at its start what it finds on the disk, and the kernel forgot the rest.
    """
    return [
        one.name
        for one in reversed(broken)
        if machine in {entry.machine for entry in one.entries}
        and datetime.datetime.fromisoformat(one.began_at) < booted_at
    ]


def granted(for_seconds: float) -> float:
    """Return how long something may stay broken.

    Raises:
        ProfileError: it is no time an agent grants.
    """
    if not 1 <= for_seconds <= 3000:
        raise ProfileError(f"--for takes 1 to 3000 seconds, not {for_seconds:g}")
    return for_seconds
