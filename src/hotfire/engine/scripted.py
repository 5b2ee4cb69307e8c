"""A scripted engine: an OpenAI-compatible server whose timing and defects are known.

It needs nothing but Python 3.11, so that a stock image can run it from a ConfigMap:

    python scripted.py --port 8000 --model tiny --name canary

It writes each token at a fixed time after the request's admission, so a client's measured times
have a known truth (``GET /admin/truth``). ``POST /admin/config`` changes any field of ``Script``.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import gzip
import hashlib
import json
import os
import re
import signal
import socket
import struct
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]

# What can go wrong on purpose. Those from "sse_error" on happen in the middle of a stream.
MISBEHAVIOURS = {
    "ok": "answers as it should",
    "refuse": "503 before anything is generated",
    "too_many": "429 before anything is generated",
    "internal_error": "500 before anything is generated",
    "mute": "accepts the request and never answers",
    "no_first_token": "sends headers and the role, then nothing",
    "slow": "takes ten times as long for each token",
    "leak": "answers as it should and keeps leak_bytes of memory for good",
    "echo": "answers with the words of its prompt, in turn",
    "free_text": "answers in its own words where it was bound to a schema",
    "deaf": "goes on generating when its client has gone",
    "polite_stop": "ends what it has begun as if that were all of it when it is stopped",
    "wrong_model": "reports another model name than the one it was asked for",
    "invalid_json": "sends one event that is not JSON",
    "no_usage": "leaves the usage out",
    "no_role": "leaves the role out of the first chunk",
    "no_output": "ends a complete stream without any token",
    "no_finish_reason": "ends a stream with a null finish reason",
    "other_reason": "ends a stream with a finish reason that no client knows",
    "abort": "gives up in the middle of a stream: finish reason abort, usage, [DONE]",
    "usage_above": "counts a thousand tokens more than it sent",
    "usage_below": "counts half of the tokens that it sent",
    "end_token": "counts the end token, which comes in the finish chunk and has no text",
    "held_back": "makes each token at its time and writes them all at the end",
    "reasoning": "sends the first half as reasoning",
    "multi_token": "puts three tokens in each chunk",
    "comments": "sends SSE comments between the tokens",
    "unframed": "marks the end of the body by closing the connection",
    "stale": "closes a reused connection when a request arrives on it",
    "sse_error": "sends an error object in the stream, then [DONE]",
    "truncate": "ends the body cleanly without [DONE]",
    "fin": "closes the connection in the middle of a stream",
    "rst": "resets the connection in the middle of a stream",
    "stall": "pauses for stall_seconds in the middle of a stream",
    "hang": "falls silent in the middle of a stream",
    # HTTP and SSE in every form a server or a proxy may choose.
    "crlf": "ends lines with CR and LF",
    "no_space": "leaves out the space after data:",
    "event_lines": "sends event: and id: lines with each event",
    "split_character": "cuts a character of several bytes between two chunks",
    "half_character": "sends half a character in each event",
    "control_character": "sends a NUL inside a JSON string",
    "dribble": "writes each byte by itself",
    "interim": "sends an interim answer first",
    "extensions": "gives each chunk an extension",
    "trailers": "sends trailers after the last chunk",
    "length": "announces the body's length instead of chunks",
    "http10": "answers in HTTP/1.0",
    "gzip": "compresses, although nobody accepts that",
    "redirect": "redirects to another path",
    "html": "answers 200 with a page",
    "pipelined": "sends a second answer nobody asked for",
    "endless": "never stops generating",
    "long_line": "sends an event of a megabyte",
    "cut_headers": "closes in the middle of the headers",
    "hang_headers": "falls silent in the middle of the headers",
    "hang_chunk": "falls silent between a chunk's size and its data",
    "hang_event": "falls silent in the middle of an event",
    "hang_before_done": "falls silent before [DONE]",
    "hang_after_done": "falls silent after [DONE], before the last chunk",
}
# With misbehaviour "mixed" one generation after the other takes the next of these.
MIXED = [name for name in MISBEHAVIOURS if name != "stale"]
REFUSALS = {
    "refuse": (503, "The engine refuses by script.", "ServiceUnavailableError"),
    "too_many": (429, "Too many requests by script.", "RateLimitError"),
    "internal_error": (500, "The engine fails by script.", "InternalServerError"),
}
# Finish reasons other than the true one.
FINISHES = {"no_finish_reason": None, "other_reason": "because", "abort": "abort"}
# What stands for the mark behind each token.
SPOILED = {
    "split_character": "é".encode(),
    "half_character": "é".encode()[:1],
    "control_character": b"\0",
}
# Answers that lack something, on connections that may carry the next request.
ENDED_CLEANLY = ("sse_error", "truncate")
STREAM_TYPE = "text/event-stream; charset=utf-8"
PAGE = b"<!doctype html><title>Welcome</title><h1>It works</h1>"
RETRY_LATER = (429, 503)
REASONS = {
    200: "OK",
    302: "Found",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
WORDS = ["the", "hot", "fire", "test", "burns", "for", "its", "full", "time", "on", "a", "stand"]
# What vLLM calls some options: whoever reads an engine's settings finds this one's.
VLLM_FLAGS = {"drain_seconds": "--shutdown-timeout", "max_running": "--max-num-seqs"}
BODY_LIMIT_BYTES = 8 << 20
# Of a prompt vLLM keeps whole blocks only.
BLOCK_TOKENS, BLOCKS_KEPT = 16, 4096
RECORDS_KEPT = 20_000
WRITES_KEPT = 512
LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclasses.dataclass(kw_only=True)
class Script:
    """What the engine does; every field can be changed while it runs."""

    model: str = "tiny"
    other_models: str = ""  # names that it serves besides, separated by spaces
    ttft_seconds: float = 0.05
    tpot_seconds: float = 0.01
    misbehaviour: str = "ok"
    every: int = 1  # misbehave on each N-th generation
    times: int = 0  # stop misbehaving after that many; 0 = never
    stall_seconds: float = 5.0
    keep_alive_seconds: float = 0.0  # close a connection that was idle for so long; 0 = never
    leak_bytes: int = 256 << 10
    natural_tokens: int = 64  # length at which generation ends by itself
    max_running: int = 0  # generations at once; 0 = no limit
    max_waiting: int = 0  # queued generations beyond which 429 is answered; 0 = no limit
    max_model_len: int = 4096
    frozen_gauges: str = ""  # metrics that always say 0, separated by commas
    log_refused: int = 0  # 1 = write the body of each refused request to the log
    slower_after_tokens: int = 0  # tokens beyond so many take twice as long; 0 = none does
    fatal_text: str = ""  # a body with this text in it ends the process; empty = none does
    log_requests: int = 0  # 1 = write a line for each request to the log; 2 = streams' lack tokens

    def changed(self, values: Json) -> "Script":
        """Return a copy with these fields; raises ValueError for what it does not know."""
        known = {field.name: type(getattr(self, field.name)) for field in dataclasses.fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"no such field: {name}; known are {', '.join(known)}")
            accepted = (int, float) if known[name] is float else known[name]
            if isinstance(value, bool) or not isinstance(value, accepted):
                message = f"{name} must be {known[name].__name__}, not {value!r}"
                raise ValueError(message)  # noqa: TRY004 - a wrong value for the caller
        if values.get("misbehaviour", "ok") not in {*MISBEHAVIOURS, "mixed"}:
            raise ValueError(f"misbehaviour must be one of {', '.join(MISBEHAVIOURS)}, mixed")
        return dataclasses.replace(self, **values)


@dataclasses.dataclass
class Call:
    """One parsed HTTP request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    nth_on_connection: int


