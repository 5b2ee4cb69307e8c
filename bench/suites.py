"""Where the time of a run's checks goes: the slowest, what they waited for, and the sum.

``python -m bench.suites RUN [--most 10]``, of a run directory or its name below ``runs/``. A
check's seconds are those of its cases with setup and teardown; what the whole run shares, such as
its stack, is taken by the first that needs it. They are divided into what the case's own thread
waited for, paused for, asked over HTTP, asked the API server and had done in pods; the rest it
computed, or waited for other threads. Requests of all its threads are in flight for so long.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from pydantic import TypeAdapter

from bench.judged import table
from hotfire.cli.project import find_run
from hotfire.rundir import TIME_SPENT, Result, RunDirectory

KINDS = {
    "wait": "waits",
    "pause": "pauses",
    "request": "requests",
    "API call": "API calls",
    "command": "commands",
}
COLUMNS = ("check", "seconds", *KINDS.values(), "the rest", "exchanges", "in flight")
SHOWN_SECONDS = 0.5
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one case took time for, so many times."""

    kind: str
    what: str
    seconds: float
    times: int

    def __str__(self) -> str:
        times = f" ({self.times} times)" if self.times > 1 else ""
        return f"{self.seconds:.1f} s {self.kind}: {self.what or 'short ones'}{times}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The time of one check, or of all."""

    name: str
    seconds: float
    spent: Sequence[Spent]
    exchanges: Sequence[Interval]
    """When each that was recorded began and ended, in seconds."""

    def cells(self) -> list[str]:
        """Return this as a row of the table."""
        parts = [sum(one.seconds for one in self.spent if one.kind == kind) for kind in KINDS]
        seconds = [self.seconds, *parts, self.seconds - sum(parts)]
        told = [f"{each:.1f}" for each in seconds] if self.spent else [f"{self.seconds:.1f}"]
        told += ["" for _ in range(len(seconds) - len(told))]
        return [self.name, *told, str(len(self.exchanges)), f"{covered(self.exchanges):.1f}"]

    def longest(self) -> list[Spent]:
        """Return what it took time for, the longest first, those that matter."""
        found = [one for one in summed(self.spent) if one.seconds >= SHOWN_SECONDS]
        return sorted(found, key=lambda one: -one.seconds)


_SPENT = TypeAdapter(list[Spent])


def summed(spent: Iterable[Spent]) -> Iterator[Spent]:
    """Yield each purpose once, with all that was spent for it."""
    by_purpose: dict[tuple[str, str], list[Spent]] = defaultdict(list)
    for one in spent:
        by_purpose[one.kind, one.what].append(one)
    for (kind, what), those in by_purpose.items():
        seconds, times = sum(one.seconds for one in those), sum(one.times for one in those)
        yield Spent(kind=kind, what=what, seconds=seconds, times=times)


def covered(intervals: Iterable[Interval]) -> float:
    """Return for how many seconds at least one of some intervals lasted."""
    total, end = 0.0, float("-inf")
    for begins, ends in sorted(intervals):
        total += max(0.0, ends - max(begins, end))
        end = max(end, ends)
    return total


def read(run: RunDirectory) -> list[Taken]:
    """Return the time of each check that was run, the slowest first."""
    cases: dict[str, list[Result]] = defaultdict(list)
    for result in run.results():
        if result.kind == "check" and not result.skipped_by_operator:
            cases[result.id].append(result)
    spent = spent_by_case(run)
    found = [
        Taken(
            name=id_,
            seconds=sum(one.seconds for one in those),
            spent=[each for node in {one.nodeid for one in those} for each in spent[node]],
            exchanges=[pair for one in those for pair in exchanges(run, one)],
        )
        for id_, those in cases.items()
    ]
    return sorted(found, key=lambda one: -one.seconds)


def spent_by_case(run: RunDirectory) -> dict[str, list[Spent]]:
    """Return what each case took time for, by its node id; nothing of runs before it was noted."""
    found: dict[str, list[Spent]] = defaultdict(list)
    for event in run.events():
        if event.what == TIME_SPENT:
            found[event.source] += _SPENT.validate_python(event.data["spent"])
    return found


def exchanges(run: RunDirectory, result: Result) -> Iterator[Interval]:
    """Yield when each recorded exchange of a case began and ended, in seconds since the epoch."""
    for name in result.evidence:
        if not name.endswith("exchanges.jsonl"):
            continue
        for line in run.path(name).read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if "reply" in entry:
                ended = entry["at_ns"] * 1e-9
                yield ended - entry["reply"]["seconds"], ended


def whole(taken: Sequence[Taken]) -> Taken:
    """Return all checks as one."""
    return Taken(
        name=f"all {len(taken)}",
        seconds=sum(one.seconds for one in taken),
        spent=[each for one in taken for each in one.spent],
        exchanges=[pair for one in taken for pair in one.exchanges],
    )


def told(run: RunDirectory, most: int) -> str:
    """Return the tables of a run."""
    taken, info = read(run), run.info()
    if not taken:
        return f"{run.root} holds no check"
    everything = whole(taken)
    lines = [table(COLUMNS, [one.cells() for one in [*taken[:most], everything]])]
    if info.finished_at:
        took = (info.finished_at - info.started_at).total_seconds()
        lines.append(f"The run took {took:.0f} s from its start to its end.")
    if not everything.spent:
        lines.append("It was recorded before runs noted what a case takes its time for.")
    for one in taken[:most]:
        lines += [f"{one.name}: {each}" for each in islice(one.longest(), 3)]
    lines += ["", "Over all checks:", *map(str, everything.longest()[:most])]
    return "\n".join(lines)


def main() -> None:
    """Print where the time of a run went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="run directory, its name below runs/, or `latest`")
    parser.add_argument("--most", type=int, default=10, help="how many are shown (default: 10)")
    order = parser.parse_args()
    print(told(find_run(order.run), order.most))


if __name__ == "__main__":
    main()
