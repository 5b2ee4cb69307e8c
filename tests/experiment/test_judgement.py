"""Each reason decides in its order; changing the record by one fact changes the verdict by one."""

from dataclasses import replace
from typing import Any

import pytest

from hotfire.experiment import Facts, Record, judge
from hotfire.measure.history import FailureClass, Request
from hotfire.profile import Budgets, Measurement
from hotfire.rundir import Event
from hotfire.verdict import Verdict

T0 = 1_760_000_000_000_000_000
SECOND = 1_000_000_000
ID = "FLT-POD-001"
INJECTED, EFFECT, HEALED = 60, 61, 75


def rows(*, bad: range = range(0), until: int = 180) -> list[Request]:
    """Return five requests a second; those scheduled in the ``bad`` seconds fail at once."""
    requests = []
    for seq in range(until * 5):
        at = T0 + seq * SECOND // 5
        if seq // 5 in bad:
            lost = FailureClass.CONNECT
            requests.append(Request(seq=seq, sched_ns=at, end_ns=at + 1, error_class=lost))
            continue
        requests.append(answered(seq, at))
    return requests


def answered(seq: int, at: int) -> Request:
    """Return a request with its first token after 0.1 s and fifteen more in 0.3 s."""
    return Request(
        seq=seq,
        sched_ns=at,
        send_ns=at,
        headers_ns=at + 90_000_000,
        first_ns=at + 100_000_000,
        last_ns=at + 400_000_000,
        end_ns=at + 400_000_000,
        n_out=16,
        token_source="usage",
        gaps_us=(20_000,) * 15,
    )


def event(what: str, second: float, **data: object) -> Event:
    at_ns = T0 + round(second * SECOND)
    return Event(at_ns=at_ns, kind="fault", what=what, source="test", experiment=ID, data=data)


def activity(name: str, output: object = None, *, status: str = "succeeded") -> dict[str, Any]:
    return {"activity": {"name": name}, "status": status, "output": output}


def journal(**changes: object) -> dict[str, Any]:
    return {
        "status": "completed",
        "end": "2025-10-09T00:00:00Z",
        "steady_states": {
            "before": {"steady_state_met": True, "probes": []},
            "after": {"steady_state_met": False, "probes": []},
        },
        "run": [
            activity("kill-one-engine"),
            activity("fault-took-effect", True),
            activity("fault-is-healed", True),
        ],
        "rollbacks": [activity("heal")],
        **changes,
    }


def record(**changes: object) -> Record:
    """Return the record of a fault that nobody noticed."""
    facts = Facts(
        experiment=ID,
        slo=Budgets(error_ratio=0.01, ttft_p95_seconds=1.0),
        budgets=Budgets(error_ratio=0.01, recovery_seconds=10),
        measurement=Measurement(),
        self_healing=True,
    )
    events = [
        event("injected", INJECTED),
        event("took-effect", EFFECT),
        event("verified-healed", HEALED),
    ]
    whole = Record(
        facts=facts, journal=journal(), requests=rows(), events=events, instrument_trouble=None
    )
    return replace(whole, **changes)  # type: ignore[arg-type]  # the tests' own keywords


def outputs(effect: object, healed: object) -> list[dict[str, Any]]:
    return [activity("fault-took-effect", effect), activity("fault-is-healed", healed)]


def test_a_fault_that_costs_nothing_passes() -> None:
    judgement = judge(record())

    assert (judgement.verdict, judgement.stop) == (Verdict.PASSED, False)


def test_what_chaos_toolkit_calls_deviated_is_never_read() -> None:
    assert judge(record(journal=journal(deviated=True))).verdict is Verdict.PASSED


INCONCLUSIVE = {
    "no journal": ({"journal": None}, "left no journal"),
    "interrupted": ({"journal": journal(status="interrupted")}, "it was interrupted"),
    "never ended": ({"journal": journal(end=None)}, "incomplete"),
    "no history": ({"requests": []}, "no history"),
    "unsteady before": (
        {"journal": journal(steady_states={"before": {"steady_state_met": False}})},
        "no steady state before",
    ),
    "an action raised": (
        {"journal": journal(run=[activity("kill-one-engine", status="failed")])},
        "kill-one-engine could not be carried out",
    ),
    "a rollback raised": (
        {"journal": journal(rollbacks=[activity("heal", status="failed")])},
        "heal could not be carried out",
    ),
    "not proven": ({"journal": journal(run=outputs(effect=False, healed=True))}, "not proven"),
    "load unfit": ({"instrument_trouble": "the load was not fit to measure: lag"}, "not fit"),
    "kill switch": ({"events": [event("kill-switch", 70)]}, "kill switch"),
}


@pytest.mark.parametrize(("changes", "reason"), INCONCLUSIVE.values(), ids=INCONCLUSIVE.keys())
def test_trouble_of_ours_is_inconclusive(changes: dict[str, object], reason: str) -> None:
    judgement = judge(record(**changes))

    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert reason in judgement.reason


