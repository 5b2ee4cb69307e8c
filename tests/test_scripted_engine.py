"""The scripted engine speaks OpenAI's protocol and vLLM's metrics, and keeps its timetable."""

import ast
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from hotfire import metrics
from hotfire.engine import scripted
from hotfire.waiting import pause, until
from tests.engine_process import DEADLINE_SECONDS, EngineProcess, running_engine

WAITING = "vllm:num_requests_waiting"


@pytest.fixture(scope="module")
def process() -> Iterator[EngineProcess]:
    with running_engine("--ttft-seconds", "0.01", "--tpot-seconds", "0.001") as engine:
        yield engine


def chat(engine: EngineProcess, **extra: object) -> tuple[int, bytes]:
    document = {"model": "tiny", "messages": [{"role": "user", "content": "Count to five."}]}
    return engine.call("POST", "/v1/chat/completions", document | {"max_tokens": 5} | extra)


def events(body: bytes) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_it_imports_the_standard_library_only() -> None:
    tree = ast.parse(Path(scripted.__file__).read_text())
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}

    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_a_stream_starts_with_the_role_and_ends_with_usage_and_done(engine: EngineProcess) -> None:
    _, body = chat(engine, stream=True, stream_options={"include_usage": True})

    first, *tokens, finish, usage = events(body)
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert all(token["choices"][0]["delta"]["content"] for token in tokens)
    assert len(tokens) == 5
    assert finish["choices"][0]["finish_reason"] == "length"
    assert usage["usage"]["completion_tokens"] == 5


def test_streamed_and_whole_text_are_the_same(engine: EngineProcess) -> None:
    _, streamed = chat(engine, stream=True)
    _, whole = chat(engine)

    deltas = [event["choices"][0]["delta"] for event in events(streamed)]
    text = "".join(delta.get("content", "") for delta in deltas)
    assert text == json.loads(whole)["choices"][0]["message"]["content"]


def test_generation_stops_by_itself_unless_told_to_ignore_the_end(engine: EngineProcess) -> None:
    stopped = json.loads(chat(engine, max_tokens=100)[1])
    forced = json.loads(chat(engine, max_tokens=100, ignore_eos=True)[1])

    assert (stopped["choices"][0]["finish_reason"], stopped["usage"]["completion_tokens"]) == (
        "stop",
        64,
    )
    assert forced["usage"]["completion_tokens"] == 100


@pytest.mark.parametrize(
    ("extra", "status", "param"),
    [
        ({"model": "other"}, 404, "model"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"max_tokens": 10**6}, 400, "max_tokens"),
        ({"messages": []}, 400, "messages"),
        ({"messages": ["hi"]}, 400, "messages"),
    ],
)
def test_a_bad_request_gets_an_error_object(
    engine: EngineProcess, extra: dict[str, object], status: int, param: str
) -> None:
    seen, body = chat(engine, **extra)

    assert (seen, json.loads(body)["error"]["param"]) == (status, param)


def test_unknown_paths_and_methods_are_refused(engine: EngineProcess) -> None:
    assert engine.call("GET", "/nowhere")[0] == 404
    assert engine.call("GET", "/v1/completions")[0] == 405


def test_models_lists_the_one_it_serves(engine: EngineProcess) -> None:
    _, body = engine.call("GET", "/v1/models")

    assert [card["id"] for card in json.loads(body)["data"]] == ["tiny"]


def test_a_second_model_is_answered_by_its_name(engine: EngineProcess) -> None:
    engine.script(other_models="large huge")
    _, body = engine.call("GET", "/v1/models")
    seen, answer = chat(engine, model="huge")
    engine.script(other_models="")

    assert [card["id"] for card in json.loads(body)["data"]] == ["tiny", "large", "huge"]
    assert (seen, json.loads(answer)["model"]) == (200, "huge")
    assert chat(engine, model="huge")[0] == 404


