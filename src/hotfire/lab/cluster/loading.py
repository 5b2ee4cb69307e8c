"""Images of the user's own, brought onto the workers: there is no registry to pull them from."""

import hashlib
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hotfire.errors import LabError
from hotfire.lab.build.store import link_or_copy
from hotfire.lab.machine import node_files
from hotfire.lab.machine.machines import Rack
from hotfire.lab.shape.state import State
from hotfire.lab.shape.topology import Machine, Topology

_PLACE = "/var/lib/hotfire/loading.tar"
# What says that a tar holds images: of an OCI layout, and of `docker save` from before those.
_INDEXES = {"index.json", "manifest.json"}
_UNPACKED = re.compile(r"^unpacking (\S+) \(sha256:", re.MULTILINE)
_IMPORT_SECONDS = 300


def load_everywhere(rack: Rack, state: State, topology: Topology, archive: Path) -> list[str]:
    """Bring the images of an archive onto every worker and return their names.

    Workers that a node pool adds later get them, too.

    Raises:
        LabError: a worker is off, or the archive holds no image for this machine.
    """
    if off := [node.name for node in topology.workers if rack.pid(node.name) is None]:
        raise LabError(f"{', '.join(off)} is off, and every worker is to have the image")
    names: list[str] = []
    with kept(state, archive) as copy:
        for node in topology.workers:
            names = load(rack, node, copy)
    return names


@contextmanager
def kept(state: State, archive: Path) -> Iterator[Path]:
    """Give a copy of an archive; it stays with the lab if the block ends well.

    Raises:
        LabError: it cannot be read, or is no archive of images.
    """
    _check(archive)
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    state.loaded.mkdir(exist_ok=True)
    draft = state.loaded / "draft"
    try:
        shutil.copyfile(archive, draft)
        yield draft
        draft.rename(state.loaded / f"{digest[:12]}.tar")
    finally:
        draft.unlink(missing_ok=True)


def loaded(state: State) -> list[Path]:
    """Return the archives that every worker has, the first loaded first."""
    return sorted(state.loaded.glob("*.tar"), key=lambda path: path.stat().st_mtime_ns)


def load(rack: Rack, node: Machine, archive: Path) -> list[str]:
    """Make the images of an archive known to a worker's containerd and return their names.

    Raises:
        LabError: they are none for this machine, or none has a name.
    """
    place = rack.inside(node.name, _PLACE)
    link_or_copy(archive, place)
    words = ["ctr", "--address", node_files.CONTAINERD_SOCKET, "--namespace", "k8s.io"]
    words += ["images", "import", "--local", _PLACE]
    try:
        said = rack.run(node.name, words, within_seconds=_IMPORT_SECONDS)
    finally:
        place.unlink()
    names = _UNPACKED.findall(said)
    if not names:
        raise LabError(f"no image in {archive} has a name; `docker save NAME` gives it one")
    return names


def _check(archive: Path) -> None:
    try:
        with tarfile.open(archive, "r:") as tar:
            if not any(member.name.removeprefix("./") in _INDEXES for member in tar):
                raise LabError(f"{archive} holds no images: no {' or '.join(sorted(_INDEXES))}")
    except tarfile.TarError as error:
        raise LabError(f"{archive} is no tar archive, or a compressed one: unpack that") from error
    except OSError as error:
        raise LabError(f"{archive} cannot be read: {error.strerror}") from error
