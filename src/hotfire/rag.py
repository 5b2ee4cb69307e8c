"""The retrieval-augmented application in front of the model, as the target file declares it."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from hotfire.gateway import Gateway
from hotfire.pod_roles import Selector
from hotfire.section import STRICT, Seconds

Part = Literal["api", "retriever", "vector-store", "session-store"]
Hop = Literal["retriever", "engine"]
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

    name: str = Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")
    """Its name without _sum and _count."""
    labels: dict[str, str] = {}
    """Labels of the series that are meant; default: all of them."""


class HopMetrics(BaseModel):
    """Where the API tells how long it waited for whom, in seconds."""

    model_config = STRICT

    port: int = Field(default=8000, gt=0, lt=65536)
    """Port of the API's pods on which their metrics page lies."""
    path: str = Field(default="/metrics", pattern="^/[!-~]*$")
    """Path of that page."""
    hops: dict[Hop, Histogram] = Field(min_length=1)
    """For its context, and for the engine's first text."""


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
