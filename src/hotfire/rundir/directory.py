"""The run directory: everything a report or a re-judgement needs, and who writes it where."""

import time
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter, ValidationError

from hotfire import whole_files
from hotfire.errors import HistoryError, ProfileError
from hotfire.rundir.contents import SCHEMA_VERSION, Event, Result, RunInfo
from hotfire.rundir.files import (
    append,
    dump,
    file_name,
    point,
    read_lines,
    refuse_traps,
)


class RunDirectory:
    """runs/<utc>/: plan at the start, history as it happens, results at the end.

    Appends are single writes to files opened for appending and synced to disk, so several
    processes may write and a crash loses at most the line being written.
    """

    def __init__(self, root: Path) -> None:
        """Name a run directory without touching it; use ``create`` or ``open``."""
        self.root = root

    @classmethod
    def create(cls, runs: Path, info: RunInfo) -> Self:
        """Make ``runs/<run_id>/`` with its run.json and point ``runs/latest`` at it.

        Raises:
            FileExistsError: there is a run of that very id.
        """
        runs.mkdir(parents=True, exist_ok=True)
        (runs / info.run_id).mkdir()
        run = cls.create_at(runs / info.run_id, info)
        point(runs / "latest", info.run_id)
        return run

    @classmethod
    def create_at(cls, root: Path, info: RunInfo) -> Self:
        """Make this very folder a run directory.

        Raises:
            ProfileError: it holds a run already; of two that begin at once one is refused.
        """
        root.mkdir(parents=True, exist_ok=True)
        run = cls(root)
        try:
            run.path("run.json").touch(exist_ok=False)
        except FileExistsError as error:
            raise ProfileError(f"{root} holds a run already; name another --run-dir") from error
        run.write_info(info)
        return run

    @classmethod
    def open(cls, root: Path) -> Self:
        """Return an existing run directory.

        Raises:
            HistoryError: there is no run in that folder, or not one this version can read.
        """
        run = cls(root.resolve())
        run.info()
        return run

    @classmethod
    def open_foreign(cls, root: Path) -> Self:
        """Return an existing run directory that anybody may have written.

        Raises:
            HistoryError: as ``open``; or something in it leads out of it, would never end, or is
                larger than any run leaves.
        """
        refuse_traps(root.resolve())
        return cls.open(root)

    def write_info(self, info: RunInfo) -> None:
        """Replace run.json at once, never leaving half of one."""
        self.write_text("run.json", info.model_dump_json(indent=2) + "\n")

    def update_info(self, **changes: object) -> RunInfo:
        """Replace single fields of run.json and return the whole."""
        document = self.info().model_dump() | changes
        info = RunInfo.model_validate(document)
        self.write_info(info)
        return info

    def info(self) -> RunInfo:
        """Return run.json."""
        path = self.path("run.json")
        try:
            return RunInfo.model_validate_json(path.read_bytes())
        except OSError as error:
            raise HistoryError(f"{self.root} holds no run: {error.strerror}: run.json") from error
        except ValidationError as error:
            raise HistoryError(f"{path} is not of schema version {SCHEMA_VERSION}") from error

    def append_result(self, result: Result) -> None:
        """Add one line to results.jsonl."""
        append(self.path("results.jsonl"), result)

    def append_event(self, event: Event) -> None:
        """Add one line to timeline.jsonl."""
        append(self.path("timeline.jsonl"), event)

    def tell(self, line: str) -> None:
        """Note what the platform keeps us waiting for; who follows the run reads it at once."""
        event = Event(at_ns=time.time_ns(), kind="platform", what=line, source="hotfire")
        self.append_event(event)

    def results(self) -> list[Result]:
        """Return results.jsonl in the order of writing; empty when there is none."""
        return list(read_lines(self.path("results.jsonl"), Result))

    def events(self) -> list[Event]:
        """Return timeline.jsonl ordered by time; empty when there is none."""
        return sorted(self.events_as_written(), key=lambda event: event.at_ns)

    def events_as_written(self) -> list[Event]:
        """Return timeline.jsonl in the order of writing, which grows at its end only."""
        return list(read_lines(self.path("timeline.jsonl"), Event))

    def write_plan(self, nodeids: list[str]) -> None:
        """Keep which cases are about to run, so that a run cut short cannot pass for a whole."""
        self.write_text("plan.json", dump(nodeids))

    def planned(self) -> list[str]:
        """Return the cases that were about to run; empty when it never came to that."""
        path = self.path("plan.json")
        if not path.exists():
            return []
        try:
            return TypeAdapter(list[str]).validate_json(path.read_bytes())
        except ValidationError as error:
            raise HistoryError(f"{path} is no list of cases") from error

    def replace_results(self, results: list[Result], *, before: str = "judge") -> None:
        """Replace results.jsonl before something that adds to it; the former stays beside it."""
        current = self.path("results.jsonl")
        if current.exists():
            current.replace(self.path(f"results.before-{before}.jsonl"))
        self.write_text("results.jsonl", "".join(r.model_dump_json() + "\n" for r in results))

    def write_text(self, name: str, text: str) -> Path:
        """Write a file at once, never leaving half of one, and return its path."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        whole_files.write(path, text)
        return path

    def path(self, name: str) -> Path:
        """Return the path of a file by its name relative to the run directory."""
        return self.root / name

    def relative(self, path: Path) -> str:
        """Return a path below the run directory as reports link it."""
        return path.relative_to(self.root).as_posix()

    def history_path(self, name: str) -> Path:
        """Return where the requests of one load are recorded: history/<name>.jsonl."""
        return self._below("history", f"{name}.jsonl")

    def unused_name(self, name: str) -> str:
        """Return a name of which no load is recorded yet: this one, or with a number after it."""
        number, found = 1, name
        while self.history_path(found).exists():
            number += 1
            found = f"{name}-r{number}"
        return found

    def journal_path(self, name: str) -> Path:
        """Return where Chaos Toolkit's journal of one experiment lies: journals/<name>.json."""
        return self._below("journals", f"{name}.json")

    @property
    def undo_path(self) -> Path:
        """The write-ahead undo journal: journals/undo.jsonl."""
        return self._below("journals", "undo.jsonl")

    def evidence_dir(self, name: str, case: str) -> Path:
        """Return the folder of one case's evidence, made: evidence/<id>/<case>/."""
        folder = self.path(f"evidence/{file_name(name)}/{file_name(case)}")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log_path(self, name: str) -> Path:
        """Return where a log lies: logs/<name>."""
        return self._below("logs", name)

    def _below(self, folder: str, name: str) -> Path:
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
