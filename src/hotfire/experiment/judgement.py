"""The verdict on an experiment: a pure function of its record, to be repeated offline at will."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hotfire.experiment import same_service
from hotfire.experiment.bystanders import judge_bystanders
from hotfire.experiment.cascade import beyond
from hotfire.experiment.document import IS_HEALED, TOOK_EFFECT
from hotfire.experiment.during import judge_during
from hotfire.experiment.facts import Figures, Record
from hotfire.experiment.same_service import Said
from hotfire.experiment.spent import spent
from hotfire.experiment.withdrawal import judge_withdrawal
from hotfire.measure.budgets import BudgetResult, judge_budgets
from hotfire.measure.comparison import Before, Figure
from hotfire.measure.history import Request
from hotfire.measure.parts import figure_name
from hotfire.measure.recovery import Recovery
from hotfire.measure.slo import summarise
from hotfire.verdict import Verdict, merge

_SECOND_NS = 1_000_000_000
Reason = tuple[Verdict, str, bool]
"""A verdict, why, and whether nothing else may be fired at this target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict, why, and whether anything else may be fired at this target."""

    verdict: Verdict
    reason: str
    stop: bool = False
    """The target is broken, or was hit beyond the plan: feed it no further fault."""
    figures: Figures
    before: Before | None = None
    """What users were served before the fault; None: no fault was injected."""
    quiet_since_ns: int | None = None
    """From when on they were shown to be served so again, for the length of a hold (epoch)."""
    budgets: tuple[BudgetResult, ...] = ()
    """Every budget against what was measured, recovery first; none without a fault window."""


def judge(record: Record) -> Judgement:
    """Return the verdict: the first reason that applies, in this order.

    Record incomplete, no steady state before, capacity not restored by the target, anything raised,
    fault not proven, blast radius exceeded, instrument unfit, not recovered in time, a budget
    exceeded, passed.
    """
    recovery = record.recovery()
    budgets = _budgets(record, recovery)
    broken = record.injected_ns is not None and record.cleared_ns is None
    trouble = next(_troubles(record), None)
    verdict, reason, stop = trouble or (*_worst(budgets), False)
    return Judgement(
        verdict=verdict,
        reason=reason,
        stop=verdict is not Verdict.PASSED and (stop or broken or _not_back(recovery)),
        figures=_figures(record, recovery, trouble),
        budgets=budgets,
        before=recovery.looks.before if recovery else None,
        quiet_since_ns=_quiet_since(record, recovery, verdict),
    )


def _quiet_since(record: Record, recovery: Recovery | None, verdict: Verdict) -> int | None:
    """Return from when on the load may be the next fault's baseline; None: it may not."""
    took = recovery.recovered_from_clearing_seconds if recovery else None
    if verdict is Verdict.INCONCLUSIVE or took is None or record.cleared_ns is None:
        return None
    if recovery is None or not recovery.hold or any(one.worse for one in recovery.hold):
        return None
    return record.cleared_ns + math.ceil(took * _SECOND_NS)


def _troubles(record: Record) -> Iterator[Reason]:
    """Yield what decides before any budget does."""
    if incomplete := _incomplete(record):
        yield Verdict.INCONCLUSIVE, f"the record is incomplete: {incomplete}", False
        return
    yield from _unproven(record, record.journal or {})
    if record.injected_ns is None or record.cleared_ns is None:
        yield Verdict.INCONCLUSIVE, "the fault's window was not recorded", False


def _worst(budgets: Sequence[BudgetResult]) -> tuple[Verdict, str]:
    worst = merge(one.verdict for one in budgets)
    if worst is Verdict.PASSED:
        return worst, "every budget was kept"
    reasons = [one.reason for one in budgets if one.verdict is worst]
    return worst, "; ".join(reasons) or "no budget was set"


