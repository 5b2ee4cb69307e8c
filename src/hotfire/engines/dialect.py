"""How one kind of engine is asked, and by which names it tells what it does."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hotfire.errors import ProfileError


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a metrics page."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


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
    prompt_tokens: Series | None = None
    """Counter: tokens read."""
    generated_tokens: Series | None = None
    """Counter: tokens made."""
    counters_move: Literal["per step", "at the end", "unknown"] = "unknown"
    """When the counters of tokens move: at the end, a request that hangs moves nothing."""
    progress: Series | None = None
    """Counter that moves while tokens are made, whatever the others do."""
    out_of_memory: tuple[str, ...] = ("out of memory",)
    """Words in its log when the device refuses it memory."""
    fixed_length: Mapping[str, object] = field(default_factory=dict)
    """Fields of a request that make an answer as long as was asked for."""


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
