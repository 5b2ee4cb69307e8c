"""The run directory: everything a report or a re-judgement needs, and who writes it where."""

import json
import os
import platform
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from hotfire.errors import HistoryError, ProfileError
from hotfire.requirement import Level, Requirement, Scope
from hotfire.verdict import Conformance, Verdict

SCHEMA_VERSION: Final = 1
RUN: Final = "RUN"
"""In the place of a requirement's id: the run itself."""
_Record = TypeVar("_Record", bound=BaseModel)
_MOST_FILES: Final = 100_000
_MOST_BYTES: Final = {".json": 64 << 20, ".jsonl": 1 << 30}
"""Of what is read whole; histories, which may be longer, are read row by row."""


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        ser_json_inf_nan="constants",
        use_attribute_docstrings=True,
    )


class Machine(_Model):
    """The machine hotfire itself ran on."""

    cores: int
    memory_bytes: int
    kernel: str

    @classmethod
    def this(cls) -> Self:
        """Return the facts of this machine."""
        memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        cores = len(os.sched_getaffinity(0))
        return cls(cores=cores, memory_bytes=memory_bytes, kernel=platform.release())


class NodeFacts(_Model):
    """One node of the cluster as seen at the start of the run."""

    name: str
    kubelet_version: str = ""
    kernel: str = ""
    rack: str = ""
    accelerators: int = 0


class ClusterFacts(_Model):
    """The cluster the target lives in."""

    version: str
    nodes: tuple[NodeFacts, ...] = ()
    engine: str = ""
    """How many engine pods of which image."""
    gateway: str = ""
    """The GatewayClass and who implements it."""


class RunInfo(_Model):
    """run.json: what was run, on what, with what outcome."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: str
    started_at: datetime
    """UTC."""
    finished_at: datetime | None = None
    """UTC; None while the run is going on, or when it was killed."""
    tool_version: str
    command: tuple[str, ...]
    machine: Machine
    target_name: str
    cluster: ClusterFacts | None = None
    conformance: Conformance | None = None
    scope: Scope = Scope.FULL
    """How much of the catalogue was taken; only a full run says conformant without a qualifier."""
    requirements_known: int = 0
    """How many requirements and faults the catalogue held; 0: nobody counted."""
    notes: tuple[str, ...] = ()

    @classmethod
    def begin(cls, *, command: tuple[str, ...], target_name: str, tool_version: str) -> Self:
        """Return the information at the start of a run, named after the present second.

        Others may begin in that very second, on other machines too: the name has a random end.
        """
        now = datetime.now(UTC)
        return cls(
            run_id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
            started_at=now,
            tool_version=tool_version,
            command=command,
            machine=Machine.this(),
            target_name=target_name,
        )


class BudgetRow(_Model):
    """One budget against what was measured."""

    name: str
    """With its unit, as in the target file."""
    limit: float
    measured: float | None = None
    """None: nothing was measured; infinite: more requests failed than the percentile leaves out."""
    verdict: Verdict
    reason: str = ""


class Result(_Model):
    """One line of results.jsonl: what one case says about its requirement."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*$")
    """Files are named after it."""
    level: Level
    statement: str
    rationale: str
    source: str
    features: frozenset[str] = frozenset()
    cncf: str | None = None
    kind: Literal["check", "fault", "run"]
    """``run``: the run itself was in trouble, for which no requirement is to blame."""
    area: str
    """Folder below suites/ or experiments/; ``run`` of the run itself."""
    case: str
    """Name of the test, with its parameters."""
    nodeid: str
    """pytest's name of it: the file to open."""
    verdict: Verdict
    reason: str
    """One line: why this verdict."""
    seconds: float = 0.0
    """Time in setup, test and teardown together."""
    evidence: tuple[str, ...] = ()
    """Paths relative to the run directory."""
    figures: dict[str, bool | int | float | str | None] = {}
    """Scalar observations by name, units in the names."""
    budgets: tuple[BudgetRow, ...] = ()
    """Every budget of this case, as it was judged last."""
    skipped_by_operator: bool = False

    @classmethod
    def of_run(cls, what: str, reason: str) -> Self:
        """Return the line about trouble of the run itself, one for each ``what``.

        It decides like a requirement that could not be judged: who was in trouble until the end
        may have left something, or not have seen it.
        """
        return cls(
            id=RUN,
            level=Level.MUST,
            statement="The run itself is set up, carried out and taken down without trouble.",
            rationale="What it left behind or did not see is nobody else's to answer for.",
            source="",
            kind="run",
            area="run",
            case=what,
            nodeid=f"run::{what}",
            verdict=Verdict.INCONCLUSIVE,
            reason=reason,
        )

    @property
    def requirement(self) -> Requirement:
        """The requirement this result is about."""
        names = ("id", "level", "statement", "rationale", "source", "features", "cncf")
        return Requirement(**{name: getattr(self, name) for name in names})