def test_trouble_of_ours_is_inconclusive_even_when_users_suffered() -> None:
    bad = rows(bad=range(60, 120))

    judgement = judge(record(requests=bad, instrument_trouble="the load was not fit to measure"))

    assert judgement.verdict is Verdict.INCONCLUSIVE


def test_harm_beyond_the_radius_is_inconclusive_and_stops_the_run() -> None:
    events = [*record().events, event("beyond-radius", 65, pod="engine-2", harm="restarted")]

    judgement = judge(record(events=events))

    assert (judgement.verdict, judgement.stop) == (Verdict.INCONCLUSIVE, True)


def test_harm_to_others_before_the_fault_is_not_its_doing() -> None:
    before = event("beyond-radius", INJECTED - 20, pod="engine-2", harm="restarted")

    assert judge(record(events=[before, *record().events])).verdict is Verdict.PASSED


def test_a_target_that_does_not_restore_its_capacity_fails_and_stops_the_run() -> None:
    unhealed = journal(run=outputs(effect=True, healed=False))
    events = [event("injected", INJECTED), event("took-effect", EFFECT)]

    judgement = judge(record(journal=unhealed, events=events))

    assert (judgement.verdict, judgement.stop) == (Verdict.FAILED, True)


def test_users_served_badly_long_after_the_fault_is_a_failure() -> None:
    judgement = judge(record(requests=rows(bad=range(61, 110), until=240)))

    assert judgement.verdict is Verdict.FAILED
    assert "after clearing" in judgement.reason
    assert not judgement.stop


def test_users_who_are_never_served_again_fail_and_stop_the_run() -> None:
    judgement = judge(record(requests=rows(bad=range(61, 240), until=240)))

    assert (judgement.verdict, judgement.stop) == (Verdict.FAILED, True)


def test_errors_beyond_the_budget_fail_although_users_recovered_in_time() -> None:
    judgement = judge(record(requests=rows(bad=range(61, 66))))

    assert judgement.verdict is Verdict.FAILED
    assert "error_ratio" in judgement.reason


def test_a_hold_that_users_were_served_well_in_is_the_next_fault_s_baseline() -> None:
    cleared_ns = T0 + HEALED * SECOND

    assert judge(record()).quiet_since_ns == cleared_ns
    # What a fault cost meanwhile is no matter once users are served as before.
    costly = judge(record(requests=rows(bad=range(61, 66))))
    assert (costly.verdict, costly.quiet_since_ns) == (Verdict.FAILED, cleared_ns)


@pytest.mark.parametrize(
    "changes",
    [
        {"instrument_trouble": "the load was late"},
        {"requests": rows(until=90)},
        {"requests": rows(bad=range(61, 180))},
    ],
)
def test_what_was_not_shown_to_be_quiet_is_nobody_s_baseline(changes: dict[str, object]) -> None:
    assert judge(record(**changes)).quiet_since_ns is None


def test_a_history_that_ends_too_early_is_inconclusive() -> None:
    judgement = judge(record(requests=rows(until=90)))

    assert judgement.verdict is Verdict.INCONCLUSIVE


def test_figures_tell_window_effect_and_recovery() -> None:
    figures = judge(record(requests=rows(bad=range(61, 66)))).figures

    assert figures["took_effect_seconds"] == 1.0
    assert figures["fault_window_seconds"] == 14.0
    assert figures["recovered_from_clearing_seconds"] == 0.0
    assert figures["lost_requests"] == 25


def test_budgets_show_recovery_first_and_every_other_one_that_is_set() -> None:
    budgets = judge(record(requests=rows(bad=range(61, 66)))).budgets

    shown = [(one.name, one.limit, one.measured, one.verdict) for one in budgets]
    assert shown == [
        ("recovery_seconds", 10, 0.0, Verdict.PASSED),
        ("error_ratio", 0.01, pytest.approx(25 / 375, abs=0.005), Verdict.FAILED),
    ]


def test_recovery_that_never_came_has_no_measure() -> None:
    [recovery, _] = judge(record(requests=rows(bad=range(61, 240), until=240))).budgets

    assert (recovery.measured, recovery.verdict) == (None, Verdict.FAILED)
    assert "not as before" in recovery.reason


def test_budgets_of_an_unfit_measurement_are_shown_but_do_not_decide() -> None:
    judgement = judge(record(instrument_trouble="the load was not fit to measure: lag"))

    assert [one.verdict for one in judgement.budgets] == [Verdict.PASSED, Verdict.PASSED]
    assert judgement.verdict is Verdict.INCONCLUSIVE


def test_fault_without_a_window_has_no_budgets() -> None:
    assert judge(record(events=[event("injected", INJECTED)])).budgets == ()