def test_metrics_count_what_was_generated(engine: EngineProcess) -> None:
    before = metrics.parse(engine.call("GET", "/metrics")[1].decode())
    chat(engine, stream=True)
    after = metrics.parse(engine.call("GET", "/metrics")[1].decode())

    assert metrics.increase(before, after, "vllm:generation_tokens_total") == 5
    assert metrics.increase(before, after, "vllm:time_to_first_token_seconds_count") == 1
    assert after.total("vllm:num_requests_running") == 0


def test_tokens_never_come_before_their_time(engine: EngineProcess) -> None:
    chat(engine, stream=True)

    record = engine.truth()["records"][-1]
    assert record["outcome"] == "done"
    assert record["first_ns"] - record["arrival_ns"] >= 9_000_000
    assert record["last_ns"] - record["arrival_ns"] >= 13_000_000


def test_each_write_of_tokens_is_recorded_with_its_begin_and_end(engine: EngineProcess) -> None:
    chat(engine, stream=True)

    record = engine.truth()["records"][-1]
    writes = record["writes_us"]
    assert len(writes) == 2 * record["chunks"] == 10
    assert writes == sorted(writes)
    assert writes[0] == (record["first_ns"] - record["arrival_ns"]) // 1000
    assert writes[-2] == (record["last_ns"] - record["arrival_ns"]) // 1000
    assert record["arrival_ns"] <= record["headers_ns"] <= record["first_ns"]
    assert record["last_ns"] <= record["end_ns"]


def test_an_answer_without_end_does_not_fill_the_memory(engine: EngineProcess) -> None:
    chat(engine, stream=True, max_tokens=scripted.WRITES_KEPT + 9, ignore_eos=True)

    record = engine.truth()["records"][-1]
    assert record["chunks"] == scripted.WRITES_KEPT + 9
    assert len(record["writes_us"]) == 2 * scripted.WRITES_KEPT


def test_a_stall_lasts_its_whole_length(engine: EngineProcess) -> None:
    engine.script(misbehaviour="stall", stall_seconds=0.2)

    chat(engine, stream=True)

    writes = engine.truth()["records"][-1]["writes_us"]
    pauses = [later - earlier for earlier, later in zip(writes[1::2], writes[2::2], strict=False)]
    assert pauses.index(max(pauses)) == 1  # after two of five tokens
    assert max(pauses) >= 200_000


def test_a_request_knows_its_number_on_its_connection(engine: EngineProcess) -> None:
    connection = HTTPConnection("127.0.0.1", engine.port, timeout=DEADLINE_SECONDS)
    document = {"model": "tiny", "prompt": "Again.", "max_tokens": 1}

    for _ in range(2):
        connection.request("POST", "/v1/completions", json.dumps(document))
        connection.getresponse().read()
    connection.close()

    first, second = engine.truth()["records"][-2:]
    assert (first["nth_on_connection"], second["nth_on_connection"]) == (1, 2)
    assert first["accepted_ns"] == second["accepted_ns"] <= first["arrival_ns"]


def asked_twice(engine: EngineProcess, *, idle_seconds: float) -> list[int]:
    """Ask over one connection, before and after it was idle; return the statuses."""
    connection = HTTPConnection("127.0.0.1", engine.port, timeout=DEADLINE_SECONDS)
    statuses = []
    with closing(connection), suppress(OSError):
        for _ in range(2):
            connection.request("GET", "/version")
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
            pause(idle_seconds, why="the connection is to be idle")
    return statuses


def test_an_idle_connection_is_kept_unless_scripted_otherwise(engine: EngineProcess) -> None:
    assert asked_twice(engine, idle_seconds=1.0) == [200, 200]


def test_an_idle_connection_is_closed_after_its_keep_alive(engine: EngineProcess) -> None:
    engine.script(keep_alive_seconds=0.3)

    assert asked_twice(engine, idle_seconds=1.0) == [200]


def test_a_keep_alive_cuts_no_answer_and_no_first_request(engine: EngineProcess) -> None:
    engine.script(keep_alive_seconds=0.05, ttft_seconds=0.3)
    with socket.create_connection(("127.0.0.1", engine.port), DEADLINE_SECONDS) as late:
        pause(0.3, why="the first request is to come late")
        late.sendall(b"GET /version HTTP/1.1\r\n\r\n")

        assert late.recv(4096).startswith(b"HTTP/1.1 200 OK")
    assert chat(engine, stream=True)[0] == 200


