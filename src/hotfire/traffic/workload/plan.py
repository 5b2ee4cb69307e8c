"""What a load sends and when: pure data, computed before the first request."""

import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from hotfire import text_files
from hotfire.errors import ProfileError
from hotfire.evidence import names_a_secret, redact
from hotfire.gateway import authority, prefix
from hotfire.reference import KEPT_OUT, Headers
from hotfire.traffic.workload import arrivals
from hotfire.traffic.workload.arrivals import Arrival, Process, Step, Stretch
from hotfire.traffic.workload.limits import GateLimits, Seconds
from hotfire.traffic.workload.prompts import (
    Lengths,
    Prompts,
    Spec,
    Tenant,
)
from hotfire.traffic.workload.trace import MOONCAKE_BLOCK_TOKENS, TraceRow, Unit, read_trace

NANO = 1_000_000_000
LEAST_BURSTINESS = 0.01


class Fleet(Spec):
    """Where the workers of a distributed load run and how they find its master."""

    at: Literal["here", "elsewhere"] = "here"
    """Here: started with the load. Elsewhere: pods or machines that come to the master."""
    bind_host: str = "127.0.0.1"
    """Address the master listens on; 0.0.0.0 for workers elsewhere."""
    bind_port: int = Field(default=0, ge=0, lt=65536)
    """Its port; 0 takes any free one."""
    join_seconds: Seconds = 120.0
    """Longest wait for every worker to come; an image is pulled in that time."""


