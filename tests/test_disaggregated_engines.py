"""Prefill and decode engines share the work, and the router in front of them says what fails."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from hotfire import Endpoint, Reply, metrics
from hotfire.measure.history import FailureClass
from tests.engine_process import EngineProcess
from tests.ports import free_port

PROMPT = " ".join(f"word{number}" for number in range(64))
TOKENS = 65
SOURCES = "vllm:prompt_tokens_by_source_total"


@contextmanager
def running(
    module: str, *words: str, source: str = "", **environment: str
) -> Iterator[EngineProcess]:
    """Run an engine or a router as a stock image does, or the program in the file ``source``."""
    program = [source] if source else ["-m", f"hotfire.engine.disaggregated.{module}"]
    argv = [sys.executable, *program, *words]
    settings = {**os.environ, **environment}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=settings) as process:
        try:
            assert process.stdout is not None
            yield EngineProcess(int(process.stdout.readline().split()[-1]), process)
        finally:
            process.kill()


@contextmanager
def engine(name: str, *words: str, source: str = "", **environment: str) -> Iterator[EngineProcess]:
    port = free_port()
    place = {"VLLM_NIXL_SIDE_CHANNEL_HOST": "127.0.0.1", "VLLM_NIXL_SIDE_CHANNEL_PORT": str(port)}
    own = (f"--port={port}", f"--name={name}", "--host=127.0.0.1", "--ttft-seconds=0.01", *words)
    with running("engine", *own, source=source, **place, **environment) as found:
        yield found


@dataclass(frozen=True, slots=True)
class Pair:
    """Two engines and the router in front of them."""

    prefill: EngineProcess
    decode: EngineProcess
    router: EngineProcess

    def ask(
        self, *, stream: bool = False, deadline_seconds: float = 20.0, tokens: int = 4
    ) -> Reply:
        url = f"{self.router.url}/disaggregated"
        with Endpoint(url, "tiny", deadline_seconds=deadline_seconds) as client:
            return client.chat(PROMPT, max_tokens=tokens, stream=stream)


@contextmanager
def pair(*decode_words: str, **router: str) -> Iterator[Pair]:
    with ExitStack() as stack:
        reads = stack.enter_context(engine("prefill"))
        answers = stack.enter_context(engine("decode", *decode_words))
        places = {"PREFILL": f"127.0.0.1:{reads.port}", "DECODE": f"127.0.0.1:{answers.port}"}
        front = stack.enter_context(running("router", "0", **{**places, **router}))
        yield Pair(reads, answers, front)


def told(one: EngineProcess, name: str, **labels: str) -> float:
    page = metrics.parse(one.call("GET", "/metrics")[1].decode())
    found = page.total(name, **labels)
    assert found is not None
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_one_engine_reads_a_prompt_and_another_answers_it(stream: bool) -> None:
    with pair() as both:
        reply = both.ask(stream=stream)

        assert reply.ok
        assert reply.served_by == "decode"
        assert reply.usage is not None
        assert reply.usage["completion_tokens"] == 4
        assert told(both.prefill, SOURCES, source="local_compute") == TOKENS
        assert told(both.prefill, "vllm:generation_tokens_total") == 1
        assert told(both.decode, SOURCES, source="external_kv_transfer") == TOKENS
        assert told(both.decode, SOURCES, source="local_compute") == 0
        assert told(both.prefill, "vllm:kv_cache_usage_perc") == 0


def test_an_engine_that_is_asked_by_itself_reads_the_prompt_itself() -> None:
    with pair() as both:
        asked = {"model": "tiny", "prompt": PROMPT, "max_tokens": 1}
        assert both.decode.call("POST", "/v1/completions", asked)[0] == 200

        assert told(both.decode, SOURCES, source="external_kv_transfer") == 0
        assert told(both.decode, SOURCES, source="local_compute") == TOKENS


def test_kv_blocks_that_nobody_takes_are_free_once_their_lease_is_over() -> None:
    with engine("prefill", KV_LEASE_SECONDS="0.5") as one:
        transfer = {"do_remote_decode": True}
        asked = {"prompt": PROMPT, "max_tokens": 1, "kv_transfer_params": transfer}
        document = json.loads(one.call("POST", "/v1/completions", asked)[1])
        assert document["kv_transfer_params"]["do_remote_prefill"] is True
        assert told(one, "vllm:kv_cache_usage_perc") > 0

        until_free(one)

        assert told(one, "vllm:nixl_num_kv_expired_reqs_total") == 1


def until_free(one: EngineProcess) -> None:
    end = time.monotonic() + 10
    while told(one, "vllm:kv_cache_usage_perc"):
        assert time.monotonic() < end


def test_kv_blocks_that_are_gone_are_an_error_and_no_second_reading() -> None:
    with pair() as both:
        transfer = {"do_remote_prefill": True, "remote_host": "127.0.0.1"}
        transfer |= {"remote_port": both.prefill.port, "remote_request_id": "x"}
        asked = {"prompt": PROMPT, "max_tokens": 1, "kv_transfer_params": transfer}

        status, body = both.decode.call("POST", "/v1/completions", asked)

        assert status == 500
        assert b"could not be loaded" in body
        assert told(both.decode, "vllm:nixl_num_failed_transfers_total") == 1
        assert told(both.decode, SOURCES, source="local_compute") == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_decode_engine_that_dies_before_it_answers_is_told_as_502(stream: bool) -> None:
    with pair("--misbehaviour=mute") as both, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(both.ask, stream=stream)
        until_running(both.decode)
        both.decode.process.kill()

        assert asked.result().status == 502


def until_running(one: EngineProcess) -> None:
    end = time.monotonic() + 10
    while not told(one, "vllm:num_requests_running"):
        assert time.monotonic() < end


def test_a_decode_engine_that_dies_within_a_stream_ends_it_with_an_error() -> None:
    with pair("--misbehaviour=no_first_token") as both, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(both.ask, stream=True)
        until_running(both.decode)
        both.decode.process.kill()

        assert asked.result().failure is FailureClass.SSE_ERROR


def test_without_a_decode_engine_it_says_503_once_the_queue_is_over() -> None:
    with pair(QUEUE_SECONDS="0.3") as both:
        both.decode.process.kill()

        assert both.ask().status == 503


def test_no_more_prompts_are_read_than_decode_engines_take() -> None:
    words = ("--misbehaviour=mute",)
    with pair(*words, PREFILLS_PER_DECODE="2", QUEUE_SECONDS="1") as both:
        with ThreadPoolExecutor(5) as threads:
            asked = [threads.submit(both.ask, deadline_seconds=3.0) for _ in range(5)]
            replies = [one.result() for one in asked]

        assert told(both.prefill, "vllm:request_success_total") == 2
        assert sorted(str(one.status) for one in replies) == ["503", "503", "503", "None", "None"]


def test_what_is_no_generation_goes_to_a_decode_engine() -> None:
    with pair() as both, Endpoint(both.router.url, "tiny") as client:
        assert client.models().ok
        assert client.post_raw("/v1/chat/completions", b"{").status == 400