def test_a_misbehaviour_comes_as_often_as_scripted(engine: EngineProcess) -> None:
    engine.script(misbehaviour="refuse", every=1, times=2)

    assert [chat(engine)[0] for _ in range(4)] == [503, 503, 200, 200]


def test_a_leak_takes_memory_for_good() -> None:
    with running_engine() as engine:
        before = resident_bytes(engine)
        engine.script(misbehaviour="leak", leak_bytes=8 << 20)

        assert [chat(engine)[0] for _ in range(5)] == [200] * 5

        assert resident_bytes(engine) - before >= 40 << 20
        assert engine.truth()["counters"]["leaked_bytes"] == 40 << 20


def resident_bytes(engine: EngineProcess) -> int:
    pages = Path(f"/proc/{engine.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_a_frozen_gauge_says_nothing_of_what_happens() -> None:
    with running_engine("--max-num-seqs", "1", "--frozen-gauges", WAITING) as engine:
        engine.script(misbehaviour="hang_headers")
        with ExitStack() as held:
            for _ in range(3):
                asking = held.enter_context(closing(HTTPConnection("127.0.0.1", engine.port)))
                asking.request("POST", "/v1/completions", '{"prompt": "x", "max_tokens": 2}')
            until(lambda: engine.truth()["waiting"] == 2, within_seconds=20, what="two waiting")
            page = metrics.parse(engine.call("GET", "/metrics")[1].decode())

    assert page.total(WAITING) == 0
    assert page.total("vllm:num_requests_running") == 1


def test_tokens_beyond_a_number_take_twice_as_long() -> None:
    with running_engine("--ttft-seconds=0", "--tpot-seconds=0.02") as engine:
        engine.script(slower_after_tokens=4)

        assert chat(engine, max_tokens=10)[0] == 200

        record = engine.truth()["records"][-1]
    # Four steps of 20 ms and five of 40.
    assert record["last_ns"] - record["first_ns"] >= 270_000_000


def test_a_fatal_text_is_answered_and_then_ends_the_engine() -> None:
    with running_engine() as engine:
        engine.script(fatal_text="poison")

        assert chat(engine)[0] == 200
        assert chat(engine, model="poison")[0] == 404

        assert engine.process.wait(DEADLINE_SECONDS) == 1


def test_its_log_tells_the_time_of_loading_and_of_each_request() -> None:
    with running_engine("--log-requests", "2") as engine:
        chat(engine)
        chat(engine, stream=True)
        assert engine.process.stdout is not None
        loaded, whole, streamed = (engine.process.stdout.readline() for _ in range(3))

    assert loaded == "Loading weights took 0.00 seconds\n"
    assert json.loads(whole).items() >= {"model": "tiny", "completion_tokens": 5}.items()
    assert json.loads(whole).items() >= {"version": "engine-0", "outcome": "done"}.items()
    assert json.loads(streamed)["completion_tokens"] is None


def test_an_unknown_script_is_refused_and_changes_nothing(engine: EngineProcess) -> None:
    status, body = engine.call("POST", "/admin/config", {"misbehaviour": "gremlins"})

    assert status == 400
    assert b"must be one of" in body
    assert engine.truth()["script"]["misbehaviour"] == "ok"


def test_it_is_not_ready_before_its_start_time() -> None:
    with running_engine("--start-seconds", "1000") as engine:
        assert engine.call("GET", "/health")[0] == 503
        assert chat(engine)[0] == 503


def test_an_echo_is_made_of_the_prompt_s_own_words(engine: EngineProcess) -> None:
    engine.script(misbehaviour="echo")
    document = {"prompt": "north 7f3a east", "max_tokens": 5}
    _, body = engine.call("POST", "/v1/completions", document)

    assert json.loads(body)["choices"][0]["text"] == "north 7f3a east north 7f3a"


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "verdict": {"enum": ["passed", "failed"]},
        "score": {"type": "integer", "minimum": 3, "maximum": 5},
        "final": {"type": "boolean"},
    },
}
BOUND = {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}


