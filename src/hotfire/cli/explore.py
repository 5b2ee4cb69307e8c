"""``hotfire explore``: faults drawn by chance; a schedule that fails is shrunk and written down."""

from pathlib import Path

import typer

from hotfire.cli.catalogue import entries, refuse_unknown
from hotfire.cli.certify import CertifyOptions
from hotfire.cli.certify import carry_out as certify
from hotfire.cli.progress import Progress
from hotfire.experiment.exploring.order import FOUND, TOLD, Order
from hotfire.own_folders import project_root
from hotfire.requirement import Scope
from hotfire.rundir import Event, RunDirectory
from hotfire.shown import shown


def carry_out(order: Order, target: Path | None) -> int:
    """Look for faults that a target does not withstand, report, and say where they are written.

    Raises:
        ProfileError: there is no such fault, or the target file or a leftover forbids the run.
        HarnessError: pytest itself broke down.
    """
    faults = [one for one in entries(project_root()) if one.kind == "fault"]
    refuse_unknown(order.faults, faults)
    ids = {one.requirement.id for one in faults if one.names & _folded(order)}
    console = Console()
    chosen = order.model_copy(update={"faults": frozenset(ids)})
    options = CertifyOptions(target=target, scope=Scope.FULL.value, explore=chosen)
    try:
        return certify(options, beside=console.look)
    finally:
        for line in console.found():
            typer.echo(shown(line))


class Console:
    """Who watches the search, and tells what it says of itself."""

    def __init__(self) -> None:
        self._run: RunDirectory | None = None

    def look(self, run: RunDirectory, progress: Progress, events: list[Event]) -> None:
        """Tell what these events say."""
        self._run = run
        for event in events:
            if event.what == TOLD:
                progress.say(str(event.data["words"]), style="bold")

    def found(self) -> list[str]:
        """Return lines about what was found and where it lies; none where nothing was."""
        folder = self._run.path(FOUND) if self._run else None
        paths = sorted(folder.glob("*.yaml")) if folder else []
        if not paths:
            return []
        told = "fire one again by `chaos run FILE`, or in every run once it lies in experiments/"
        return [*(f"found: {path}" for path in paths), f"{told}{FOUND}/"]


def _folded(order: Order) -> set[str]:
    return {name.casefold() for name in order.faults}
