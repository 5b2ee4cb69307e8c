"""What the checks of bad requests, of mixed lengths and of the control plane's nodes conclude."""

from pathlib import Path

import pytest

from fixtures.altered_rows import decoded_slower
from fixtures.scratch import Decision
from hotfire import Reply
from hotfire.cluster import Node, Taint
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass, Request
from hotfire.profile import PRESETS, TargetProfile
from suites.api.test_bad_requests_harm_nobody_else import Parts, wrong
from suites.cluster.test_control_plane_takes_no_pods_of_users import accepted, tolerations
from suites.slo.test_long_outputs_change_no_verdict import (
    LONG,
    SHORT,
    check_control,
    judge,
    require_longer,
)

SECOND_NS, MS_NS = 1_000_000_000, 1_000_000


def profile(tmp_path: Path, budgets: str = "{preset: lab}") -> TargetProfile:
    path = tmp_path / "target.yaml"
    path.write_text(
        f"{{name: x, gateway: {{url: 'http://x'}}, engine: {{model: m}}, budgets: {budgets}}}"
    )
    return TargetProfile.read(path)


def answer(number: int, tokens: int, *, tpot_ms: int = 5) -> Request:
    """Return an answer whose first token took 30 ms."""
    first_ns = number * SECOND_NS + 30 * MS_NS
    last_ns = first_ns + (tokens - 1) * tpot_ms * MS_NS
    return Request(
        seq=number,
        sched_ns=number * SECOND_NS,
        send_ns=number * SECOND_NS,
        headers_ns=first_ns,
        first_ns=first_ns,
        first_output_ns=first_ns,
        last_ns=last_ns,
        end_ns=last_ns,
        n_out=tokens,
        status=200,
        finish_reason="length",
        token_source="usage",
        gaps_us=[tpot_ms * 1000] * (tokens - 1),
    )


SHORT_ONES = [answer(number, 8) for number in range(200)]
LONG_ONES = [answer(number, 80) for number in range(12)]


def test_long_answers_are_judged_by_themselves(tmp_path: Path) -> None:
    target = profile(tmp_path)
    slow = [answer(number, 80, tpot_ms=250) for number in range(12)]

    broken = [one.budget for one in judge(LONG, slow, target) if one.broken]

    assert broken == ["tpot_p95_seconds"]
    assert not any(one.broken for one in judge(LONG, LONG_ONES, target))
    assert not any(one.broken for one in judge(SHORT, [*SHORT_ONES, *slow], target))


def test_few_slow_ones_are_no_more_than_chance(tmp_path: Path) -> None:
    some = [decoded_slower(one, 60) if one.seq < 5 else one for one in LONG_ONES]

    assert not any(one.broken for one in judge(LONG, some, profile(tmp_path)))


def test_failed_answers_exceed_every_budget(tmp_path: Path) -> None:
    lost = [
        Request(seq=n, sched_ns=n, send_ns=n, end_ns=n, error_class=FailureClass.CONNECT)
        for n in range(12)
    ]

    assert all(one.broken for one in judge(LONG, lost, profile(tmp_path)))


def test_answers_that_were_to_be_long_and_were_not_tell_nothing() -> None:
    with pytest.raises(HarnessError, match="hardly longer"):
        require_longer({SHORT: SHORT_ONES, LONG: SHORT_ONES[:12]})


def test_what_is_not_promised_cannot_be_held(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"set budgets\.tpot_p95_seconds"):
        judge(LONG, LONG_ONES, profile(tmp_path, "{ttft_p95_seconds: 2.0}"))


def test_control_tells_queueing_from_slow_decoding(tmp_path: Path) -> None:
    assert PRESETS["lab"].tpot_p95_seconds

    check_control(profile(tmp_path), {SHORT: SHORT_ONES, LONG: LONG_ONES})


def test_a_server_s_fault_is_no_answer_to_a_bad_request() -> None:
    replies = {
        "refused": [Reply(status=400), Reply(status=404)],
        "failed": [Reply(status=400), Reply(status=500)],
        "cut": [Reply(error="reset", detail="by peer")],
        "taken": [Reply(status=200)],
    }

    assert set(wrong(replies, may_succeed=False)) == {"failed", "cut", "taken"}
    assert set(wrong(replies, may_succeed=True)) == {"failed", "cut"}


def test_others_are_parted_by_when_they_were_due() -> None:
    parts = Parts.of(SHORT_ONES[:6], 2 * SECOND_NS, 3 * SECOND_NS)

    assert [row.seq for row in parts.among] == [2, 3]
    assert [row.seq for row in parts.alone] == [0, 1, 4, 5]


def test_a_cordon_is_no_taint_of_the_control_plane() -> None:
    spec = {
        "taints": [
            {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
        ]
    }
    node = Node.parse({"metadata": {"name": "n", "uid": "u"}, "spec": spec})

    passing = tolerations(node, all_of_them=False)

    assert [one["key"] for one in passing] == ["node.kubernetes.io/unschedulable"]
    assert len(tolerations(node, all_of_them=True)) == 2
    assert isinstance(node.taints[0], Taint)


def test_pods_that_were_bound_are_named_with_their_nodes() -> None:
    decisions = {"user-n": Decision("", "untolerated taint"), "engine-n": Decision("n", "")}

    assert accepted(decisions) == {"engine-n": "n"}