@dataclasses.dataclass
class Truth:
    """What happened to one generation, by the engine's own clock (epoch nanoseconds)."""

    request: str
    prompt: str
    misbehaviour: str
    arrival_ns: int
    # Stamps are taken just before the bytes they speak of are written; 0: never.
    accepted_ns: int = 0  # its connection
    nth_on_connection: int = 1
    headers_ns: int = 0
    first_ns: int = 0
    first_output_ns: int = 0  # first token that is not reasoning
    last_ns: int = 0
    end_ns: int = 0  # last bytes or close; where the client left, when that was noticed
    tokens: int = 0
    chunks: int = 0  # events with tokens in them
    n_in: int = 0
    usage: int | None = None  # completion_tokens as sent
    finish_reason: str | None = None  # as sent
    outcome: str = "running"
    # Begin and end of each write of tokens, microseconds after arrival; the first WRITES_KEPT.
    writes_us: "array[int]" = dataclasses.field(default_factory=lambda: array("q"))

    def wrote(self) -> None:
        """Count the chunk whose write began at ``last_ns`` and has just returned."""
        self.chunks += 1
        if self.chunks <= WRITES_KEPT:
            began, ended = self.last_ns - self.arrival_ns, time.time_ns() - self.arrival_ns
            self.writes_us.extend((began // 1000, ended // 1000 + 1))

    def document(self) -> Json:
        return dataclasses.asdict(self) | {"writes_us": list(self.writes_us)}


class BadRequestError(Exception):
    """The caller's fault: becomes an OpenAI error object."""

    def __init__(self, status: int, message: str, kind: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.param = status, kind, param


@dataclasses.dataclass
class Prompted:
    """A validated generation request."""

    chat: bool
    stream: bool
    prompt: str
    model: str
    n_in: int
    n_out: int
    finish_reason: str
    include_usage: bool
    continuous_usage: bool
    bound: list[str] | None = None  # the tokens of an answer that is bound to a schema
    salt: str = ""
    cached: int = 0  # tokens of the prompt that had been read before
    transfer: Json | None = None  # what is said of KV blocks of another engine's, or for one
    transferred: int = 0  # tokens of the prompt whose KV blocks another engine gave


class PrefixCache:
    """The beginnings of prompts that were read before, each for one model and one salt."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, None] = {}

    def read(self, asked: Prompted) -> int:
        """Return how many tokens of a prompt were read before, and keep all of it."""
        words, hits, known = asked.prompt.split(), 0, True
        name = f"{asked.model} {asked.salt}".encode()
        for end in range(BLOCK_TOKENS, len(words) + 1, BLOCK_TOKENS):
            block = " ".join(words[end - BLOCK_TOKENS : end]).encode()
            name = hashlib.sha256(name + block).digest()
            known = known and name in self.blocks
            hits += known * BLOCK_TOKENS
            # The one that was used last goes last.
            self.blocks.pop(name, None)
            self.blocks[name] = None
        while len(self.blocks) > BLOCKS_KEPT:
            del self.blocks[next(iter(self.blocks))]
        return hits


class Engine:
    """State shared by all connections: the script, the queue, the counters and the truth."""

    def __init__(self, script: Script, *, name: str, start_seconds: float = 0.0) -> None:
        self.script, self.name, self.start_seconds = script, name, start_seconds
        self.ready_at, self.born = time.monotonic() + start_seconds, time.time_ns()
        self.stopping = False
        self.counters: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.records: deque[Truth] = deque(maxlen=RECORDS_KEPT)
        self.running = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.latencies = {name: Histogram() for name in HISTOGRAMS}
        self.leaked: list[bytes] = []
        self.cache = PrefixCache()

    @property
    def ready(self) -> bool:
        return not self.stopping and time.monotonic() >= self.ready_at

    @property
    def full(self) -> bool:
        limit = self.script.max_waiting
        return bool(limit) and len(self.waiting) >= limit

    def next_misbehaviour(self) -> str:
        """Count one generation and return what it shall do."""
        self.counters["generations"] += 1
        script = self.script
        due = self.counters["generations"] % max(1, script.every) == 0
        left = not script.times or self.counters["misbehaved"] < script.times
        if script.misbehaviour == "ok" or not (due and left):
            return "ok"
        self.counters["misbehaved"] += 1
        if script.misbehaviour == "mixed":
            return MIXED[self.counters["misbehaved"] % len(MIXED)]
        return script.misbehaviour

    def recorded(self, asked: Prompted, arrival_ns: int) -> Truth:
        """Return the record of a new generation, with what it shall do."""
        fate = self.next_misbehaviour()
        if fate == "leak":
            # Not zeros, which the kernel would only promise.
            self.leaked.append(b"\1" * self.script.leak_bytes)
            self.counters["leaked_bytes"] += self.script.leak_bytes
        # Another replica counts, too.
        number = f"{self.born:x}-{self.counters['generations']}"
        name = f"{'chatcmpl' if asked.chat else 'cmpl'}-{number}"
        record = Truth(name, asked.prompt[:80], fate, arrival_ns, n_in=asked.n_in)
        self.records.append(record)
        return record

    async def read(self, asked: Prompted) -> None:
        """Count the tokens of a prompt, and which of them had been read before."""
        asked.cached = self.cache.read(asked)
        self.counters["prompt_tokens"] += asked.n_in
        self.counters["cached_tokens"] += asked.cached

    def handed_over(self, _asked: Prompted, _record: Truth) -> Json:
        """Return what a whole answer says besides; who works with no other engine says nothing."""
        return {}

    @property
    def kv_use(self) -> float:
        """Which part of the KV cache is in use."""
        return min(1.0, self.running / (self.script.max_running or 256))

    def totals(self) -> dict[str, int]:
        """Return the counters that have no label of their own."""
        counters = self.counters
        return {
            "vllm:num_preemptions_total": 0,
            "vllm:prompt_tokens_total": counters["prompt_tokens"],
            "vllm:generation_tokens_total": counters["tokens"],
            "vllm:prefix_cache_queries_total": counters["prompt_tokens"],
            "vllm:prefix_cache_hits_total": counters["cached_tokens"],
        }

    def tokens_by_source(self) -> dict[str, int]:
        """Return whence the tokens of all prompts came, as vLLM calls it."""
        read, known = self.counters["prompt_tokens"], self.counters["cached_tokens"]
        given = self.counters["transferred_tokens"]
        computed = read - known - given
        return {
            "local_compute": computed, "local_cache_hit": known, "external_kv_transfer": given
        }  # fmt: skip

    async def admitted(self) -> None:
        """Wait for a free place."""
        limit = self.script.max_running
        if limit and self.running >= limit:
            place = asyncio.get_running_loop().create_future()
            self.waiting.append(place)
            try:
                await place
            finally:
                if place in self.waiting:
                    self.waiting.remove(place)
        self.running += 1

    def released(self) -> None:
        """Give a place back and wake who waits longest."""
        self.running -= 1
        limit = self.script.max_running
        while self.waiting and (not limit or self.running < limit):
            place = self.waiting.popleft()
            if not place.done():
                place.set_result(None)
                return

    def truth(self) -> Json:
        return {
            "name": self.name,
            "script": dataclasses.asdict(self.script),
            "running": self.running,
            "waiting": len(self.waiting),
            "counters": dict(self.counters),
            "finished": dict(self.finished),
            "records": [record.document() for record in self.records],
        }


class Histogram:
    """A Prometheus histogram."""

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        place = sum(1 for bound in LATENCY_BUCKETS if seconds > bound)
        self.counts[place] += 1
        self.total += seconds

    def lines(self, name: str, labels: str) -> list[str]:
        running, out = 0, [f"# TYPE {name} histogram"]
        bounds = [*map(str, LATENCY_BUCKETS), "+Inf"]
        for bound, count in zip(bounds, self.counts, strict=True):
            running += count
            out.append(f'{name}_bucket{{{labels},le="{bound}"}} {running}')
        return [
            *out,
            f"{name}_sum{{{labels}}} {self.total}",
            f"{name}_count{{{labels}}} {running}",
        ]


HISTOGRAMS = (
    "vllm:time_to_first_token_seconds",
    "vllm:inter_token_latency_seconds",
    "vllm:request_time_per_output_token_seconds",
    "vllm:e2e_request_latency_seconds",
    "vllm:request_queue_time_seconds",
)


def metrics_text(engine: Engine) -> str:
    """Return what vLLM would expose, in Prometheus' text format."""
    labels = f'model_name="{engine.script.model}",engine="0"'
    counters, lines = engine.counters, []
    gauges = {
        "vllm:num_requests_running": engine.running,
        "vllm:num_requests_waiting": len(engine.waiting),
        "vllm:kv_cache_usage_perc": engine.kv_use,
    }
    gauges |= dict.fromkeys(gauges.keys() & set(engine.script.frozen_gauges.split(",")), 0)
    for kind, values in (("gauge", gauges), ("counter", engine.totals())):
        for name, value in values.items():
            lines += [f"# TYPE {name} {kind}", f"{name}{{{labels}}} {value}"]
    lines.append("# TYPE vllm:prompt_tokens_by_source_total counter")
    for source, count in engine.tokens_by_source().items():
        lines.append(f'vllm:prompt_tokens_by_source_total{{{labels},source="{source}"}} {count}')
    lines.append("# TYPE vllm:request_success_total counter")
    for reason in ("stop", "length", "abort", "error", "repetition"):
        count = engine.finished[reason]
        lines.append(f'vllm:request_success_total{{{labels},finished_reason="{reason}"}} {count}')
    lines += [
        "# TYPE vllm:iteration_tokens_total histogram",
        f'vllm:iteration_tokens_total_bucket{{{labels},le="+Inf"}} {counters["tokens"]}',
        f"vllm:iteration_tokens_total_sum{{{labels}}} {counters['tokens']}",
        f"vllm:iteration_tokens_total_count{{{labels}}} {counters['tokens']}",
    ]
    for name, histogram in engine.latencies.items():
        lines += histogram.lines(name, labels)
    return "\n".join(lines) + "\n"


def validated(document: object, *, chat: bool, script: Script) -> Prompted:
    """Return what is asked for; raises BadRequestError as vLLM would answer 4xx."""
    if not isinstance(document, dict):
        raise BadRequestError(400, "The body must be a JSON object.", "BadRequestError")
    model = document.get("model", script.model)
    if model not in (script.model, *script.other_models.split()):
        raise BadRequestError(404, f"The model `{model}` does not exist.", "NotFoundError", "model")
    prompt = prompt_text(document, chat=chat)
    n_in = len(prompt.split()) + 1
    n_out, finish_reason = length(document, n_in, script)
    bound = bound_tokens(document, prompt)
    if bound is not None:
        n_out, finish_reason = min(n_out, len(bound)), "stop" if len(bound) <= n_out else "length"
    options = document.get("stream_options") or {}
    return Prompted(
        chat=chat,
        stream=bool(document.get("stream", False)),
        prompt=prompt,
        model=str(model),
        n_in=n_in,
        n_out=n_out,
        finish_reason=finish_reason,
        include_usage=bool(options.get("include_usage")),
        continuous_usage=bool(options.get("continuous_usage_stats")),
        bound=bound,
        salt=salt_of(document),
        transfer=document.get("kv_transfer_params"),
    )


def salt_of(document: Json) -> str:
    """Return what tells cached prompts of one client from those of another; empty: nothing."""
    salt = document.get("cache_salt")
    if salt is not None and not (isinstance(salt, str) and salt):
        message = "cache_salt must be a non-empty string."
        raise BadRequestError(400, message, "BadRequestError", "cache_salt")
    return salt or ""


def bound_tokens(document: Json, prompt: str) -> list[str] | None:
    """Return the tokens of an answer that keeps to the schema it is bound to; None: to none."""
    form = document.get("response_format") or {}
    schema = form.get("json_schema", {}).get("schema") if isinstance(form, dict) else None
    if not isinstance(schema, dict):
        return None
    text = json.dumps(instance(schema, hashlib.sha256(prompt.encode()).digest()[0]))
    return [text[start : start + 4] for start in range(0, len(text), 4)]


def instance(schema: Json, chance: int) -> object:
    """Return a document of a schema; ``chance`` picks among those it allows."""
    if "enum" in schema:
        return schema["enum"][chance % len(schema["enum"])]
    match schema.get("type"):
        case "object":
            parts = schema.get("properties", {}).items()
            return {name: instance(part, chance) for name, part in parts}
        case "array":
            return [instance(schema.get("items", {}), chance)]
        case "integer" | "number":
            least = schema.get("minimum", 0)
            return least + chance % (schema.get("maximum", least + 9) - least + 1)
        case "boolean":
            return bool(chance % 2)
    return WORDS[chance % len(WORDS)]


def prompt_text(document: Json, *, chat: bool) -> str:
    """Return the prompt as one string."""
    if not chat:
        prompt = document.get("prompt")
        if not isinstance(prompt, str) or not prompt:
            raise BadRequestError(400, "prompt must be text.", "BadRequestError", "prompt")
        return prompt
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError(400, "messages must be a list.", "BadRequestError", "messages")
    for message in messages:
        if not isinstance(message, dict) or "role" not in message:
            raise BadRequestError(400, "a message needs a role.", "BadRequestError", "messages")
    return "\n".join(content_text(message.get("content")) for message in messages)


def content_text(content: object) -> str:
    """Return the text of a message's content, a string or a list of parts."""
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def length(document: Json, n_in: int, script: Script) -> tuple[int, str]:
    """Return the number of tokens to generate and why it ends there."""
    limit = document.get("max_completion_tokens") or document.get("max_tokens")
    if "max_tokens" in document and document["max_tokens"] is not None:
        wanted = document["max_tokens"]
        if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
            message = f"max_tokens must be at least 1, got {wanted}."
            raise BadRequestError(400, message, "BadRequestError", "max_tokens")
    room = script.max_model_len - n_in
    if room < 1 or (limit or 1) > room:
        message = f"This model's maximum context length is {script.max_model_len} tokens."
        raise BadRequestError(400, message, "BadRequestError", "max_tokens")
    if not limit:
        return min(room, script.natural_tokens), "stop"
    if document.get("ignore_eos") or limit <= script.natural_tokens:
        return int(limit), "length"
    return script.natural_tokens, "stop"


def word(prompt: str, index: int) -> str:
    """Return one token, always the same one for a prompt."""
    start = hashlib.sha256(prompt.encode()).digest()[0]
    return (" " if index else "") + WORDS[(start + index) % len(WORDS)]


def echoed(prompt: str, index: int) -> str:
    """Return one token of an answer that repeats its prompt."""
    said = prompt.split()
    return (" " if index else "") + said[index % len(said)]


class Stream:
    """Writes one generation onto a connection, chunked unless told otherwise."""

    def __init__(
        self, engine: Engine, connection: "Connection", asked: Prompted, truth: Truth
    ) -> None:
        self.engine, self.connection, self.asked, self.truth = engine, connection, asked, truth
        self.created = int(time.time())
        self.began = time.monotonic()
        self.model = "some-other-model" if truth.misbehaviour == "wrong_model" else asked.model

    def word(self, index: int) -> str:
        if self.asked.bound and self.truth.misbehaviour != "free_text":
            return self.asked.bound[index]
        say = echoed if self.truth.misbehaviour == "echo" else word
        return say(self.asked.prompt, index)

    def usage(self, tokens: int) -> Json:
        n_in, cached = self.asked.n_in, self.asked.cached
        counts = {"prompt_tokens": n_in, "completion_tokens": tokens, "total_tokens": n_in + tokens}
        return counts | ({"prompt_tokens_details": {"cached_tokens": cached}} if cached else {})

    def envelope(self, choices: list[Json], *, streamed: bool) -> Json:
        kind = "chat.completion" if self.asked.chat else "text_completion"
        return {
            "id": self.truth.request,
            "object": f"{kind}.chunk" if streamed and self.asked.chat else kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }

    def chunk(self, text: str, *, finish: str | None = None, part: str = "content") -> Json:
        choice: Json = {"index": 0}
        choice |= {"delta": {part: text} if text else {}} if self.asked.chat else {"text": text}
        choice |= {"logprobs": None, "finish_reason": finish}
        document = self.envelope([choice], streamed=True)
        if self.asked.continuous_usage:
            document["usage"] = self.usage(self.truth.tokens)
        return document

    async def send(self, document: Json | bytes) -> None:
        text = document if isinstance(document, bytes) else dumps(document)
        await self.connection.body(self.event(text))

    def event(self, text: bytes) -> bytes:
        """Return one event in the form the script wants."""
        match self.truth.misbehaviour:
            case "crlf":
                return b"data: " + text + b"\r\n\r\n"
            case "no_space":
                return b"data:" + text + b"\n\n"
            case "event_lines":
                return b"event: message\nid: 7\ndata: " + text + b"\n\n"
        return b"data: " + text + b"\n\n"

    async def run(self) -> None:
        """Generate and, where the script says so, misbehave."""
        if self.asked.stream:
            await self.streamed()
        else:
            await self.whole()
        self.truth.outcome = "done"
        self.engine.finished[self.asked.finish_reason] += 1

    async def whole(self) -> None:
        fate = self.truth.misbehaviour
        for index in range(self.asked.n_out):
            await self.token_time(index)
        text = "".join(map(self.word, range(self.asked.n_out)))
        choice: Json = {"index": 0, "logprobs": None, "finish_reason": self.asked.finish_reason}
        message = {"role": "assistant", "content": text}
        choice |= {"message": message} if self.asked.chat else {"text": text}
        document = self.envelope([choice], streamed=False)
        document |= self.engine.handed_over(self.asked, self.truth)
        self.truth.finish_reason = self.asked.finish_reason
        if fate != "no_usage":
            document["usage"] = self.usage(self.asked.n_out)
            self.truth.usage = self.asked.n_out
        body = dumps(document)
        self.truth.headers_ns = time.time_ns()
        if fate in ("fin", "rst", "truncate", "hang"):
            self.connection.start(200, "application/json", length=len(body))
            self.connection.write(body[: len(body) // 2])
            await self.break_off(fate)
        self.truth.end_ns = time.time_ns()
        await self.connection.answer(200, body[:-1] if fate == "invalid_json" else body)

    async def streamed(self) -> None:
        fate, asked = self.truth.misbehaviour, self.asked
        await self.start()
        if asked.chat and fate != "no_role":
            choice = {"index": 0, "delta": {"role": "assistant", "content": ""}}
            choice |= {"logprobs": None, "finish_reason": None}
            await self.send(self.envelope([choice], streamed=True))
        if fate == "no_first_token":
            await self.silence()
        if fate != "no_output":
            await self.tokens()
        finish = FINISHES.get(fate, asked.finish_reason)
        if fate == "end_token":
            await self.token_time(asked.n_out - 1)
        await self.send(self.chunk("", finish=finish))
        self.truth.finish_reason = finish
        if fate == "end_token":
            self.truth.wrote()
        if asked.include_usage and fate != "no_usage":
            document = self.envelope([], streamed=True)
            self.truth.usage = {
                "usage_above": self.truth.tokens + 1000,
                "usage_below": self.truth.tokens // 2,
            }.get(fate, self.truth.tokens)
            await self.send(document | {"usage": self.usage(self.truth.usage)})
        await self.end()

    async def start(self) -> None:
        """Write the headers, or a whole answer of another kind."""
        fate, connection = self.truth.misbehaviour, self.connection
        headers: dict[str, str] = {}
        self.truth.headers_ns = time.time_ns()
        if fate in ("redirect", "html"):
            self.truth.end_ns = self.truth.headers_ns
            connection.keep = False
            status = 200 if fate == "html" else 302
            await connection.answer(status, PAGE, "text/html", {"location": "/elsewhere"})
            await self.break_off(fate)
        if fate in ("cut_headers", "hang_headers"):
            connection.write(b"HTTP/1.1 200 OK\r\ncontent-ty")
            await self.break_off(fate)
        if fate == "interim":
            connection.write(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n")
        if fate == "gzip":
            headers["content-encoding"] = "gzip"
        length = None
        if fate == "length":
            length = connection.room = 4096 + 512 * self.asked.n_out
        framed = fate not in ("unframed", "http10")
        connection.style = fate
        connection.start(200, STREAM_TYPE, length=length, framed=framed, headers=headers)

    async def end(self) -> None:
        """Write [DONE] and the end of the body."""
        fate = self.truth.misbehaviour
        if fate == "hang_before_done":
            await self.break_off(fate)
        await self.send(b"[DONE]")
        if fate == "hang_after_done":
            await self.break_off(fate)
        self.truth.end_ns = time.time_ns()
        if fate == "pipelined":
            self.connection.write(b"0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno")
            await self.break_off(fate)
        await self.connection.finish()

    async def tokens(self) -> None:
        """Write the tokens, each at its time."""
        fate, n_out = self.truth.misbehaviour, self.asked.n_out
        together = 3 if fate == "multi_token" else 1
        mark = "@" if fate in SPOILED else ""
        half = max(1, n_out // 2)
        if fate == "end_token":
            n_out -= 1
        if fate == "abort":
            n_out = half
        if fate == "held_back":
            await self.pause_until(self.began + self.due_seconds(n_out - 1))
        for index in self.starts(n_out, together):
            places = range(index, min(index + together, max(n_out, index + 1)))
            group = [self.word(place) + mark for place in places]
            await self.token_time(index + len(group) - 1, tokens=len(group))
            thinking = fate == "reasoning" and index < half
            part = "reasoning_content" if thinking else "content"
            if not thinking and not self.truth.first_output_ns:
                self.truth.first_output_ns = self.truth.last_ns
            await self.send(self.spoiled(dumps(self.chunk("".join(group), part=part))))
            self.truth.wrote()
            if fate == "comments":
                await self.connection.body(b": keep-alive\n\n")
            if index < half <= index + len(group):
                await self.midstream(fate)

    def starts(self, n_out: int, together: int) -> Iterator[int]:
        """Yield the place of each chunk's first token."""
        fate = self.truth.misbehaviour
        for index in range(0, sys.maxsize if fate == "endless" else n_out, together):
            if fate == "polite_stop" and self.engine.stopping:
                return
            yield index

    async def midstream(self, fate: str) -> None:
        """Misbehave once, after half of the tokens."""
        if fate == "invalid_json":
            await self.send(b'{"choices": [')
        if fate == "long_line":
            await self.send(self.chunk("x" * (1 << 20)))
        if fate == "stall":
            # From now, not from when the token was due: a late token must not shorten it.
            await self.pause_until(time.monotonic() + self.engine.script.stall_seconds)
            self.began += self.engine.script.stall_seconds
        if fate in ("hang_chunk", "hang_event"):
            event = self.event(dumps(self.chunk(" lost")))
            part = b"" if fate == "hang_chunk" else event[: len(event) // 2]
            self.connection.write(b"%x\r\n%s" % (len(event), part))
        if fate in ("sse_error", "truncate", "fin", "rst", "hang", "hang_chunk", "hang_event"):
            await self.break_off(fate)

    def spoiled(self, text: bytes) -> bytes:
        """Return a token's JSON with what its mark stands for."""
        return text.replace(b"@", SPOILED.get(self.truth.misbehaviour, b"@"))

    async def break_off(self, fate: str) -> None:
        """End the answer in one of the wrong ways."""
        self.truth.outcome = fate
        if fate.startswith("hang"):
            await self.silence()
        self.truth.end_ns = self.truth.end_ns or time.time_ns()
        if fate in ("redirect", "html", "pipelined"):
            raise BrokenOffError
        if fate == "sse_error":
            error = {"message": "EngineCore encountered an issue.", "type": "InternalServerError"}
            await self.send({"error": error | {"param": None, "code": 500}})
            await self.send(b"[DONE]")
        if fate in ("sse_error", "truncate"):
            await self.connection.finish()
        else:
            await self.connection.cut(reset=fate == "rst")
        raise BrokenOffError

    async def silence(self) -> None:
        await self.pause_until(float("inf"))

    async def token_time(self, index: int, tokens: int = 1) -> None:
        """Wait until a token is due, counted from admission, and record it."""
        await self.pause_until(self.began + self.due_seconds(index))
        now = time.time_ns()
        histograms = self.engine.latencies
        if not self.truth.first_ns:
            self.truth.first_ns = now
            histograms[HISTOGRAMS[0]].observe((now - self.truth.arrival_ns) / 1e9)
        else:
            histograms[HISTOGRAMS[1]].observe((now - self.truth.last_ns) / 1e9)
        self.truth.last_ns = now
        self.truth.tokens += tokens
        self.engine.counters["tokens"] += tokens

    def due_seconds(self, index: int) -> float:
        """Return how long after the admission a token is due."""
        script = self.engine.script
        slow = 10 if self.truth.misbehaviour == "slow" else 1
        late = max(0, index - script.slower_after_tokens) if script.slower_after_tokens else 0
        # What was read elsewhere costs no time here.
        reading = 0.0 if self.asked.transferred else script.ttft_seconds
        return (reading + (index + late) * script.tpot_seconds) * slow

    async def pause_until(self, monotonic: float) -> None:
        """Sleep, but notice a client that has gone; raises ConnectionResetError then."""
        while (left := monotonic - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.2))
            if self.connection.gone and self.truth.misbehaviour != "deaf":
                raise ConnectionResetError("the client has gone")


class BrokenOffError(Exception):
    """The script ended the answer early."""


class Connection:
    """One client connection: HTTP/1.1, one request at a time, keep-alive."""

    def __init__(
        self, engine: Engine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.engine, self.reader, self.writer = engine, reader, writer
        self.chunked = True
        self.keep = True
        self.style = "ok"
        self.room = 0
        self.accepted_ns = time.time_ns()
        engine.counters["connections"] += 1
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def gone(self) -> bool:
        return self.reader.at_eof() or self.writer.is_closing()

    async def read_call(self, nth: int) -> Call | None:
        """Return the next request; None when the client has finished.

        Raises:
            TimeoutError: the connection was idle for as long as the script allows.
        """
        # From the first answer on; the end of a patience is an OSError, which ends the connection.
        patience = self.engine.script.keep_alive_seconds if nth > 1 else 0.0
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), patience or None)
        head = raw.decode("latin-1").split("\r\n")
        method, path, _version = head[0].split(" ")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        size = int(headers.get("content-length", "0"))
        if size > BODY_LIMIT_BYTES:
            return None
        body = await self.reader.readexactly(size)
        self.keep = headers.get("connection", "").lower() != "close"
        return Call(method, path.partition("?")[0], headers, body, nth)

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def start(
        self,
        status: int,
        content_type: str,
        *,
        length: int | None = None,
        framed: bool = True,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Write the status line and the headers."""
        self.chunked = framed and length is None
        self.keep = self.keep and framed
        version = "1.0" if self.style == "http10" else "1.1"
        head = [f"HTTP/{version} {status} {REASONS.get(status, 'Unknown')}"]
        head += [f"content-type: {content_type}", f"x-served-by: {self.engine.name}"]
        head += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if length is not None:
            head.append(f"content-length: {length}")
        elif framed:
            head.append("transfer-encoding: chunked")
        if not self.keep:
            head.append("connection: close")
        self.writer.write(("\r\n".join(head) + "\r\n\r\n").encode())

    async def body(self, data: bytes) -> None:
        """Write one piece of a streamed body."""
        if self.gone and self.style == "deaf":
            return
        if self.gone:
            raise ConnectionResetError("the client has gone")
        if self.style == "gzip":
            data = gzip.compress(data)
        parts = [data]
        if self.style == "split_character":
            parts = re.split(rb"(?<=\xc3)", data)
        for part in parts:
            self.room -= len(part)
            self.put(self.framed(part) if self.chunked else part)
            await self.writer.drain()

    def framed(self, data: bytes) -> bytes:
        """Return one chunk."""
        extension = b';signature="a;b"' if self.style == "extensions" else b""
        return b"%x%s\r\n%s\r\n" % (len(data), extension, data)

    def put(self, data: bytes) -> None:
        """Write bytes, one at a time if so scripted."""
        step = 1 if self.style == "dribble" else len(data)
        for start in range(0, len(data), step):
            if self.gone:
                raise ConnectionResetError("the client has gone")
            self.writer.write(data[start : start + step])

    async def finish(self) -> None:
        """End a streamed body cleanly."""
        if self.chunked:
            trailer = b"x-checksum: 7\r\n" if self.style == "trailers" else b""
            self.put(b"0\r\n%s\r\n" % trailer)
        elif self.style == "length":
            self.put(b":".ljust(self.room - 1, b".") + b"\n")
        await self.writer.drain()

    async def answer(
        self,
        status: int,
        body: bytes,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Write a whole answer."""
        self.style = "ok"
        self.start(status, content_type, length=len(body), headers=headers)
        self.writer.write(body)
        await self.writer.drain()

    async def cut(self, *, reset: bool) -> None:
        """Close in the middle, by FIN or by RST."""
        await self.writer.drain()
        self.keep = False
        if reset:
            raw: socket.socket = self.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        else:
            self.writer.close()

    async def serve(self) -> None:
        """Answer requests until either side closes."""
        nth = 0
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, BrokenOffError, ValueError):
            while self.keep and not self.writer.is_closing():
                nth += 1
                call = await self.read_call(nth)
                if call is None:
                    break
                await self.respond(call)
        self.writer.close()

    async def respond(self, call: Call) -> None:
        self.engine.counters["requests"] += 1
        method, handler = ROUTES.get(call.path, ("", None))
        try:
            if handler is None:
                raise BadRequestError(404, "Not Found", "NotFoundError")  # noqa: TRY301
            if call.method != method:
                raise BadRequestError(405, "Method Not Allowed", "BadRequestError")  # noqa: TRY301
            await handler(self.engine, self, call)
        except BadRequestError as error:
            if self.engine.script.log_refused:
                log(f"refused: {call.body.decode(errors='replace')}")
            await self.refuse(error)
        fatal = self.engine.script.fatal_text.encode()
        if fatal and fatal in call.body and call.path.startswith("/v1/"):
            # Not by an exception, which would end this connection alone.
            os._exit(1)

    async def refuse(self, error: BadRequestError) -> None:
        document = {"message": str(error), "type": error.kind, "param": error.param}
        body = dumps({"error": document | {"code": error.status}})
        headers = {"retry-after": "1"} if error.status in RETRY_LATER else None
        await self.answer(error.status, body, headers=headers)


def dumps(document: Json) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError as error:
        raise BadRequestError(400, f"Invalid JSON: {error}", "BadRequestError") from error


async def health(engine: Engine, connection: Connection, _call: Call) -> None:
    await connection.answer(200 if engine.ready else 503, b"", "text/plain")


async def version(_engine: Engine, connection: Connection, _call: Call) -> None:
    await connection.answer(200, dumps({"version": "scripted"}))


async def models(engine: Engine, connection: Connection, _call: Call) -> None:
    script = engine.script
    card: Json = {"object": "model", "created": 0, "owned_by": "hotfire", "root": script.model}
    card |= {"max_model_len": script.max_model_len}
    cards = [card | {"id": name} for name in (script.model, *script.other_models.split())]
    await connection.answer(200, dumps({"object": "list", "data": cards}))


async def metrics(engine: Engine, connection: Connection, _call: Call) -> None:
    text = metrics_text(engine).encode()
    await connection.answer(200, text, "text/plain; version=0.0.4; charset=utf-8")


async def truth(engine: Engine, connection: Connection, _call: Call) -> None:
    await connection.answer(200, dumps(engine.truth()))


async def configure(engine: Engine, connection: Connection, call: Call) -> None:
    document = parsed(call.body)
    if not isinstance(document, dict):
        raise BadRequestError(400, "The body must be a JSON object.", "BadRequestError")
    try:
        engine.script = engine.script.changed(document)
    except ValueError as error:
        raise BadRequestError(400, str(error), "BadRequestError") from error
    engine.counters["misbehaved"] = 0
    await connection.answer(200, dumps(dataclasses.asdict(engine.script)))


async def chat_completions(engine: Engine, connection: Connection, call: Call) -> None:
    await generate(engine, connection, call, chat=True)


async def completions(engine: Engine, connection: Connection, call: Call) -> None:
    await generate(engine, connection, call, chat=False)


async def generate(engine: Engine, connection: Connection, call: Call, *, chat: bool) -> None:
    """Validate, queue, generate, and keep the books."""
    arrival_ns = time.time_ns()
    if not engine.ready:
        raise BadRequestError(503, "The engine is not ready.", "ServiceUnavailableError")
    asked = validated(parsed(call.body), chat=chat, script=engine.script)
    if engine.full:
        # Not 503: a gateway would take the engine for broken and send its share to the others.
        raise BadRequestError(429, "The queue is full.", "RateLimitError")
    record = engine.recorded(asked, arrival_ns)
    record.accepted_ns = connection.accepted_ns
    record.nth_on_connection = call.nth_on_connection
    await preflight(connection, call, record)
    await engine.read(asked)
    await engine.admitted()
    try:
        queued = (time.time_ns() - arrival_ns) / 1e9
        engine.latencies["vllm:request_queue_time_seconds"].observe(queued)
        stream = Stream(engine, connection, asked, record)
        if record.misbehaviour == "mute":
            await stream.silence()
        await stream.run()
    except (OSError, BrokenOffError):
        # As vLLM does: who leaves is in none of its counters of requests that have ended.
        if record.outcome == "running":
            record.outcome = "client gone"
        if record.outcome not in ENDED_CLEANLY:
            raise
    finally:
        engine.released()
        close_books(engine, call, asked, record)


def log(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def preflight(connection: Connection, call: Call, record: Truth) -> None:
    """Refuse or cut a generation that is not to start."""
    fate = record.misbehaviour
    if fate in REFUSALS:
        record.headers_ns = record.end_ns = time.time_ns()
        record.outcome = "refused"
        raise BadRequestError(*REFUSALS[fate])
    if fate == "stale" and call.nth_on_connection > 1:
        record.end_ns = time.time_ns()
        record.outcome = "cut"
        await connection.cut(reset=False)
        raise BrokenOffError


def close_books(engine: Engine, call: Call, asked: Prompted, record: Truth) -> None:
    record.end_ns = record.end_ns or time.time_ns()
    seconds = (record.end_ns - record.arrival_ns) / 1e9
    engine.latencies["vllm:e2e_request_latency_seconds"].observe(seconds)
    if record.tokens > 1:
        per_token = (record.last_ns - record.first_ns) / (record.tokens - 1) / 1e9
        engine.latencies["vllm:request_time_per_output_token_seconds"].observe(per_token)
    if engine.script.log_requests:
        log(request_line(engine, call, asked, record))


def request_line(engine: Engine, call: Call, asked: Prompted, record: Truth) -> str:
    """Return what a log says of one request."""
    counted = engine.script.log_requests == 1 or not asked.stream
    line: Json = {"model": asked.model, "version": engine.name, "outcome": record.outcome}
    line |= {"request": call.headers.get("x-request-id"), "client": call.headers.get("user-agent")}
    line |= {"prompt_tokens": asked.n_in, "completion_tokens": record.tokens if counted else None}
    line |= {"seconds": (record.end_ns - record.arrival_ns) / 1e9}
    return json.dumps(line)


ROUTES: dict[str, tuple[str, Callable[[Engine, Connection, Call], Any]]] = {
    "/health": ("GET", health),
    "/version": ("GET", version),
    "/metrics": ("GET", metrics),
    "/v1/models": ("GET", models),
    "/v1/chat/completions": ("POST", chat_completions),
    "/v1/completions": ("POST", completions),
    "/admin/truth": ("GET", truth),
    "/admin/config": ("POST", configure),
}


async def serve(engine: Engine, *, host: str, port: int, drain_seconds: float = 0.0) -> None:
    """Listen until SIGTERM or SIGINT, then let running generations end; prints the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await Connection(engine, reader, writer).serve()

    server = await asyncio.start_server(connected, host, port, backlog=4096, limit=1 << 20)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    actual = server.sockets[0].getsockname()[1]
    log(f"listening on {actual}")
    # As vLLM says it.
    loaded = f"Loading weights took {engine.start_seconds:.2f} seconds"
    loop.call_later(engine.start_seconds, log, loaded)
    await stop.wait()
    engine.stopping = True
    server.close()
    end = time.monotonic() + drain_seconds
    while engine.running and time.monotonic() < end:  # noqa: ASYNC110 - bounded, at exit
        await asyncio.sleep(0.05)
    for task in list(tasks):
        task.cancel()


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104 - it serves a pod's address
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--name", default=socket.gethostname(), help="value of x-served-by")
    parser.add_argument("--start-seconds", type=float, default=0.0, help="not ready for so long")
    parser.add_argument("--drain-seconds", VLLM_FLAGS["drain_seconds"], type=float, default=5.0)
    for field in dataclasses.fields(Script):
        flags = [f"--{field.name.replace('_', '-')}"]
        flags += [VLLM_FLAGS[field.name]] if field.name in VLLM_FLAGS else []
        parser.add_argument(*flags, type=type(field.default), default=field.default)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None, kind: type[Engine] = Engine) -> None:
    options = parse_arguments(arguments)
    names = [field.name for field in dataclasses.fields(Script)]
    script = Script().changed({name: getattr(options, name) for name in names})
    engine = kind(script, name=options.name, start_seconds=options.start_seconds)
    serving = serve(
        engine, host=options.host, port=options.port, drain_seconds=options.drain_seconds
    )
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(serving)


if __name__ == "__main__":
    main()
