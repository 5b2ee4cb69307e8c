"""``python -m hotfire.lab.handles.etcd_backup HOME take``, or ``HOME restore FILE``.

A target file names it, so that a check backs the lab's etcd up and restores it as it would any
platform's: by two commands. Their tools come with the add-on ``etcd-tools``.
"""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hotfire.errors import HotfireError, LabError
from hotfire.lab.build.command import run
from hotfire.lab.lab import Lab
from hotfire.lab.network import netns
from hotfire.own_folders import project_root
from hotfire.waiting import until

_CLIENT_PORT = 2379
_START_SECONDS = 60.0


def main(home: str, verb: str, file: str = "") -> None:
    """Do it; what went wrong is the last word on stderr, with an exit code of 1."""
    lab = Lab(project_root(), home=Path(home))
    try:
        sys.stdout.write(f"{take(lab) if verb == 'take' else restore(lab, file)}\n")
    except HotfireError as error:
        sys.exit(str(error))


def take(lab: Lab) -> Path:
    """Save what the first member holds, as the client machine gets it; return where it is."""
    topology, file = lab.topology(), lab.state.home / "etcd.db"
    endpoint = f"--endpoints=http://{topology.members[0].address}:{_CLIENT_PORT}"
    argv = [str(lab.state.add_ons / "etcdctl"), endpoint, "snapshot", "save", str(file)]
    netns.run(topology.client.network_namespace, argv, within_seconds=_START_SECONDS)
    return file


def restore(lab: Lab, file: str) -> str:
    """Return what a member of one holds that was made of a file.

    Raises:
        LabError: it cannot be made of that file.
    """
    with tempfile.TemporaryDirectory(dir=lab.state.home) as folder:
        client, peer = _free_urls(2)
        data, cluster = f"--data-dir={folder}/data", f"--initial-cluster=scratch={peer}"
        who = ["--name=scratch", f"--initial-advertise-peer-urls={peer}", cluster, data]
        argv = [str(lab.state.add_ons / "etcdutl"), "snapshot", "restore", file, *who]
        run(argv, what=f"restoring {file}")
        own = [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
        etcd = str(lab.kubectl().binary.with_name("etcd"))
        with _running([etcd, *who, *own, f"--listen-peer-urls={peer}", "--unsafe-no-fsync"]):
            return _held(str(lab.state.add_ons / "etcdctl"), client)


def _held(etcdctl: str, client: str) -> str:
    keys = ["get", "/", "--prefix", "--keys-only", "--write-out=json"]
    argv = [etcdctl, f"--endpoints={client}", "--command-timeout=5s", *keys]

    def told() -> str:
        try:
            return run(argv, what="asking the scratch member")
        except LabError:
            return ""

    return until(told, within_seconds=_START_SECONDS, what="a scratch member that answers")


@contextmanager
def _running(argv: list[str]) -> Iterator[None]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _free_urls(count: int) -> list[str]:
    """Return addresses on this machine at which nobody listens."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [f"http://127.0.0.1:{one.getsockname()[1]}" for one in sockets]


if __name__ == "__main__":
    main(*sys.argv[1:])
