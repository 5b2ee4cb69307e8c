"""What the checks of gateway and API make of answers, rows and counts."""

import json
import subprocess
import sys

from fixtures.known_streams import READ, KnownStream
from fixtures.own_backends import HEADER, matches
from hotfire import Endpoint, Reply
from hotfire.answer.token_clock import Asked
from hotfire.cluster import Document
from hotfire.measure.history import FailureClass, Request
from suites.api.test_given_up_answers_look_unfinished import looks_finished
from suites.api.test_streams_arrive_as_answered import TOKENS, Told, check_control, tell, wrong
from suites.gateway.test_dead_backends_get_no_requests import DYING, STAYING, Death
from suites.gateway.test_one_address_spreads_over_replicas import Spread
from suites.gateway.test_weight_zero_ends_new_traffic import Change
from tests.engine_process import EngineProcess, running_engine

SECOND = 10**9
START = 1_000 * SECOND


def row(seq: int, **fields: object) -> Request:
    """Return a request sent that many seconds after the start."""
    values: dict[str, object] = {"seq": seq, "sched_ns": START + seq * SECOND, **fields}
    return Request(**({"send_ns": values["sched_ns"]} | values))  # type: ignore[arg-type]


def told(engine: EngineProcess, turn: int) -> Told:
    with Endpoint(engine.url, "tiny") as endpoint:
        return tell(endpoint, turn)


def test_every_damage_to_a_recorded_stream_is_noticed() -> None:
    asked = Asked(models={"tiny"}, max_tokens=TOKENS)
    with running_engine("--misbehaviour", "echo", "--tpot-seconds", "0.001") as engine:
        one, other = told(engine, 0), told(engine, 1)

    assert one.wrong(one.reply.events, asked) == []
    check_control(one, other, asked)


def test_row_that_ends_for_its_length_before_it_is_broken() -> None:
    whole = row(0, n_out=8, finish_reason="length")

    assert wrong(whole, 8) == ""
    assert "7 tokens" in wrong(row(0, n_out=7, finish_reason="length"), 8)
    assert wrong(row(0, n_out=7, finish_reason="stop"), 8) == ""
    assert "truncated" in wrong(row(0, error_class=FailureClass.TRUNCATED_NO_DONE), 8)


def test_only_an_end_without_a_word_of_trouble_looks_finished() -> None:
    silent = {"status": 200, "events": ["[DONE]"], "failure": FailureClass.MALFORMED}

    assert looks_finished(Reply(status=200, finish_reason="length"))
    assert looks_finished(Reply(**silent))  # type: ignore[arg-type]
    assert not looks_finished(Reply(**{**silent, "error": "reset"}))  # type: ignore[arg-type]
    for failure in (FailureClass.ABORTED, FailureClass.SSE_ERROR, FailureClass.FIN_MIDSTREAM):
        assert not looks_finished(Reply(status=200, events=["[DONE]"], failure=failure))


def test_lateness_is_counted_from_the_request_on_both_sides() -> None:
    seen = row(0, first_ns=START + SECOND, last_ns=START + 3 * SECOND, gaps_us=[2_000_000])

    lateness = KnownStream(seen, [900_000, 1_000_000]).lateness_seconds

    assert [round(seconds, 3) for seconds in lateness] == [0.1, 2.0]


def test_stream_past_the_gateway_is_read_chunk_by_chunk() -> None:
    with running_engine("--tpot-seconds", "0.05") as engine:
        words = (f"127.0.0.1:{engine.port}", "tiny", "past", "6")
        argv = [sys.executable, "-c", READ, *words]
        done = subprocess.run(argv, capture_output=True, timeout=30, check=True)
        [record] = engine.truth()["records"]
    came = json.loads(done.stdout)

    assert len(came) == 6
    assert all(at >= wrote for at, wrote in zip(came, record["writes_us"][::2], strict=True))


def test_our_condition_comes_on_top_of_each_of_the_engines_own() -> None:
    ours = {"name": HEADER, "value": "mine"}
    theirs = {"name": "x-team", "value": "a"}
    path = {"type": "Exact", "value": "/v1/completions"}
    split: Document = {"matches": [{"path": path}, {"headers": [theirs]}]}

    assert matches([split, {}], "mine") == [
        {"path": path, "headers": [ours]},
        {"headers": [theirs, ours]},
        {"headers": [ours]},
    ]


def test_pinned_requests_lie_beyond_an_equal_share() -> None:
    assert not Spread({"a": 190, "b": 210}).beyond
    assert set(Spread({"a": 60, "b": 0}).beyond) == {"a", "b"}


def test_canary_s_last_start_is_told_from_the_change() -> None:
    rows = [row(0, served_by="canary"), row(3, served_by="canary"), row(5, served_by="stable")]
    running = row(1, served_by="canary", end_ns=START + 4 * SECOND)

    change = Change([*rows, running], START + 2 * SECOND)

    assert (len(change.before), change.last_start_seconds) == (2, 1.0)
    assert change.running == [running]


def test_request_whose_answer_had_begun_is_repeated_if_the_other_engine_got_it() -> None:
    begun = row(0, headers_ns=START, first_ns=START, last_ns=START, end_ns=START + 9 * SECOND)
    soon = row(20, headers_ns=START + 20 * SECOND)
    stuck = row(21, headers_ns=START + 29 * SECOND)
    death = Death(
        rows=[("begun", begun), ("soon", soon), ("stuck", stuck)],
        stopped_ns=START + SECOND,
        before={DYING: {"begun"}, STAYING: {"other"}},
        afterwards={"other", "begun", "soon"},
    )

    assert death.repeated == {"begun"}
    assert death.stuck == [stuck]