class Event(_Model):
    """One line of timeline.jsonl: something that happened, on the epoch of the history."""

    schema_version: Literal[1] = SCHEMA_VERSION
    at_ns: int = Field(ge=0, lt=1 << 63)
    """Nanoseconds since the epoch."""
    kind: Literal["load", "fault", "phase", "watch", "agent", "platform"]
    what: str
    """Short, e.g. armed, injected, took-effect, healed, verified-healed, baseline-start."""
    source: str
    """Who saw it."""
    experiment: str | None = None
    """Id of the fault it belongs to."""
    data: dict[str, object] = {}


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
        _point(runs / "latest", info.run_id)
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
        _refuse_traps(root.resolve())
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
        _append(self.path("results.jsonl"), result)

    def append_event(self, event: Event) -> None:
        """Add one line to timeline.jsonl."""
        _append(self.path("timeline.jsonl"), event)

    def tell(self, line: str) -> None:
        """Note what the platform keeps us waiting for; who follows the run reads it at once."""
        event = Event(at_ns=time.time_ns(), kind="platform", what=line, source="hotfire")
        self.append_event(event)

    def results(self) -> list[Result]:
        """Return results.jsonl in the order of writing; empty when there is none."""
        return list(_records(self.path("results.jsonl"), Result))

    def events(self) -> list[Event]:
        """Return timeline.jsonl ordered by time; empty when there is none."""
        events = _records(self.path("timeline.jsonl"), Event)
        return sorted(events, key=lambda event: event.at_ns)

    def write_plan(self, nodeids: list[str]) -> None:
        """Keep which cases are about to run, so that a run cut short cannot pass for a whole."""
        self.write_text("plan.json", dump(nodeids))

    def events_as_written(self) -> list[Event]:
        """Return timeline.jsonl in the order of writing, which grows at its end only."""
        return list(_records(self.path("timeline.jsonl"), Event))

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
        write_whole(path, text)
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


def write_whole(path: Path, text: str) -> None:
    """Put a file in its place at once, never half of one; what a link of its name names is kept."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            os.fchmod(handle, 0o644)
            file.write(text)
            file.flush()
            os.fsync(handle)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _refuse_traps(root: Path) -> None:
    for count, path in enumerate(root.rglob("*")):
        mode, size = path.lstat().st_mode, path.lstat().st_size
        name = path.relative_to(root)
        if count >= _MOST_FILES:
            raise HistoryError(f"{root} holds more than {_MOST_FILES:,} files, as no run does")
        if stat.S_ISLNK(mode) and not path.resolve().is_relative_to(root):
            raise HistoryError(f"{root}: {name} is a link that leads out of the run; remove it")
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            raise HistoryError(f"{root}: {name} is no file and no folder; remove it")
        history = name.parts[0] == "history" and name.suffix == ".jsonl"
        if not history and size > _MOST_BYTES.get(name.suffix, size):
            raise HistoryError(f"{root}: {name} is larger than any run leaves it")


def file_name(case: str) -> str:
    """Return a case's name with every character that a path or a link could trip over replaced."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in case).strip("-.") or "case"


def _append(path: Path, record: BaseModel) -> None:
    line = record.model_dump_json().encode() + b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
    try:
        while line:
            # A disk that is nearly full takes a part, and says so only when asked for the rest.
            line = line[os.write(handle, line) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _records(path: Path, model: type[_Record]) -> Iterator[_Record]:
    """Yield one record per line; a torn last line is what a crash leaves and is left out."""
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            yield model.model_validate_json(line)
        except ValidationError as error:
            if number == len(lines):
                return
            raise HistoryError(f"{path}:{number} is not a {model.__name__} line") from error


def _point(link: Path, name: str) -> None:
    draft = link.with_name(f".latest.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(name)
    draft.replace(link)


def dump(value: object) -> str:
    """Return any JSON-like value as readable JSON; what JSON lacks is written as text."""
    return json.dumps(value, indent=2, default=str, ensure_ascii=False)
