"""e2e.log of a CNCF submission: each item, its requirements, cases and what they saw, in lines."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hotfire.rundir import Result, RunDirectory
from hotfire.shown import shown
from reports._cncf_items import Item, Standing
from reports._words import counted, plain, portable

NAME = "e2e.log"
UNDECIDED = "not decided"
# Of a single observation; the run has the whole.
_MOST_CHARACTERS = 2000


@dataclass(slots=True)
class Log:
    """The lines, and where each item and requirement is told."""

    lines: list[str] = field(default_factory=list)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    """First and last line by id, from 1."""

    @property
    def text(self) -> str:
        """The whole file."""
        return "".join(f"{line}\n" for line in self.lines)

    def anchor(self, id_: str) -> str:
        """Return a link to where an id is told, with the id as its words."""
        first, last = self.places[id_]
        return f"[{id_}]({NAME}#L{first}-L{last})"

    def tell(self, lines: Iterable[str]) -> None:
        """Add lines, each of which stays one."""
        self.lines += [shown(" ".join(line.splitlines())) for line in lines]


def log(run: RunDirectory, items: Iterable[Item]) -> Log:
    """Return the log of a run, item by item."""
    made, info = Log(), run.info()
    version = info.cluster.version if info.cluster else ""
    began = info.started_at.isoformat(timespec="seconds")
    made.tell([f"hotfire {info.tool_version}, run {info.run_id}, Kubernetes {version}, {began}"])
    for item in items:
        begin = len(made.lines) + 1
        total = counted(len(item.standings), "requirement")
        status = item.status or UNDECIDED
        made.tell([f"=== {item.id} ({item.level}): {status}, {item.passed} of {total} passed"])
        for one in item.standings:
            _tell(made, one, run)
        made.places[item.id] = begin, len(made.lines)
    return made


def _tell(made: Log, one: Standing, run: RunDirectory) -> None:
    begin, claim = len(made.lines) + 1, one.requirement
    lines = [f"--- {claim.id} ({claim.level}): {one.word}: {claim.statement}", f"    {one.why}"]
    for case in one.outcome.cases if one.outcome else ():
        lines.append(f"    {case.case}: {case.verdict}, {case.seconds:.1f} s: {plain(case.reason)}")
        lines += [f"        {line}" for line in observed(case, run)]
    made.tell(portable(line, run) for line in lines)
    made.places[claim.id] = begin, len(made.lines)


def observed(case: Result, run: RunDirectory) -> Iterator[str]:
    """Yield what a case recorded; whatever leads out of the run is none of it."""
    root = run.root.resolve()
    for name in case.evidence:
        path = run.path(name).resolve()
        if path.name != "observations.jsonl" or not path.is_relative_to(root):
            continue
        if path.is_file():
            yield from map(_observation, path.read_text("utf-8", "replace").splitlines())


def _observation(line: str) -> str:
    try:
        row = json.loads(line)
        text = f"{row['name']}: {json.dumps(row['value'], ensure_ascii=False)}"
    except (ValueError, KeyError, TypeError):
        text = line
    rest = len(text) - _MOST_CHARACTERS
    return text if rest <= 0 else f"{text[:_MOST_CHARACTERS]} ... and {rest:,} characters more"
