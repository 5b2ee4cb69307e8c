"""One folder of this process alone, for what libraries insist on having as files.

The Kubernetes client writes the keys of a kubeconfig into files. A process that is killed outright
cannot remove them, so the next hotfire of the same user does: each folder is locked by its process,
and the kernel lets the lock go with it.
"""

import atexit
import fcntl
import functools
import os
import shutil
import tempfile
import time
from pathlib import Path

_NAME = "hotfire-private-"
_BEING_MADE_SECONDS = 60.0
"""A younger folder may be one that its process has made and not locked yet."""


@functools.cache
def private_folder() -> Path:
    """Return this process's own folder, mode 0700; it is gone when the process has ended.

    Raises:
        OSError: there is no temporary folder that can be written.
    """
    _remove_abandoned(Path(tempfile.gettempdir()), time.time())
    folder = Path(tempfile.mkdtemp(prefix=_NAME))
    # Never closed: the lock lasts as long as the process, and no program that it starts has it.
    fcntl.flock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX)
    atexit.register(_remove_own, folder, os.getpid())
    return folder


def _remove_own(folder: Path, owner: int) -> None:
    # A forked child inherits what its parent registered.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(parent: Path, now: float) -> None:
    for folder in parent.glob(f"{_NAME}*"):
        if _is_abandoned(folder, now):
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path, now: float) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        made = os.fstat(handle)
        if made.st_uid != os.getuid() or now - made.st_ctime < _BEING_MADE_SECONDS:
            return False
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
