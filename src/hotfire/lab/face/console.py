"""What every ``hotfire lab`` command shares: this checkout's lab, and how it speaks."""

from typing import TYPE_CHECKING

from rich.status import Status
from rich.text import Text

from hotfire.errors import LabError
from hotfire.terminal import Terminal

if TYPE_CHECKING:  # `--help` stays instant
    from hotfire.lab.lab import Lab
    from hotfire.lab.shape.progress import Progress
    from hotfire.lab.shape.state import Ports

console = Terminal(highlight=False)


def say(text: str) -> None:
    """Print one line as it is."""
    console.print(text, markup=False, soft_wrap=True)


class _MovingLine:
    """The last line of a terminal: each text takes the former's place, and no text its last."""

    def __init__(self) -> None:
        self._status: Status | None = None

    def __call__(self, text: str) -> None:
        words = Text(text, no_wrap=True, overflow="ellipsis")
        if not text:
            self._clear()
        elif self._status:
            self._status.update(words)
        else:
            self._status = console.status(words, refresh_per_second=4)
            self._status.start()

    def _clear(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None


def progress() -> "Progress":
    """Return what tells how far a long command is: by a line that moves, on a terminal."""
    from hotfire.lab.shape.progress import Progress  # noqa: PLC0415

    return Progress(say, _MovingLine() if console.is_terminal else None)


def own_lab(ports: "Ports | None" = None) -> "Lab":
    """Return the lab of this checkout, whether it stands or not."""
    from hotfire.lab.lab import Lab  # noqa: PLC0415
    from hotfire.own_folders import project_root  # noqa: PLC0415

    return Lab(project_root(), ports=ports)


def refuse_anothers(lab: "Lab") -> None:
    """Refuse to touch what belongs to another checkout.

    Raises:
        LabError: another checkout's lab stands.
    """
    record = lab.state.read()
    if record and record.checkout != str(lab.project):
        raise LabError(f"the lab belongs to {record.checkout}; its commands are to be run there")