def _unproven(record: Record, journal: Mapping[str, Any]) -> Iterator[Reason]:
    unknown = Verdict.INCONCLUSIVE
    if not _steady_before(journal):
        yield unknown, f"no steady state before the fault: {_why_unsteady(record)}", False
    if _left_broken(record, journal):
        told = _told(record, "not-healed")
        yield Verdict.FAILED, f"the target did not put right what was broken{told}", True
    for activity, exception in _raised(journal):
        yield unknown, f"{activity} could not be carried out: {exception}", False
    if _output(journal, TOOK_EFFECT) is not True:
        told = _told(record, "no-effect")
        yield unknown, f"the fault was not proven to have taken effect{told}", False
    if harm := beyond(record.events, record.experiment):
        yield unknown, f"harm beyond the blast radius: {harm[0].data}", True
    if record.instrument_trouble:
        yield unknown, record.instrument_trouble, False


def _told(record: Record, what: str) -> str:
    """Return what was seen instead, by the event that says so."""
    told = record.happened(what)
    words = told[-1].data.get("seen") if told else None
    return f": {words}" if words else ""


def _budgets(record: Record, recovery: Recovery | None) -> tuple[BudgetResult, ...]:
    if recovery is None or record.cleared_ns is None:
        return ()
    promised, touched = record.facts.budgets, _touched(record, recovery)
    results = judge_budgets(touched, promised)
    if promised.bystander_error_ratio is not None:
        results += judge_bystanders(record, touched, promised.bystander_error_ratio)
    if promised.ttft_during_ratio is not None:
        results.append(judge_during(record, recovery.looks, promised.ttft_during_ratio))
    if promised.withdrawal_seconds is not None:
        results.append(judge_withdrawal(record, promised.withdrawal_seconds))
    limit = promised.recovery_seconds
    return tuple(results) if limit is None else (_recovery_budget(recovery, limit), *results)


def _recovery_budget(recovery: Recovery, limit_seconds: float) -> BudgetResult:
    verdict, reason = recovery.judge(limit_seconds)
    return BudgetResult(
        name="recovery_seconds",
        limit=limit_seconds,
        measured=recovery.recovered_from_clearing_seconds,
        verdict=verdict,
        reason=reason,
    )


def _touched(record: Record, recovery: Recovery) -> list[Request]:
    """Return what the budgets count over: from those in flight at the start to recovery's hold.

    The hold is in: it is a fixed, pre-registered length, and without it a short fault would leave
    too few requests to judge a ratio of a percent. Without recovery it is everything to the end.
    """
    start_ns, clear_ns = record.injected_ns or 0, record.cleared_ns or 0
    took = recovery.recovered_from_clearing_seconds
    length = (took or 0.0) + record.facts.measurement.hold_seconds
    end_ns = None if took is None else clear_ns + round(length * _SECOND_NS)
    return [
        one
        for one in record.requests
        if (one.end_ns or one.sched_ns) >= start_ns and (end_ns is None or one.sched_ns <= end_ns)
    ]


def _not_back(recovery: Recovery | None) -> bool:
    return recovery is not None and recovery.recovered_from_clearing_seconds is None


def _figures(record: Record, recovery: Recovery | None, trouble: Reason | None) -> Figures:
    if recovery is None:
        return {}
    same = Said(*trouble[:2]) if trouble else same_service.judge_same(record, recovery)
    start_ns, clear_ns = record.injected_ns or 0, record.cleared_ns
    effect_ns = record.event_ns("took-effect")
    summary = summarise(_touched(record, recovery), record.facts.slo)
    return {
        "took_effect_seconds": _seconds(start_ns, effect_ns),
        "fault_window_seconds": _seconds(effect_ns or start_ns, clear_ns),
        "recovered_from_injection_seconds": recovery.recovered_from_injection_seconds,
        "recovered_from_clearing_seconds": recovery.recovered_from_clearing_seconds,
        "not_recovered_after_seconds": recovery.censored_after_seconds,
        "first_error_seconds": recovery.first_error_seconds,
        "outage_seconds": recovery.outage_seconds,
        "requests_touched": summary.scheduled,
        "error_ratio": summary.error_ratio,
        "lost_requests": recovery.lost_requests,
        "lost_streams": recovery.lost_streams,
        "violating_requests": recovery.violating_requests,
        "goodput_lost_requests": round(recovery.goodput_lost_requests, 1),
        "longest_stall_seconds": recovery.longest_stall_seconds,
        "ttft_during_p95_seconds": recovery.ttft_during.p95_seconds,
        **_after_to_before(recovery),
        **_same_as_before(recovery),
        **same_service.figures(same, recovery),
        **_ready_endpoints(record),
        **{figure_name(name): seconds for name, seconds in spent(record, recovery).items()},
    }


