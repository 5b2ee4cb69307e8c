"""Count and clock of an answer speak of the same tokens, whoever counts the end token and how."""

import json
from typing import Any

import pytest

from hotfire.answer.token_clock import Asked, Clocked, clocked, deviations
from hotfire.answer.transcript import Transcript
from hotfire.measure.history import Deviation

Part = dict[str, Any]
MS = 1_000_000
STEP_MS = 100
ROLE = "role"
ASKED = Asked(models={"tiny"}, max_tokens=16)


def delta(finish: str | None = None, index: int = 0, **fields: object) -> Part:
    return {"choices": [{"index": index, "delta": fields, "finish_reason": finish}]}


def text(words: str, finish: str | None = None) -> Part:
    return {"choices": [{"index": 0, "text": words, "finish_reason": finish}]}


def usage(n: object, **details: int) -> Part:
    return {"usage": {"completion_tokens": n, "completion_tokens_details": details}}


def said(*parts: Part | int) -> Transcript:
    """Return what events said; a number between them is a pause in steps."""
    transcript, now = Transcript(), 0
    for part in parts:
        if isinstance(part, int):
            now += part * STEP_MS * MS
        else:
            transcript.take(json.dumps(part), now)
    return transcript


def pace_ms(transcript: Transcript) -> float | None:
    """Return what a row's TPOT is: (last - first) / (n - n_first)."""
    clock, n = clocked(transcript), transcript.n_out
    if n is None or clock.first_ns is None or clock.last_ns is None or n <= clock.n_first:
        return None
    return (clock.last_ns - clock.first_ns) / (n - clock.n_first) / MS


A, B, C = delta(content="a"), delta(content="b"), delta(content="c")
START = delta(role="assistant", content="")
STEPS: list[Part | int] = [START, 1, A, 1, B, 1, C]


@pytest.mark.parametrize(
    ("parts", "ttft_ms", "tpot_ms"),
    [
        pytest.param([*STEPS, 1, delta("stop", content="d"), usage(4)], 100, 100, id="plain"),
        pytest.param([*STEPS, 1, delta("stop", content=""), usage(4)], 100, 100, id="vllm-eos"),
        pytest.param([*STEPS, 1, delta("stop", content=None), usage(4)], 100, 100, id="sglang-eos"),
        pytest.param([*STEPS, 1, delta("stop"), usage(3)], 100, 100, id="eos-not-counted"),
        pytest.param(
            [*STEPS, 1, delta("stop", role="assistant", content=""), usage(3)],
            100, 100, id="role-in-each",
        ),
        pytest.param(
            [1, text("a"), 1, text("b"), 1, text("", "stop"), usage(3)], 100, 100, id="completions",
        ),
        pytest.param(
            [1, A, 1, delta(content="bcd"), 1, delta("length", content="efg"), usage(7)],
            100, 200 / 6, id="speculative",
        ),
        pytest.param(
            [START, delta(content=""), 1, A, 1, B, 1, C, usage(3)], 100, 100, id="heartbeat-first",
        ),
        pytest.param(
            [START, delta(content=""), 1, A, 1, B, usage(3)], 0, 100, id="special-token-first",
        ),
        pytest.param(
            [START, 1, A, 1, B, 3, delta(content=""), usage(2)], 100, 100, id="heartbeat-last",
        ),
        pytest.param(
            [5, A, 1, B, 1, C, usage(53, reasoning_tokens=50)], 500, 100, id="hidden-reasoning",
        ),
        pytest.param(
            [5, A, 1, B, {"usage": {"completion_tokens": 12, "reasoning_tokens": 10}}],
            500, 100, id="hidden-reasoning-sglang",
        ),
        pytest.param(
            [1, delta(reasoning="x"), 1, A, 1, B, usage(3, reasoning_tokens=1)],
            100, 100, id="streamed-reasoning",
        ),
        pytest.param(
            [1, A, delta(index=1, content="z"), 1, B, delta(index=1, content="y"), 1, C,
             delta(index=1, content="x"), usage(6)],
            100, 100, id="two-choices",
        ),
        pytest.param([4, A, B, C, usage(3)], 400, None, id="all-at-once"),
        pytest.param([*STEPS, usage(3), {"usage": {"a": 5}}], 100, 100, id="later-less"),
        pytest.param([*STEPS, usage(3), {"usage": None}], 100, 100, id="later-null"),
        pytest.param([*STEPS, usage(3.0)], 100, 100, id="floats"),
        pytest.param([{**START, **usage(0)}, 1, A, 1, B, usage(2)], 100, 100, id="prompt-first"),
    ],
)  # fmt: skip
def test_tpot_speaks_of_the_tokens_that_were_timed(
    parts: list[Part | int], ttft_ms: int, tpot_ms: float | None
) -> None:
    transcript = said(*parts)

    assert clocked(transcript).first_ns == ttft_ms * MS
    assert pace_ms(transcript) == (None if tpot_ms is None else pytest.approx(tpot_ms))


def test_gaps_fill_the_time_from_first_to_last() -> None:
    cases: list[list[Part | int]] = [
        [START, delta(content=""), 2, A, 1, B, 1, C, 3, delta(content=""), usage(3)],
        [*STEPS, 1, delta("stop"), usage(4)],
    ]
    for parts in cases:
        clock: Clocked = clocked(said(*parts))

        assert clock.first_ns is not None
        assert clock.last_ns is not None
        assert 1000 * sum(clock.gaps_us) == clock.last_ns - clock.first_ns


def test_reasoning_after_a_heartbeat_is_no_output() -> None:
    parts: list[Part | int] = [delta(content=""), 1, delta(reasoning="x"), 1, A, usage(2)]

    clock = clocked(said(*parts))

    assert (clock.first_ns, clock.first_output_ns) == (100 * MS, 200 * MS)


@pytest.mark.parametrize(
    ("parts", "kinds"),
    [
        ([*STEPS, usage(3)], []),
        ([*STEPS, usage(2)], [Deviation.USAGE_BELOW_STREAM]),
        ([*STEPS, usage(0)], [Deviation.USAGE_BELOW_STREAM]),
        ([*STEPS, usage(17)], [Deviation.USAGE_ABOVE_LIMIT]),
        ([*STEPS, usage(53, reasoning_tokens=50)], []),
        ([*STEPS, usage(53, reasoning_tokens=51)], [Deviation.USAGE_BELOW_STREAM]),
        ([delta(tool_calls=[{}]), delta(tool_calls=[{}]), usage(1)], []),
        ([{**A, "model": "tiny"}, {**B, "model": "other"}, usage(2)], [Deviation.OTHER_MODEL]),
        ([A, delta(index=1, content="z"), usage(32)], []),
        ([A], []),
    ],
)
def test_a_word_that_the_stream_contradicts_is_a_deviation(
    parts: list[Part | int], kinds: list[Deviation]
) -> None:
    assert [kind for kind, _ in deviations(said(*parts), ASKED)] == kinds


def test_aliases_are_the_same_model() -> None:
    asked = Asked(models={"tiny", "tiny-2026-01-01"}, max_tokens=None)

    assert not list(deviations(said({**A, "model": "tiny-2026-01-01"}), asked))
