"""The embedded lab: a real Kubernetes with a real network fabric on one Linux machine."""

from collections.abc import Callable
from pathlib import Path

from hotfire.lab.shape.checkout import project_root


def default_target() -> Path:
    """Return where the standing lab's target file lies; it need not exist."""
    from hotfire.lab.shape.state import State, state_home  # noqa: PLC0415 - keeps this import cheap

    return State(state_home()).target


def ensure_up(say: Callable[[str], None]) -> Path:
    """Bring the lab up unless it stands, and return its target file.

    Raises:
        LabError: this machine cannot carry it, or another checkout's lab stands here.
    """
    from hotfire.lab.lab import Lab  # noqa: PLC0415
    from hotfire.lab.shape.progress import Progress  # noqa: PLC0415
    from hotfire.lab.shape.topology import Topology  # noqa: PLC0415

    lab = Lab(project_root())
    if not lab.stands():
        lab.up(Topology(), Progress(say))
    return lab.state.target


def kubectl_of_standing_lab() -> Path | None:
    """Return the standing lab's own kubectl; None when no lab stands."""
    from hotfire.lab.lab import Lab  # noqa: PLC0415

    lab = Lab(project_root())
    return lab.kubectl().binary if lab.state.read() else None


def collect_logs(kubeconfig: Path, directory: Path) -> bool:
    """Copy the standing lab's logs below a directory; False: that kubeconfig is not the lab's."""
    from hotfire.lab.lab import Lab  # noqa: PLC0415

    lab = Lab(project_root())
    if lab.state.read() is None or kubeconfig.resolve() != lab.state.kubeconfig.resolve():
        return False
    lab.collect_logs(directory)
    return True
