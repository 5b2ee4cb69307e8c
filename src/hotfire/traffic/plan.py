"""What a load sends and when: pure data, computed before the first request."""

import hashlib
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hotfire.errors import ProfileError

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, le=1)]

WORDS = (  # noqa: SIM905 - fifty quoted words read worse
    "engine fire test stand valve pump line fuel tank nozzle thrust burn flow heat gauge record"
    " signal launch count hold start stop cold hot wind cloud river stone paper light sound wave"
    " north south early late quick slow small large open close bring carry write read learn teach"
).split()


class GateLimits(BaseModel):
    """What the load generator must prove of itself, or the run is inconclusive."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    lag_p99_seconds: Seconds = 0.005
    """Lateness of a 10 ms timer in the process that reads the streams; it tracks receive error."""
    tpot_budget_seconds: Seconds | None = None
    """TPOT budget of the target; 5 % of it replaces the lag limit where that is wider."""
    lateness_p99_seconds: Seconds = 0.010
    """Dispatch after the scheduled time; a tenth of a quick TTFT."""
    achieved_ratio: Ratio = 0.99
    """Requests dispatched among those planned."""
    cpu_ratio: Ratio = 0.60
    """CPU time of the process per second on one core; beyond it, queueing sets in."""


class LoadPlan(BaseModel):
    """One load. The same plan gives the same arrivals and the same prompts, always."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    url: str
    """Gateway, scheme and authority, e.g. http://10.96.0.80."""
    path: str = Field(default="/v1/chat/completions", pattern="^/")
    """Endpoint; prompts become messages if it ends in /chat/completions."""
    model: str = Field(min_length=1)
    """Served model name."""
    seed: int = 0
    """Decides arrivals and prompts."""
    nonce: str = ""
    """Starts every prompt; a load that is started fills it in, so that no two share a prefix."""
    process: Literal["constant", "poisson"] = "poisson"
    """How arrivals are spread; independent users make a Poisson process."""
    rate_per_second: float = Field(default=5.0, gt=0)
    """Mean arrivals per second."""
    duration_seconds: Seconds = 3600.0
    """Upper bound; a load is usually stopped earlier."""
    warmup_seconds: float = Field(default=0.0, ge=0)
    """Rows scheduled before that carry the phase "warmup" and belong to no baseline."""
    max_tokens: int = Field(default=16, gt=0)
    """Output tokens asked for."""
    prompt_words: int = Field(default=32, gt=0)
    """Words in each prompt, the nonce not counted."""
    extra_body: dict[str, Any] = {"ignore_eos": True}
    """Merged into each request body; vLLM's ignore_eos keeps output lengths steady."""
    headers: dict[str, str] = {}
    """Added to each request; never a secret, since the plan is kept with the run."""
    connection: Literal["reuse", "fresh"] = "reuse"
    """Keep-alive as clients do, or a new connection each time, which sees removals sooner."""
    connect_seconds: Seconds = 5.0
    """Longest wait for a connection; survives two lost SYNs."""
    ttft_seconds: Seconds | None = None
    """Longest wait for headers and first token; default: only the deadline."""
    stall_seconds: Seconds = 10.0
    """Longest pause within a stream."""
    deadline_seconds: Seconds = 30.0
    """Longest time from the scheduled arrival to the end."""
    grace_seconds: Seconds = 60.0
    """Longest wait for requests in flight when the load is stopped; the rest is censored."""
    in_flight_cap: int = Field(default=800, gt=0)
    """Requests at once beyond which the client is no instrument any more."""
    nice: int = Field(default=-10, ge=-20, le=19)
    """Priority of the load process where permitted: sharing a core with the target blurs time."""
    realtime: bool = True
    """Run ahead of everything of ordinary priority where permitted: the load uses a few percent of
    a core, and on a machine it shares with a starting engine nothing less keeps its clock."""
    gates: GateLimits = GateLimits()
    """What the load generator must prove of itself."""

    @field_validator("url")
    @classmethod
    def _plain_http(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
            raise ValueError("expected http://host[:port]; the load does not speak TLS yet")
        return value.rstrip("/")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to connect to."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 80

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the plan in a JSON file.

        Raises:
            ProfileError: the file is missing or breaks the schema.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ProfileError(f"{path}: not a load plan: {error}") from error


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of a plan; ``offset_ns`` counts from the load's start."""

    seq: int
    offset_ns: int
    prompt_id: int


def schedule(plan: LoadPlan) -> list[Arrival]:
    """Return every arrival of the plan, in order; nothing is rescaled to hit a count."""
    offsets = _constant(plan) if plan.process == "constant" else _poisson(plan)
    return [Arrival(seq, round(offset * 1e9), seq) for seq, offset in enumerate(offsets)]


def _constant(plan: LoadPlan) -> Iterator[float]:
    for seq in range(math.ceil(plan.duration_seconds * plan.rate_per_second)):
        if (offset := seq / plan.rate_per_second) < plan.duration_seconds:
            yield offset


def _poisson(plan: LoadPlan) -> Iterator[float]:
    # Explicit inversion: random() is stable over Python versions, expovariate() need not be.
    chance = random.Random(plan.seed)  # noqa: S311 - reproducible, not secret
    offset = 0.0
    while (offset := offset - math.log(1.0 - chance.random()) / plan.rate_per_second) < (
        plan.duration_seconds
    ):
        yield offset


def prompt(plan: LoadPlan, prompt_id: int) -> str:
    """Return a prompt that starts with a nonce, so that a prefix cache cannot flatten TTFT."""
    key = f"{plan.nonce}:{plan.seed}:{prompt_id}"
    chance = random.Random(key)  # noqa: S311 - reproducible, not secret
    nonce = hashlib.sha256(key.encode()).hexdigest()[:12]
    return " ".join([nonce, *chance.choices(WORDS, k=plan.prompt_words)])


def body(plan: LoadPlan, prompt_id: int) -> bytes:
    """Return the JSON body of one request."""
    text = prompt(plan, prompt_id)
    document: dict[str, Any] = {
        "model": plan.model,
        "max_tokens": plan.max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if plan.path.endswith("/chat/completions"):
        document["messages"] = [{"role": "user", "content": text}]
    else:
        document["prompt"] = text
    return json.dumps(document | plan.extra_body, separators=(",", ":")).encode()


def request_bytes(plan: LoadPlan, prompt_id: int) -> bytes:
    """Return one whole HTTP/1.1 request."""
    content = body(plan, prompt_id)
    headers = {
        "host": urlsplit(plan.url).netloc,
        "user-agent": "hotfire",
        "content-type": "application/json",
        "content-length": str(len(content)),
        "accept": "text/event-stream",
        # A compressed stream holds tokens back until a block is full.
        "accept-encoding": "identity",
    }
    if plan.connection == "fresh":
        headers["connection"] = "close"
    headers |= {name.lower(): value for name, value in plan.headers.items()}
    lines = [f"POST {plan.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + content
