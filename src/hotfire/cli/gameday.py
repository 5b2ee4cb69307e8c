"""``hotfire gameday``: one fault, fired by a person who saw what it would hit."""

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table
from rich.text import Text

from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.blast import resolve
from hotfire.chaos.plan import World, names
from hotfire.cli.catalogue import CatalogueEntry, entries, refuse_unknown
from hotfire.cli.certify import CertifyOptions
from hotfire.cli.certify import carry_out as certify
from hotfire.cli.heal import target_or_lab
from hotfire.cli.keys import Keys
from hotfire.cli.progress import Progress
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError, HotfireError, ProfileError
from hotfire.experiment import Experiment
from hotfire.experiment.gate import READY, give_go
from hotfire.own_folders import project_root
from hotfire.profile import TargetProfile
from hotfire.rundir import Event, RunDirectory
from hotfire.terminal import Terminal

_FIRE, _LEAVE = "\n\r", "qQ"
_FIRED = {"injected"}
_HEALED = {"verified-healed", "not-healed"}


def carry_out(fault: str, target: Path | None, *, yes: bool) -> int:
    """Show a fault, fire it on a key under load, heal it, and report; as ``certify`` judges it.

    Raises:
        ProfileError: there is no such fault, or nobody can press a key.
        HarnessError: pytest itself broke down.
    """
    faults = [one for one in entries(project_root()) if one.kind == "fault"]
    refuse_unknown([fault], faults)
    chosen = [one for one in faults if fault.casefold() in one.names]
    if len(chosen) != 1:
        ids = ", ".join(one.requirement.id for one in chosen)
        raise ProfileError(f"{fault} is an area; name one fault of it: {ids}")
    with Keys() as keys:
        if not (keys.there or yes):
            raise ProfileError("nobody can press a key here; --yes fires without asking")
        order = CertifyOptions(target=target, only=(chosen[0].requirement.id,), asks=True)
        return certify(order, beside=Console(keys, yes=yes).look)


class Console:
    """Who watches the run, tells what is ahead, and hears the keys."""

    def __init__(self, keys: Keys, *, yes: bool) -> None:
        self._keys, self._yes = keys, yes
        self._waiting = False

    def look(self, run: RunDirectory, progress: Progress, events: list[Event]) -> None:
        """Tell what these events mean to who stands here, and act upon keys.

        Raises:
            KeyboardInterrupt: whoever stands there wants to leave; what is broken will be healed.
        """
        for event in events:
            self._hear(event, progress)
        pressed = self._keys.pressed()
        if any(key in _LEAVE for key in pressed):
            raise KeyboardInterrupt
        if self._waiting and (self._yes or any(key in _FIRE for key in pressed)):
            self._waiting = False
            progress.say("firing as soon as the baseline is long enough", style="bold")
            give_go(run)

    def _hear(self, event: Event, progress: Progress) -> None:
        if event.what == READY:
            for line in ahead(event):
                progress.say(line)
            self._waiting = True
            progress.say("Enter fires it, q leaves everything as it is", style="bold")
        elif event.what in _FIRED:
            progress.say("it is broken now; q heals it at once", style="bold red")
        elif event.what in _HEALED and event.kind == "fault":
            progress.say("it is over; watching how users are served", style="bold")


def ahead(event: Event) -> Iterator[str]:
    """Yield what a fault would do, in lines: whom it hits, how, for how long, how it ends."""
    data = event.data
    yield f"{event.experiment}: {data['statement']}"
    yield from (f"  hits     {one}" for one in _list(data["hits"]))
    yield from (f"  by       {one}" for one in _list(data["by"]))
    yield f"  for      {data['for_seconds']:g} s once it was seen; over when {data['over_when']}"
    yield f"  undo     written first; repaired by {data['repaired_by']}, else at the lease's end"
    yield from (f"  radius   {one}" for one in _list(data["radius"]))
    costs = data["may_cost"]
    told = ", ".join(f"{k} {v:g}" for k, v in costs.items()) if isinstance(costs, dict) else ""
    yield f"  may cost {told or 'nothing is promised'}"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def list_faults(target: Path | None) -> None:
    """Print each fault with what it would hit here and now; nothing is touched.

    Raises:
        ProfileError: the target file cannot be read, or leads to no cluster.
    """
    console = Terminal(highlight=False)
    profile = TargetProfile.read(target_or_lab(target, lambda line: console.print(Text(line))))
    cluster = Cluster.connect(profile, tell=lambda line: console.print(Text(line)))
    world = World(cluster=cluster, agent=AgentClient(cluster, profile), profile=profile)
    table = Table(box=None, pad_edge=False)
    table.add_column("id", no_wrap=True)
    for name in ("fault", "would hit, here and now"):
        table.add_column(name)
    root = project_root()
    for one in entries(root):
        if one.kind == "fault":
            claim = one.requirement
            table.add_row(claim.id, Text(claim.statement), Text(_would_hit(world, one, root)))
    console.print(table)
    console.print(Text("\nhotfire gameday ID shows it, and fires it on a key"))


def _would_hit(world: World, entry: CatalogueEntry, root: Path) -> str:
    if unclaimed := entry.requirement.features - world.profile.claims:
        return f"not claimed: {', '.join(sorted(unclaimed))}"
    try:
        fault = Experiment.load(root / entry.path).fault
        return names(resolve(world, fault).targets)
    except HarnessError as error:
        return f"nothing: {error}"
    except HotfireError as error:
        return f"not known: {error}"
