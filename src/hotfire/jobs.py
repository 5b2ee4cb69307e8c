"""Queued inference jobs beside the model, as the target file declares them."""

from typing import Literal

from pydantic import BaseModel, Field

from hotfire.gateway import Gateway
from hotfire.pod_roles import Selector
from hotfire.section import STRICT, Seconds

Part = Literal["api", "worker", "queue"]


class Jobs(BaseModel):
    """Requests that wait in a queue, in the shape of OpenAI's Batch API; claim `batch-jobs`."""

    model_config = STRICT

    gateway: Gateway | None = None
    """How requests reach their API, in the words of the target's own gateway; `base_path` is what
    comes before /v1/files and /v1/batches. Default: the target's own gateway."""
    model: str | None = None
    """Name of the model that the jobs are for; default: the engine's."""
    parts: dict[Part, Selector] = {}
    """Labels of the pods of each part, in the platform's namespace."""
    completion_window: str = Field(default="24h", min_length=1)
    """What a batch asks for in the field of that name."""
    redelivery_seconds: Seconds = 60.0
    """How long after the death of a worker its jobs are given to another one, at most, as
    declared."""
    queue_port: int = Field(default=6379, gt=0, lt=65536)
    """Port of the queue's pods, where it is a Redis or speaks like one."""