class LoadPlan(BaseModel):
    """One load. The same plan gives the same arrivals and the same prompts, always."""

    # An error that quotes what it refuses would show a password.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str
    """Gateway, scheme and authority, e.g. http://10.96.0.80 or https://llm.example.org."""
    base_path: str = ""
    """Path before ``path``, below which the gateway has the API; empty: none."""
    ca_file: str = ""
    """PEM file of the authorities that may vouch for an https gateway; empty: the machine's."""
    client_certificate: str = ""
    """PEM file of the certificate that the gateway is shown; empty: none."""
    client_key: str = ""
    """PEM file of its key, without a password; empty: it lies in the certificate's file."""
    server_name: str = ""
    """Name the gateway's certificate must bear; empty: the host of ``url``."""
    client: Literal["reactor", "reactor-python", "geventhttpclient"] = "reactor"
    """What reads the streams: our own loop, the same without its compiled part, or a library's
    client; the two are there to check the first."""
    path: str = Field(default="/v1/chat/completions", pattern="^/[!-~]*$")
    """Endpoint; prompts become messages if it ends in /chat/completions."""
    model: str = Field(min_length=1)
    """Served model name."""
    model_aliases: tuple[str, ...] = ()
    """Other names under which that model may answer; any further one is a deviation."""
    seed: int = 0
    """Decides arrivals and prompts."""
    nonce: str = ""
    """Starts every prompt; a load that is started fills it in, so that no two share a prefix."""
    mode: Literal["open", "closed"] = "open"
    """Open: requests come when they are due. Closed: as many at a time as ``concurrency``, for
    capacity only, since an outage stops the asking."""
    concurrency: int = Field(default=1, gt=0)
    """Closed: requests at a time."""
    start_spread_seconds: float = Field(default=0.0, ge=0)
    """Closed: time over which the first requests start; 0 starts all streams in step."""
    process: Process = "poisson"
    """How arrivals are spread; independent users make a Poisson process."""
    burstiness: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Shape of the gamma process: 1 is Poisson, less (0.01 at least) burstier, more more even."""
    rate_per_second: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    """Mean arrivals per second."""
    rate_end_per_second: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """The rate goes from ``rate_per_second`` to this one over the duration."""
    steps: tuple[Step, ...] = ()
    """Stretches of one rate each, instead of the rates above; the load ends with the last."""
    trace: Path | None = None
    """Traffic to replay (process trace): JSON lines of Mooncake or Qwen-Bailian, or Azure's CSV or
    JSON lines."""
    trace_unit: Unit | None = None
    """Unit of its numeric time stamps; default: Mooncake's are milliseconds, Qwen-Bailian's
    seconds."""
    trace_speed: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """The trace runs so many times as fast."""
    trace_rows: tuple[TraceRow, ...] = ()
    """What the trace holds; filled in when the load starts, so that the plan keeps it."""
    trace_block_tokens: int | None = Field(default=None, gt=0)
    """Length of the prompt block that a hash id of the trace names; default: the one that agrees
    with the trace's lengths, filled in when the load starts."""
    duration_seconds: Seconds = 3600.0
    """Upper bound; a load is usually stopped earlier."""
    warmup_seconds: float = Field(default=0.0, ge=0)
    """Rows scheduled before that carry the phase "warmup" and belong to no baseline."""
    max_tokens: int = Field(default=16, gt=0)
    """Output tokens asked for."""
    prompt_words: int = Field(default=32, gt=0)
    """Words in each prompt, the nonce not counted."""
    input_words: Lengths | None = None
    """Words in each prompt where they differ; a trace's tokens become as many words."""
    output_tokens: Lengths | None = None
    """Output tokens asked for where they differ."""
    prompts: Prompts = Prompts()
    """Where prompts come from."""
    tenants: tuple[Tenant, ...] = ()
    """Who sends, in parts by weight; none: one sender without a name."""
    stream: bool = True
    """Ask for a stream of tokens; a whole answer has an E2E time only."""
    extra_body: dict[str, Any] = {"ignore_eos": True}
    """Merged into each request body; vLLM's ignore_eos keeps output lengths steady."""
    headers: Headers = {}
    """Added to each request; a secret only as ``${env:NAME}``, ``${file:/PATH}`` or
    ``${secret:NAMESPACE/NAME/KEY}``, a Kubernetes Secret, since the plan is kept with the run."""
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
    workers: int = Field(default=1, gt=0)
    """Processes that share the load; one carries about 15,000 tokens per second."""
    fleet: Fleet = Fleet()
    """Where the workers run if there are more than one."""
    gates: GateLimits = GateLimits()
    """What the load generator must prove of itself."""

    @field_validator("burstiness")
    @classmethod
    def _sendable(cls, value: float) -> float:
        if value < LEAST_BURSTINESS:
            raise ValueError(
                f"{value:g} lets about {1 / value:.0f} requests come at one moment, which nobody"
                f" can send on time; take {LEAST_BURSTINESS} or more, or `steps` for a surge"
            )
        return value

    @field_validator("url")
    @classmethod
    def _authority_only(cls, value: str) -> str:
        return authority(value)

    @field_validator("base_path")
    @classmethod
    def _path_only(cls, value: str) -> str:
        return prefix(value)

    @field_validator("path")
    @classmethod
    def _without_keys(cls, value: str) -> str:
        fields = parse_qsl(urlsplit(value).query, keep_blank_values=True)
        if secret := next((name for name, _ in fields if names_a_secret(name)), None):
            raise ValueError(f"no place for {secret!r}: {KEPT_OUT}")
        return value

    @field_validator("extra_body")
    @classmethod
    def _without_secrets(cls, value: dict[str, Any]) -> dict[str, Any]:
        if redact(value) != value:
            raise ValueError(f"no place for a secret: {KEPT_OUT}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _without_ignore_eos(cls, value: object) -> object:
        """Let an answer end by itself where its content is what counts."""
        if not isinstance(value, dict) or "extra_body" in value:
            return value
        prompts = Prompts.model_validate(value.get("prompts", {}))
        free = prompts.source != "echo" and prompts.json_schema is None
        return value if free else {**value, "extra_body": {}}

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.process == "trace" and not (self.trace or self.trace_rows):
            raise ValueError("process trace needs `trace`, the file to replay")
        if self.mode == "closed" and self.concurrency > self.in_flight_cap:
            raise ValueError("concurrency is above in_flight_cap; raise in_flight_cap")
        if self.steps and self.rate_end_per_second is not None:
            raise ValueError("steps and rate_end_per_second exclude each other; drop one")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to connect to."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if self.secure else 80)

    @property
    def secure(self) -> bool:
        """Whether the gateway is spoken to through TLS."""
        return self.url.startswith("https:")

    @property
    def tls_files(self) -> dict[str, str]:
        """The files of a TLS connection by their fields' names; empty where there is none."""
        fields = ("ca_file", "client_certificate", "client_key")
        return {name: str(getattr(self, name)) for name in fields}

    @property
    def peer_name(self) -> str:
        """Name the gateway's certificate must bear."""
        return self.server_name or self.address[0]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the plan in a JSON file.

        Raises:
            ProfileError: the file is missing or breaks the schema.
        """
        try:
            return cls.model_validate_json(text_files.read(path))
        except (OSError, ValueError) as error:
            raise ProfileError(f"{path}: not a load plan: {error}") from error

    def self_contained(self) -> Self:
        """Return the plan with the contents of its files, so that it can be replayed anywhere.

        Raises:
            ProfileError: a file cannot be read or is empty.
        """
        rows, size = self.trace_rows, self.trace_block_tokens or MOONCAKE_BLOCK_TOKENS
        if self.trace:
            rows, size = read_trace(
                self.trace, unit=self.trace_unit, block_tokens=self.trace_block_tokens
            )
        changes = {"trace": None, "trace_rows": rows, "trace_block_tokens": size}
        return self.model_copy(update={**changes, "prompts": self.prompts.read()})

    def as_started(self) -> Self:
        """Return the self-contained plan, with a nonce that no other load has if it had none.

        Raises:
            ProfileError: a file cannot be read or is empty, or the plan holds no request.
        """
        plan = self.self_contained()
        check_schedule(plan)
        return plan if plan.nonce else plan.model_copy(update={"nonce": f"{time.time_ns():x}"})

    def stretches(self) -> Iterator[Stretch]:
        """Return the rate over time."""
        if not self.steps:
            begin, end = self.rate_per_second, self.rate_end_per_second
            yield Stretch(self.duration_seconds, begin, begin if end is None else end)
        for step in self.steps:
            yield Stretch(step.seconds, step.rate_per_second, step.rate_per_second)


def arrivals_of(plan: LoadPlan, *, worker: int = 0, workers: int = 1) -> Iterator[Arrival]:
    """Return the arrivals of one worker, made one by one: those with seq mod workers = worker."""
    end_ns = round(plan.duration_seconds * NANO)
    offsets = takewhile(lambda offset: offset < end_ns, _offsets_ns(plan))
    for seq, offset in enumerate(offsets):
        if seq % workers == worker:
            yield Arrival(seq, offset, seq)


def schedule(plan: LoadPlan) -> list[Arrival]:
    """Return every arrival of the plan, in order; nothing is rescaled to hit a count.

    Raises:
        ProfileError: there is none.
    """
    check_schedule(plan)
    return list(arrivals_of(plan))


def check_schedule(plan: LoadPlan) -> None:
    """Accept a plan that sends something.

    Raises:
        ProfileError: it sends nothing; the message names the field and the remedy.
    """
    if plan.mode == "open" and next(arrivals_of(plan), None) is None:
        expected = sum(stretch.expected for stretch in plan.stretches())
        raise ProfileError(
            f"duration_seconds: {plan.duration_seconds:g} s of this plan (seed {plan.seed}) hold"
            f" no request, {expected:.3g} were expected; make it longer or the rate higher"
        )


def _offsets_ns(plan: LoadPlan) -> Iterator[int]:
    if plan.process == "trace":
        rows = plan.trace_rows or plan.self_contained().trace_rows
        return (round(row.offset_ns / plan.trace_speed) for row in rows)
    units = arrivals.unit_times(plan.process, seed=plan.seed, burstiness=plan.burstiness)
    return (round(at * NANO) for at in arrivals.on_the_clock(units, plan.stretches()))
