"""What a run looks like while it is going on, read from what it has recorded so far."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

from rich.console import Console
from rich.text import Text

from hotfire.cli.load_view import RunningLoads
from hotfire.cli.verdicts import STYLES
from hotfire.rundir import TIME_SPENT, Event, Result, RunDirectory

_Record = TypeVar("_Record")
_STARTED = "case-started"


class Progress:
    """Prints a line per verdict and fault event, and shows what is running now."""

    def __init__(self, run: RunDirectory, console: Console) -> None:
        self._run = run
        self._console = console
        self._status = console.status("starting")
        self._sizes: dict[Path, int] = {}
        self._told: dict[str, int] = {"results": 0, "events": 0}
        self._began = time.monotonic()
        self._now = "starting"
        self._fault = ""
        self._load = RunningLoads(run.path("history"))

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def say(self, line: str, style: str = "") -> None:
        """Print one line, with the seconds since the start."""
        since = Text(f"{time.monotonic() - self._began:6.1f} s  ", style="dim")
        self._console.print(since + Text(line, style=style), soft_wrap=True)

    def look(self) -> list[Event]:
        """Tell what is new since the last look: what happened, how it ended, what began since.

        Returns the events, in the order of writing.
        """
        events = self._new_events()
        for event in events:
            if event.what != _STARTED:
                self._tell_event(event)
        if self._has_grown("results.jsonl"):
            for result in self._news("results", self._run.results()):
                self._tell_result(result)
        for event in events:
            if event.what == _STARTED:
                self._tell_start(event)
        if self._console.is_terminal and (seen := self._load.look()):
            self._show(f"{self._now}\n  {self._fault}{seen}")
        return events

    def _new_events(self) -> list[Event]:
        if not self._has_grown("timeline.jsonl"):
            return []
        return self._news("events", self._run.events_as_written())

    def _has_grown(self, name: str) -> bool:
        path = self._run.path(name)
        size = path.stat().st_size if path.exists() else 0
        grown = size != self._sizes.get(path, 0)
        self._sizes[path] = size
        return grown

    def _news(self, kind: str, records: list[_Record]) -> list[_Record]:
        news = records[self._told[kind] :]
        self._told[kind] = len(records)
        return news

    def _tell_start(self, event: Event) -> None:
        self._now, self._fault = f"{self._place()}{event.source}", ""
        self._show(self._now)
        if not self._console.is_terminal:
            # A log has no status line; whoever reads it must see that something goes on.
            self.say(f"{self._place()}{event.source.rpartition('/')[2]} ...")

    def _show(self, text: str) -> None:
        self._status.update(Text(text))

    def _tell_event(self, event: Event) -> None:
        if event.kind == "fault":
            since = datetime.fromtimestamp(event.at_ns * 1e-9, UTC)
            self._fault = f"{event.what} at {since:%H:%M:%S}; "
        if event.kind in {"fault", "phase"} and event.what != TIME_SPENT:
            self.say(f"  {event.experiment or ''} {event.what}", style="dim")
        if event.kind == "platform":
            self.say(f"  {event.what}", style="yellow")

    def _tell_result(self, result: Result) -> None:
        if result.skipped_by_operator:
            return
        verdict = Text(f"{result.verdict:<14}", style=STYLES[result.verdict])
        line = f" {result.id:<12} {result.case}  ({result.seconds:.1f} s)"
        since = Text(f"{time.monotonic() - self._began:6.1f} s  ", style="dim")
        self._console.print(since + verdict + Text(line), soft_wrap=True)

    def _place(self) -> str:
        total = len(self._run.planned())
        return f"[{self._told['results'] + 1}/{total}] " if total else ""