@pytest.mark.parametrize("prompt", ["a", "b", "c", "d"])
def test_an_answer_bound_to_a_schema_keeps_to_it(engine: EngineProcess, prompt: str) -> None:
    messages = [{"role": "user", "content": prompt}]
    _, body = chat(engine, messages=messages, max_tokens=64, **BOUND)

    [choice] = json.loads(body)["choices"]
    answer = json.loads(choice["message"]["content"])
    assert choice["finish_reason"] == "stop"
    assert answer.keys() == SCHEMA["properties"].keys()
    assert 3 <= answer["score"] <= 5


def test_an_engine_of_free_text_heeds_no_schema(engine: EngineProcess) -> None:
    engine.script(misbehaviour="free_text")
    _, body = chat(engine, max_tokens=64, **BOUND)

    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(json.loads(body)["choices"][0]["message"]["content"])


def test_a_polite_engine_that_is_stopped_ends_its_streams_as_if_they_were_whole() -> None:
    with (
        running_engine("--misbehaviour", "polite_stop", "--tpot-seconds", "0.05") as engine,
        ThreadPoolExecutor(1) as pool,
    ):
        asked = pool.submit(chat, engine, stream=True, max_tokens=64)
        until(lambda: engine.truth()["running"], within_seconds=10, what="a stream running")
        engine.process.send_signal(signal.SIGTERM)
        *tokens, finish = events(asked.result()[1])

    assert finish["choices"][0]["finish_reason"] == "length"
    assert 0 < len(tokens) - 1 < 64


def test_a_deaf_engine_goes_on_when_its_client_has_gone(engine: EngineProcess) -> None:
    engine.script(misbehaviour="deaf", tpot_seconds=0.02)
    with closing(HTTPConnection("127.0.0.1", engine.port, timeout=DEADLINE_SECONDS)) as client:
        document = {"prompt": "x", "max_tokens": 40, "stream": True}
        client.request("POST", "/v1/completions", json.dumps(document))
        client.getresponse().read(1)
    before = engine.truth()["counters"]["tokens"]

    until(
        lambda: engine.truth()["counters"]["tokens"] >= before + 30,
        within_seconds=10,
        what="the tokens that nobody reads",
    )


@pytest.mark.parametrize(
    ("others", "cached"), [({}, 32), ({"cache_salt": "b"}, 0), ({"model": "large"}, 0)]
)
def test_a_prompt_is_cached_in_blocks_for_one_model_and_one_salt(
    others: dict[str, str], cached: int
) -> None:
    asked = {"messages": [{"role": "user", "content": "word " * 40}]}
    with running_engine("--other-models", "large") as engine:
        chat(engine, **asked)
        said = json.loads(chat(engine, **asked, **others)[1])["usage"]

    assert said.get("prompt_tokens_details", {"cached_tokens": 0}) == {"cached_tokens": cached}


def test_a_full_queue_refuses_at_once_and_says_when_to_come_again() -> None:
    limits = ("--max-running", "1", "--max-waiting", "1", "--tpot-seconds", "0.2")
    with running_engine(*limits) as engine, ThreadPoolExecutor(2) as pool:
        accepted = [pool.submit(chat, engine) for _ in range(2)]
        until(lambda: engine.truth()["waiting"], within_seconds=10, what="somebody waiting")
        with closing(HTTPConnection("127.0.0.1", engine.port, timeout=DEADLINE_SECONDS)) as client:
            client.request("POST", "/v1/completions", json.dumps({"prompt": "x"}))
            refused = client.getresponse()
            said = refused.status, refused.headers["retry-after"]

        assert said == (429, "1")
        assert [one.result()[0] for one in accepted] == [200, 200]


def test_it_ends_on_sigterm() -> None:
    with running_engine() as engine:
        engine.process.send_signal(signal.SIGTERM)

        assert engine.process.wait(timeout=DEADLINE_SECONDS) == 0