def _after_to_before(recovery: Recovery) -> Figures:
    """Return how the hold after the recovery compares, and how far chance alone carries it."""
    found: Figures = {}
    if recovery.hold and recovery.looks.controls:
        found["control_moved"] = "; ".join(recovery.control_moved) or "no"
    for shift in recovery.hold:
        if shift.figure in (Figure.TTFT, Figure.TPOT):
            name = shift.figure.lower()
            found[f"{name}_after_to_before_ratio"] = round(shift.after / shift.before, 3)
            found[f"{name}_by_chance_up_to_ratio"] = round(shift.chance / shift.before, 3)
        elif shift.figure is Figure.SLOW:
            found["not_served_well_after_ratio"] = round(shift.after, 4)
            found["not_served_well_by_chance_up_to_ratio"] = round(shift.chance, 4)
    return found


def _same_as_before(recovery: Recovery) -> Figures:
    """Return what the equivalence test after recovery showed; nothing without recovery."""
    found: Figures = {}
    for one in recovery.same:
        found[f"{one.name}_p95_after_to_before_ratio"] = one.ratio
        found[f"{one.name}_p95_after_to_before_upper_ratio"] = one.upper_ratio
        found[f"{one.name}_shown_same_as_before"] = one.same
    return found


def _ready_endpoints(record: Record) -> Figures:
    """Return the least number of ready endpoints, and when all were back."""
    earlier, after = record.ready_endpoints()
    before = [ready for _, ready in earlier]
    if not before or not after:
        return {"ready_endpoints_least": min(before, default=None)}
    full = [at_ns for at_ns, ready in after if ready >= before[-1]]
    return {
        "ready_endpoints_before": before[-1],
        "ready_endpoints_least": min(ready for _, ready in after),
        "ready_endpoints_back_seconds": _seconds(
            record.injected_ns or 0, full[-1] if full else None
        ),
    }


def _seconds(start_ns: int, end_ns: int | None) -> float | None:
    return None if end_ns is None else (end_ns - start_ns) / _SECOND_NS


def _incomplete(record: Record) -> str | None:
    """Return what is missing; None if the experiment was carried through to its end."""
    if record.event_ns("kill-switch") is not None:
        return "the kill switch was used, the run's Lease was deleted"
    if record.journal is None:
        return "the experiment left no journal"
    if record.journal["status"] in ("interrupted", "aborted") or not record.journal.get("end"):
        return f"it was {record.journal['status']}"
    return None if record.requests else "the load left no history"


def _left_broken(record: Record, journal: Mapping[str, Any]) -> bool:
    """Return whether a target that must repair the damage by itself did not."""
    unhealed = _output(journal, IS_HEALED) is False
    return record.facts.self_healing and unhealed and _output(journal, TOOK_EFFECT) is True


def _steady_before(journal: Mapping[str, Any]) -> bool:
    before = journal.get("steady_states", {}).get("before") or {}
    return bool(before.get("steady_state_met"))


def _why_unsteady(record: Record) -> str:
    before = (record.journal or {}).get("steady_states", {}).get("before") or {}
    raised = [_last_line(one) for one in before.get("probes", []) if one["status"] != "succeeded"]
    told = [one.data.get("reason") for one in record.happened("steady-state")]
    return raised[0] if raised else str(told[-1] if told else "the hypothesis never ran")


def _raised(journal: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    after = journal.get("steady_states", {}).get("after") or {}
    parts = [*journal["run"], *after.get("probes", []), *journal["rollbacks"]]
    for one in parts:
        if one["status"] != "succeeded":
            yield one["activity"]["name"], _last_line(one)


def _last_line(activity: Mapping[str, Any]) -> str:
    lines = [line for line in activity.get("exception") or () if line.strip()]
    return str(lines[-1]).strip() if lines else activity["status"]


def _output(journal: Mapping[str, Any], name: str) -> object:
    found = [one for one in journal["run"] if one["activity"]["name"] == name]
    return found[-1].get("output") if found else None
