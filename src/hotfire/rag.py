"""The retrieval-augmented application in front of the model, as the target file declares it."""

from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BaseModel, Field, model_validator

from hotfire.gateway import Gateway
from hotfire.pod_roles import Selector
from hotfire.section import STRICT, Seconds

Part = Literal["api", "retriever", "vector-store", "session-store"]
Hop = Literal["retriever", "engine"]
TracedHop = Literal["gateway", "api", "retriever", "vector-store", "engine"]
_SERIES: Final = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"
HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]


class Degradation(BaseModel):
    """How the application says that an answer lacks its context: by any of these."""

    model_config = STRICT

    header: HeaderName | None = None
    """A header that such an answer has; `false`, `no`, `0` and nothing stand for none."""
    field: str | None = None
    """A field of its JSON, or of a chunk's, that is then neither false nor empty; what lies deeper
    by dots, e.g. rag.degraded."""
    status: int | None = Field(default=None, ge=500, le=599)
    """The status of a refusal, if it answers nobody without context; 503 says: try again."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.header or self.field or self.status):
            raise ValueError("name a header, a field or a status by which users are told")
        return self


class Histogram(BaseModel):
    """A histogram among an application's metrics."""

    model_config = STRICT

    name: str = Field(pattern=_SERIES)
    """Its name without _sum and _count."""
    labels: dict[str, str] = {}
    """Labels of the series that are meant; default: all of them."""


class Counter(BaseModel):
    """A counter among an application's metrics."""

    model_config = STRICT

    name: str = Field(pattern=_SERIES)
    """Its whole name."""
    labels: dict[str, str] = {}
    """Labels of the series that are meant; default: all of them."""


class CacheMetrics(BaseModel):
    """Where the API tells how often it answered from its response cache; claim `rag-cache`."""

    model_config = STRICT

    port: int = Field(default=8000, gt=0, lt=65536)
    """Port of the API's pods on which their metrics page lies."""
    path: str = Field(default="/metrics", pattern="^/[!-~]*$")
    """Path of that page."""
    hits: Counter
    """Requests that no engine had to answer."""
    misses: Counter
    """Requests that one had to."""


class HopMetrics(BaseModel):
    """Where the API tells how long it waited for whom, in seconds."""

    model_config = STRICT

    port: int = Field(default=8000, gt=0, lt=65536)
    """Port of the API's pods on which their metrics page lies."""
    path: str = Field(default="/metrics", pattern="^/[!-~]*$")
    """Path of that page."""
    hops: dict[Hop, Histogram] = Field(min_length=1)
    """For its context, and for the engine's first text."""


class Embeddings(BaseModel):
    """Where texts are embedded, as the vector store is filled; claim `rag-embeddings`."""

    model_config = STRICT

    gateway: Gateway
    """How requests reach it; `base_path` is what comes before /v1/embeddings."""
    model: str = Field(min_length=1)
    """Name of the model that embeds."""
    batch: int = Field(default=1, gt=0)
    """Texts of one request: so many that one machine can send five times what it carries."""


class Traces(BaseModel):
    """Where traces are told, in the way of Jaeger's or Tempo's query API; claim `rag-traces`."""

    model_config = STRICT

    gateway: Gateway
    """How that API is reached; `base_path` is what comes before /api/traces/ID."""
    services: dict[TracedHop, set[str]]
    """By which names of services each hop tells its spans (`service.name`)."""
    within_seconds: Seconds = 20.0
    """How long after an answer its spans are all there at the latest; they are sent in batches."""

    @model_validator(mode="after")
    def _tells_of_each(self) -> Self:
        if missing := sorted(set(get_args(TracedHop)) - set(self.services)):
            raise ValueError(f"say by which names {', '.join(missing)} tell their spans")
        return self


class Rag(BaseModel):
    """An application that answers by documents of its own; claim `rag`."""

    model_config = STRICT

    gateway: Gateway
    """How requests reach it, in the words of the target's own gateway; `base_path` is what comes
    before /v1/chat/completions."""
    model: str | None = None
    """Name of the model that it is asked for; default: the engine's."""
    parts: dict[Part, Selector] = {}
    """Labels of the pods of each part, in the platform's namespace."""
    facts: dict[str, str] = {}
    """Questions that only a document in the vector store answers, each with a word that the text of
    its answer then holds."""
    degradation: Degradation | None = None
    """How users are told that an answer lacks its context."""
    context_seconds: Seconds = 2.0
    """How long an answer waits for its context at most, as declared; users bear that much more."""
    session_header: HeaderName | None = None
    """Header by which a client names its session; claim `rag-sessions`."""
    metrics: HopMetrics | None = None
    """Where its latency is told by hop; None: nowhere."""
    cache: CacheMetrics | None = None
    """Where it tells how often its response cache had an answer; None: nowhere."""
    embeddings: Embeddings | None = None
    """Where its texts are embedded; None: nobody is asked for it."""

    traces: Traces | None = None
    """Where the spans of its requests are told; None: nowhere."""

    @property
    def gateways(self) -> list[Gateway]:
        """All ways in."""
        return [self.gateway, *(one.gateway for one in self._besides.values())]

    def beside(self, folder: Path) -> Self:
        """Return the same with its files resolved against the target file's folder."""
        found = {
            name: one.model_copy(update={"gateway": one.gateway.beside(folder)})
            for name, one in self._besides.items()
        }
        return self.model_copy(update={**found, "gateway": self.gateway.beside(folder)})

    @property
    def _besides(self) -> dict[str, Embeddings | Traces]:
        """What has a way in of its own, by its field."""
        found = {"embeddings": self.embeddings, "traces": self.traces}
        return {name: one for name, one in found.items() if one is not None}
