"""What every ``hotfire lab`` command shares: this checkout's lab, and how it speaks."""

from typing import TYPE_CHECKING

from hotfire.errors import LabError
from hotfire.terminal import Terminal

if TYPE_CHECKING:  # `--help` stays instant
    from hotfire.lab.lab import Lab
    from hotfire.lab.shape.state import Ports

console = Terminal(highlight=False)


def say(text: str) -> None:
    """Print one line as it is."""
    console.print(text, markup=False, soft_wrap=True)


def own_lab(ports: "Ports | None" = None) -> "Lab":
    """Return the lab of this checkout, whether it stands or not."""
    from hotfire.lab.lab import Lab  # noqa: PLC0415
    from hotfire.lab.shape.checkout import project_root  # noqa: PLC0415

    return Lab(project_root(), ports=ports)


def refuse_anothers(lab: "Lab") -> None:
    """Refuse to touch what belongs to another checkout.

    Raises:
        LabError: another checkout's lab stands.
    """
    record = lab.state.read()
    if record and record.checkout != str(lab.project):
        raise LabError(f"the lab belongs to {record.checkout}; its commands are to be run there")
