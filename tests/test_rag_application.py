"""The RAG application of the reference stack answers by its documents, or says that it has none."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection

import pytest

from hotfire import metrics
from hotfire.engine.rag.api import answer_text
from hotfire.engine.rag.part import Metrics
from hotfire.engine.rag.vectors import embedded, similarity
from hotfire.own_folders import project_root
from tests.engine_process import running_engine

DOCUMENTS = project_root() / "reference-stack" / "overlays" / "rag" / "documents.json"
QUESTION, FACT = "What is the pass word of the test stand?", "quenchrod"
DEGRADED, SESSION = "x-rag-degraded", "x-session-id"
CONTEXT_SECONDS = 0.5
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Part:
    """One part that runs."""

    url: str
    process: subprocess.Popen[str]

    def get(self, path: str) -> bytes:
        return self.asked("GET", path)[2]

    def asked(
        self, method: str, path: str, document: object = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, json.dumps(document), named)
            reply = connection.getresponse()
            told = {name.lower(): value for name, value in reply.getheaders()}
            return reply.status, told, reply.read()
        finally:
            connection.close()


@contextmanager
def running(
    module: str,
    *words: str,
    port: int = 0,
    source: str = "",
    environment: Mapping[str, str] = NOTHING,
) -> Iterator[Part]:
    """Run a part as a stock image does, or what ``source`` makes of it; port 0: on any."""
    program = ["-c", source] if source else ["-m", f"hotfire.engine.rag.{module}"]
    argv = [sys.executable, *program, str(port), *words]
    settings = {**os.environ, **environment}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=settings) as process:
        try:
            assert process.stdout is not None
            listening = process.stdout.readline().split()[-1]
            yield Part(f"http://127.0.0.1:{listening}", process)
        finally:
            process.kill()


@dataclass(frozen=True, slots=True)
class Application:
    """All parts in front of an engine that answers with its prompt."""

    api: Part
    retriever: Part
    vector_store: Part

    def chat(
        self, text: str = QUESTION, *, stream: bool = False, **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """Return status, headers and text of an answer."""
        body = {"model": "tiny", "messages": [{"role": "user", "content": text}]}
        asked = {**body, "stream": stream, "max_tokens": 64}
        status, told, content = self.api.asked("POST", "/rag/v1/chat/completions", asked, **headers)
        return status, told, answer_text(content)


@contextmanager
def application(
    sessions: str = "", *, context_seconds: float = CONTEXT_SECONDS
) -> Iterator[Application]:
    with ExitStack() as running_parts:
        enter = running_parts.enter_context
        engine = enter(running_engine("--misbehaviour=echo", "--ttft-seconds=0"))
        store = enter(running("vector_store", str(DOCUMENTS)))
        retriever = enter(running("retriever", store.url))
        settings = {"ENGINE": engine.url, "RETRIEVER": retriever.url, "SESSIONS": sessions}
        settings["CONTEXT_SECONDS"] = str(context_seconds)
        api = enter(running("api", environment=settings))
        yield Application(api, retriever, store)


@pytest.fixture(scope="module")
def whole() -> Iterator[Application]:
    with application() as found:
        yield found


def test_each_document_is_nearest_to_its_own_question() -> None:
    documents: list[str] = json.loads(DOCUMENTS.read_text())
    asked = [QUESTION, "Where does the valve of the second tank open?", "Who guards the gate?"]

    def nearest(question: str) -> str:
        vector = embedded(question + " [0123456789abcdef]")
        return max(documents, key=lambda text: similarity(embedded(text), vector))

    assert list(map(nearest, asked)) == documents


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_rests_on_a_document(whole: Application, stream: bool) -> None:
    status, headers, text = whole.chat(stream=stream)

    assert status == 200
    assert DEGRADED not in headers
    assert FACT in text


def test_the_same_question_reaches_the_store_once(whole: Application) -> None:
    def counted() -> tuple[float, float]:
        page = metrics.parse(whole.retriever.get("/metrics").decode())
        hits = page.total("rag_cache_hits_total") or 0
        return hits, page.count("rag_hop_seconds", hop="vector-store") or 0

    hits, asked = counted()

    # In a session each: what is answered without one is kept before it comes to the retriever.
    for number in range(3):
        whole.chat("Whoever guards the gate at night?", x_session_id=f"guard-{number}")

    assert counted() == (hits + 2, asked + 1)


def test_the_same_request_is_answered_once_and_told_as_a_hit(whole: Application) -> None:
    def counted() -> tuple[float, ...]:
        page = metrics.parse(whole.api.get("/metrics").decode())
        series = ("rag_response_cache_hits_total", "rag_response_cache_misses_total")
        engine = page.count("rag_hop_seconds", hop="engine")
        return (*(page.total(name) or 0.0 for name in series), engine or 0.0)

    before = counted()
    answers = [whole.chat("Who has the key to the gate?") for _ in range(3)]

    assert len({text for _, _, text in answers}) == 1
    assert [after - former for after, former in zip(counted(), before, strict=True)] == [2, 1, 1]


def test_each_hop_is_measured(whole: Application) -> None:
    whole.chat()

    page = metrics.parse(whole.api.get("/metrics").decode())

    for hop in ("retriever", "engine"):
        assert page.count("rag_hop_seconds", hop=hop)
        assert page.mean("rag_hop_seconds", hop=hop) is not None


def test_what_a_hop_takes_is_told_of_it_alone(whole: Application) -> None:
    def seconds(hop: str) -> float:
        page = metrics.parse(whole.api.get("/metrics").decode())
        return page.total("rag_hop_seconds_sum", hop=hop) or 0.0

    before = {hop: seconds(hop) for hop in ("retriever", "engine", "request")}
    whole.retriever.process.send_signal(signal.SIGSTOP)
    try:
        whole.chat("Who guards the gate in the morning?", stream=True)
    finally:
        whole.retriever.process.send_signal(signal.SIGCONT)

    added = {hop: seconds(hop) - former for hop, former in before.items()}
    assert added["retriever"] >= CONTEXT_SECONDS > added["engine"]
    assert added["request"] >= added["retriever"]


def test_without_a_limit_an_answer_waits_for_its_context_as_long_as_that_takes() -> None:
    with application(context_seconds=0.0) as app:
        app.retriever.process.send_signal(signal.SIGSTOP)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(app.chat)
            with pytest.raises(TimeoutError):
                asked.result(timeout=2 * CONTEXT_SECONDS)
            app.retriever.process.send_signal(signal.SIGCONT)
            _, headers, text = asked.result(timeout=20)

    assert DEGRADED not in headers
    assert FACT in text


@pytest.mark.parametrize("part", ["retriever", "vector_store"])
def test_without_a_part_an_answer_says_that_it_lacks_context(part: str) -> None:
    with application() as app:
        process = getattr(app, part).process
        process.send_signal(signal.SIGSTOP)
        hung = app.chat("Who guards the gate?")
        process.kill()
        process.wait()
        gone = app.chat("Whose gate is it?")

    for status, headers, text in (hung, gone):
        assert (status, headers[DEGRADED]) == (200, "context")
        assert "gate" in text


def test_a_session_is_kept_outside_of_the_api() -> None:
    with running("session_store") as store:
        with application(store.url) as app:
            app.chat("I am called Zephyrine.", x_session_id="mine")
        with application(store.url) as another:
            _, _, mine = another.chat("Who am I?", x_session_id="mine", stream=True)
            _, _, other = another.chat("Who am I?", x_session_id="other")

    assert "Zephyrine." in mine
    assert "Zephyrine." not in other


def test_without_the_session_store_an_answer_says_that_it_lacks_history() -> None:
    with application("http://127.0.0.1:1") as app:
        status, headers, _ = app.chat(x_session_id="mine")

    assert (status, headers[DEGRADED]) == (200, "history")


def test_sessions_in_memory_end_with_the_process(whole: Application) -> None:
    whole.chat("I am called Zephyrine.", x_session_id="mine")

    assert "Zephyrine." in whole.chat("Who am I?", x_session_id="mine")[2]


@pytest.mark.parametrize("content", [b"{}", b"[]", b"null", b'{"messages": []}', b"\xff"])
def test_what_is_no_chat_is_refused(whole: Application, content: bytes) -> None:
    connection = HTTPConnection(whole.api.url.removeprefix("http://"), timeout=20)
    connection.request("POST", "/v1/chat/completions", content)

    assert connection.getresponse().status == 400
    connection.close()


def test_buckets_of_a_hop_add_up() -> None:
    counted = Metrics()
    for seconds in (0.001, 0.3, 60.0):
        counted.observe("engine", seconds)

    page = counted.page()

    assert isinstance(page.content, bytes)
    read = metrics.parse(page.content.decode())
    assert read.count("rag_hop_seconds", hop="engine") == 3
    assert read.total("rag_hop_seconds_bucket", le="0.5") == 2
    assert read.total("rag_hop_seconds_bucket", le="+Inf") == 3
