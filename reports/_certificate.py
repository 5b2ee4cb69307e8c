"""Probes and drains: what was measured, what is set, and the least that manifests should say.

Most teams take these numbers from an example and learn in an incident that they do not fit. Each of
them can be measured, and says where it goes.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hotfire.outcome import Outcome
from hotfire.verdict import Verdict
from reports._words import counted, seconds

TITLE = "Probes and drains: the numbers for your manifests"
NOT_MEASURED = "not measured"
NOTHING = "-"
IDS = tuple(f"LIF-{number:03}" for number in range(1, 9))
# Of the start-up probe in the manifest below; Kubernetes' own.
_PERIOD_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One setting: the measured number that decides it, its value today, the least it should be."""

    id: str
    verdict: str
    name: str
    field: str
    """Where it stands in a manifest."""
    measured: str
    today: str
    least: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was tried with these settings, and seen."""

    id: str
    verdict: str
    what: str
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The page of one run."""

    numbers: tuple[Number, ...]
    trials: tuple[Trial, ...]
    manifest: str
    """The least of each setting as YAML; empty: nothing was measured."""
    title: str = TITLE


@dataclass(frozen=True, slots=True)
class _Figures:
    """What the checks of probes and drains recorded, by requirement."""

    outcomes: dict[str, Outcome]

    def verdict(self, id_: str) -> str:
        found = self.outcomes.get(id_)
        if found is None or found.skipped:
            return NOT_MEASURED if found is None else "left out"
        return str(found.verdict)

    def number(self, id_: str, name: str) -> float | None:
        """Return a figure; None: there is none."""
        value = self._value(id_, name)
        return value if isinstance(value, int | float) and math.isfinite(value) else None

    def decided(self, id_: str, name: str) -> float | None:
        """Return a figure that its requirement's verdict rests on; None: there is none."""
        fit = self.verdict(id_) in {Verdict.PASSED, Verdict.FAILED}
        return self.number(id_, name) if fit else None

    def told(self, id_: str, name: str, *, none: str = NOT_MEASURED) -> str:
        """Return a time in words; ``none`` are the words where a check found that it has no end."""
        if (value := self.number(id_, name)) is not None:
            return seconds(value)
        return none if self._has(id_, name) else NOT_MEASURED

    def _has(self, id_: str, name: str) -> bool:
        cases = self.outcomes[id_].cases if id_ in self.outcomes else ()
        return any(name in case.figures for case in cases)

    def _value(self, id_: str, name: str) -> object:
        cases = self.outcomes[id_].cases if id_ in self.outcomes else ()
        return next((case.figures[name] for case in cases if name in case.figures), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Least:
    """The least that each setting should be, in seconds; None: not measured."""

    startup: float | None
    prestop: int | None
    shutdown: int | None
    grace: int | None


def certificate(found: Iterable[Outcome]) -> Certificate | None:
    """Return the page of a run; None: it judged no probe and no drain."""
    mine = {one.first.id: one for one in found if one.first.id in IDS}
    if not mine:
        return None
    figures = _Figures(mine)
    least = _least(figures)
    return Certificate(
        numbers=tuple(_numbers(figures, least)),
        trials=tuple(_trials(figures)),
        manifest=_manifest(least),
    )


def _least(figures: _Figures) -> _Least:
    propagation = figures.decided("LIF-005", "propagation_seconds")
    measured = figures.decided("LIF-005", "longest_stream_measured_seconds")
    promised = figures.decided("LIF-005", "longest_stream_promised_seconds")
    prestop = None if propagation is None else max(1, math.ceil(propagation))
    shutdown = None if measured is None else math.ceil(max(measured, promised or 0.0))
    return _Least(
        startup=figures.decided("LIF-001", "needed_seconds"),
        prestop=prestop,
        shutdown=shutdown,
        grace=_grace(figures, prestop, shutdown),
    )


def _grace(figures: _Figures, prestop: int | None, shutdown: int | None) -> int | None:
    """Return what covers both parts, as they are set or, where that is too short, should be."""
    if prestop is None or shutdown is None:
        return None
    set_prestop = figures.number("LIF-005", "least_prestop_seconds") or 0
    set_shutdown = figures.number("LIF-005", "least_shutdown_timeout_seconds") or 0
    return math.ceil(max(prestop, set_prestop) + max(shutdown, set_shutdown))


def _numbers(figures: _Figures, least: _Least) -> Iterator[Number]:
    def row(id_: str, name: str, field: str, measured: str, today: str, at_least: str) -> Number:
        return Number(
            id=id_,
            verdict=figures.verdict(id_),
            name=name,
            field=field,
            measured=measured,
            today=today,
            least=at_least,
        )

    yield row(
        "LIF-001",
        "Model load, the slowest cold start",
        "startupProbe: initialDelaySeconds + (failureThreshold - 1) x periodSeconds",
        figures.told("LIF-001", "slowest_cold_start_seconds"),
        figures.told("LIF-001", "startup_budget_seconds", none="no probe ends a start"),
        _at_least(least.startup),
    )
    yield row(
        "LIF-003",
        "Hang to restart",
        "livenessProbe: failureThreshold x periodSeconds, and the grace period",
        figures.told("LIF-003", "restarted_after_seconds", none="no restart"),
        figures.told("LIF-003", "promised_seconds"),
        NOTHING,
    )
    yield row(
        "LIF-005",
        "Endpoint propagation, deletion to last request",
        "lifecycle.preStop.sleep.seconds",
        figures.told("LIF-005", "propagation_seconds"),
        figures.told("LIF-005", "least_prestop_seconds"),
        _at_least(least.prestop),
    )
    yield row(
        "LIF-005",
        "Longest stream",
        "shutdown timeout of the engine (vLLM: --shutdown-timeout)",
        _streams(figures),
        figures.told("LIF-005", "least_shutdown_timeout_seconds"),
        _at_least(least.shutdown),
    )
    yield row(
        "LIF-005",
        "Grace period, for both as they are set",
        "terminationGracePeriodSeconds",
        NOTHING,
        figures.told("LIF-005", "least_grace_seconds"),
        _at_least(least.grace),
    )


def _at_least(value: float | None) -> str:
    return NOT_MEASURED if value is None else seconds(value)


def _streams(figures: _Figures) -> str:
    measured = figures.told("LIF-005", "longest_stream_measured_seconds")
    promised = figures.number("LIF-005", "longest_stream_promised_seconds")
    return f"{measured}; {seconds(promised)} promised" if promised else measured


def _trials(figures: _Figures) -> Iterator[Trial]:
    tried = {
        "LIF-002": ("A replica is added under load", _added(figures)),
        "LIF-004": ("Engines are kept busy past every probe", ""),
        "LIF-006": ("A node is drained amid long streams", _drained(figures)),
        "LIF-007": ("An engine is killed, then its pod", _killed(figures)),
        "LIF-008": ("The pod template changes under load", _rolled_out(figures)),
    }
    for id_, (what, seen) in tried.items():
        yield Trial(id=id_, verdict=figures.verdict(id_), what=what, seen=seen or NOT_MEASURED)


def _added(figures: _Figures) -> str:
    silent = figures.number("LIF-002", "ready_without_answer")
    lost = figures.number("LIF-002", "requests_lost_meanwhile")
    if silent is None or lost is None:
        return ""
    looks = counted(int(silent), "look")
    return f"{looks} at a Ready pod that did not answer, {counted(int(lost), 'request')} lost"


def _drained(figures: _Figures) -> str:
    return _lost(figures, "LIF-006", "streams")


def _lost(figures: _Figures, id_: str, noun: str) -> str:
    lost, all_ = figures.number(id_, "lost"), figures.number(id_, noun)
    return "" if lost is None or all_ is None else f"{lost:g} of {all_:,g} {noun} lost"


def _killed(figures: _Figures) -> str:
    names = ("back_after_container_killed_seconds", "back_after_pod_killed_seconds")
    container, pod = (figures.number("LIF-007", name) for name in names)
    if container is None or pod is None:
        return ""
    return f"all serve again {seconds(container)} after the first, {seconds(pod)} after the second"


def _rolled_out(figures: _Figures) -> str:
    lowest, promised = (figures.number("LIF-008", name) for name in ("lowest", "promised"))
    if lowest is None or promised is None:
        return ""
    ready = f"never fewer than {lowest:g} ready, {promised:g} promised"
    return ", ".join(filter(None, (ready, _lost(figures, "LIF-008", "requests"))))


def _manifest(least: _Least) -> str:
    """Return the part of a pod template that these numbers decide, each as short as it may be."""
    engine: list[str] = []
    if least.startup is not None:
        failures = math.ceil(least.startup / _PERIOD_SECONDS) + 1
        engine += [
            "startupProbe:  # besides what it asks",
            f"  periodSeconds: {_PERIOD_SECONDS}",
            f"  failureThreshold: {failures}",
        ]
    if least.shutdown is not None:
        engine += ["args:  # besides your own", f"  - --shutdown-timeout={least.shutdown}"]
    if least.prestop is not None:
        engine += ["lifecycle:", "  preStop:", "    sleep:", f"      seconds: {least.prestop}"]
    if not engine:
        return ""
    first, *rest = engine
    both = least.prestop, least.shutdown
    grace = f"terminationGracePeriodSeconds: {sum(filter(None, both))}\n" if all(both) else ""
    return "\n".join([f"{grace}containers:", f"  - {first}", *(f"    {line}" for line in rest)])
