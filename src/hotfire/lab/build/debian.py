"""Debian's share of the lab: packages are installed, their services never started."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from hotfire.errors import LabError
from hotfire.lab.build.command import run
from hotfire.lab.shape.progress import Progress

# package: a program on the path, or a file, that proves it is installed.
PACKAGES = {
    "bird2": "bird",
    "busybox-static": "busybox",
    "catatonit": "catatonit",
    "conntrack": "conntrack",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "iproute2": "ip",
    "iptables": "iptables",
    "nftables": "nft",
    "prometheus-bird-exporter": "prometheus-bird-exporter",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "prometheus-redis-exporter": "prometheus-redis-exporter",
    "redis-server": "redis-server",
    "runc": "runc",
}
_POLICY = Path("/usr/sbin/policy-rc.d")


def install(progress: Progress, packages: Mapping[str, str] = PACKAGES) -> None:
    """Install the packages whose proofs are missing.

    Raises:
        LabError: there is no apt-get, or it failed.
    """
    missing = [package for package, proof in packages.items() if not _present(proof)]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise LabError(f"missing {', '.join(missing)}, and no apt-get here to install them with")
    with progress.step(f"installing Debian packages: {' '.join(missing)}"), _no_services():
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        try:
            _apt(missing, env)
        except LabError:
            run(["apt-get", "update", "-q"], what="updating Debian's package lists", env=env)
            _apt(missing, env)


def _apt(packages: list[str], env: Mapping[str, str]) -> None:
    argv = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    run(argv, what="installing Debian packages", env=env)


def _present(proof: str) -> bool:
    return (
        Path(proof).exists()
        or shutil.which(proof, path="/usr/sbin:/usr/bin:/sbin:/bin") is not None
    )


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Debian asks this file before it starts a service; ours says no and goes away again."""
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink(missing_ok=True)
