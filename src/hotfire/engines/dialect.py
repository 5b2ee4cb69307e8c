"""How one kind of engine is asked, and by which names it tells what it does."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import takewhile
from typing import Literal

from hotfire.errors import ProfileError
from hotfire.profile import Engine


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a metrics page."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        labels = ",".join(f'{key}="{value}"' for key, value in self.labels.items())
        return f"{self.name}{{{labels}}}" if labels else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One kind of engine. None: it tells no such thing."""

    port: int
    """Of its HTTP server, where nothing else is said."""
    health_path: str
    ready_path: str
    """Answers with success once the model does."""
    metrics_path: str = "/metrics"
    metrics_port: int | None = None
    """None: that of the HTTP server."""
    metrics_flag: str = ""
    """What turns the page on; empty: it is on."""
    model_label: str = ""
    """Label of its series that names the model; empty: they name none."""
    running: Series | None = None
    """Gauge: requests that are being worked on."""
    waiting: Series | None = None
    """Gauge: requests that wait for their turn."""
    preemptions: Series | None = None
    """Counter: requests that had to give way and began anew."""
    kv_use: Series | None = None
    """Gauge: part of the KV cache in use, 0 to 1."""
    ttft: Series | None = None
    """Histogram: time to the first token, seconds."""
    tpot: Series | None = None
    """Histogram: time per output token after the first, seconds."""
    requests: Series | None = None
    """Counter: requests that were answered."""
    aborted: Series | None = None
    """Counter: requests that their clients gave up."""
    counts_who_left: bool = True
    """Whether ``requests`` holds those that their clients gave up, or says nothing of it."""
    errors: Series | None = None
    """Counter: requests that the engine itself gave up."""
    latency: Series | None = None
    """Histogram: time from arrival to the last token, seconds."""
    queue_wait: Series | None = None
    """Histogram: time that requests waited for their turn, seconds."""
    cache_queries: Series | None = None
    """Counter: tokens looked for in the prefix cache."""
    cache_hits: Series | None = None
    """Counter: tokens found there."""
    adapters: Series | None = None
    """Gauge: adapters in use, where it was started with some."""
    prompt_tokens: Series | None = None
    """Counter: tokens of the prompts that were answered, whoever read them."""
    computed_tokens: Series | None = None
    """Counter: those of them that the engine read itself."""
    transferred_tokens: Series | None = None
    """Counter: those of them whose KV cache another engine gave."""
    generated_tokens: Series | None = None
    """Counter: tokens made."""
    counters_move: Literal["per step", "at the end", "unknown"] = "unknown"
    """When the counters of tokens move: at the end, a request that hangs moves nothing."""
    progress: Series | None = None
    """Counter that moves while tokens are made, whatever the others do."""
    drain_option: str = ""
    """Option that says how long answers may still run once it is told to stop, seconds."""
    drain_seconds: float | None = None
    """The same where that option is not given; None: not known."""
    out_of_memory: tuple[str, ...] = ("out of memory",)
    """Words in its log when the device refuses it memory."""
    load_seconds: str = ""
    """Pattern of what its log says of how long loading took, seconds; empty: not known."""
    fixed_length: Mapping[str, object] = field(default_factory=dict)
    """Fields of a request that make an answer as long as was asked for."""

    @property
    def prefix(self) -> str:
        """What the names of all its series begin with; empty where it tells none."""
        told = [getattr(self, one.name) for one in fields(self)]
        names = [one.name for one in told if isinstance(one, Series)]
        both = zip(min(names, default=""), max(names, default=""), strict=False)
        return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], both))


def page_of(engine: Engine) -> tuple[int, str]:
    """Return port and path of the metrics page of a target's engines."""
    dialect = dialect_of(engine.kind)
    port = engine.metrics_port or dialect.metrics_port or engine.port
    return port, engine.metrics_path or dialect.metrics_path


def dialect_of(kind: str) -> Dialect:
    """Return the table of a kind of engine.

    Raises:
        ProfileError: there is none.
    """
    try:
        module = importlib.import_module(f"hotfire.engines.{kind.replace('-', '_')}")
    except ModuleNotFoundError as error:
        raise ProfileError(f"engine.kind: no engine {kind!r} is known") from error
    dialect: Dialect = module.DIALECT
    return dialect
