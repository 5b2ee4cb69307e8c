"""Words that a stand-in for hardware or for a service reads from a file: it behaves accordingly."""

from pathlib import Path
from typing import Any

from hotfire.agent import arguments, cuda
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host, OperationError

# The device plugin of the lab watches the first: a file named after a GPU holds its Xid code.
_GPU_HEALTH = "/var/lib/hotfire/gpu-health"
_STORE_MODE = "/var/lib/hotfire/model-store/mode"
_LAB = "/var/lib/hotfire"
_LARGEST_XID = 999


class GpuHealth:
    """Tell the lab's device plugin that a GPU (``uuid``) has failed with an ``xid``."""

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse a GPU that this node does not have, and a node whose GPUs are real."""
        arguments.only(args, {"uuid", "xid"})
        _require_lab(host)
        here = [gpu["uuid"] for gpu in _gpus(host)]
        if args.get("uuid") not in here:
            raise OperationError(f"no GPU {args.get('uuid')}; this node has {', '.join(here)}")
        arguments.number(args, "xid", above=0, at_most=_LARGEST_XID)

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Write the code."""
        path = self._path(host, entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, f"{entry.args['xid']:.0f}\n")
        return {"path": f"{_GPU_HEALTH}/{path.name}"}

    def undo(self, host: Host, entry: Entry) -> None:
        """Take it back."""
        remove(self._path(host, entry))

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether nothing is said about that GPU."""
        return not self._path(host, entry).exists()

    def _path(self, host: Host, entry: Entry) -> Path:
        return host.path(_GPU_HEALTH) / Path(str(entry.args["uuid"])).name


class StoreMode:
    """Make the lab's model store slow (``bytes_per_second``) or its answers corrupt."""

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse a machine that is no model store, or whose mode is set already."""
        arguments.only(args, {"mode", "bytes_per_second"})
        _require_lab(host)
        _words(args)
        if host.path(_STORE_MODE).exists():
            raise OperationError("the store's mode is set already; heal that first")

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Write the mode."""
        path = host.path(_STORE_MODE)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, _words(entry.args) + "\n")
        return {"mode": _words(entry.args)}

    def undo(self, host: Host, entry: Entry) -> None:
        """Take it back."""
        remove(host.path(_STORE_MODE))

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether no mode is set."""
        return not host.path(_STORE_MODE).exists()


def write(path: Path, text: str) -> None:
    """Replace a file at once: who reads it never sees half of it."""
    draft = _draft(path)
    draft.write_text(text, encoding="ascii")
    draft.replace(path)


def remove(path: Path) -> None:
    """Remove a file, and what a full disk left of its draft."""
    path.unlink(missing_ok=True)
    _draft(path).unlink(missing_ok=True)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _words(args: dict[str, Any]) -> str:
    mode = arguments.choice(args, "mode", {"slow", "corrupt"})
    if mode == "corrupt":
        return mode
    return f"slow {arguments.number(args, 'bytes_per_second', above=0, at_most=1e12):.0f}"


def _require_lab(host: Host) -> None:
    if not host.path(_LAB).is_dir():
        raise OperationError("this is no machine of the lab: nobody here would read the file")


def _gpus(host: Host) -> list[dict[str, str]]:
    found = cuda.gpus(host)["gpus"]
    return found if isinstance(found, list) else []
