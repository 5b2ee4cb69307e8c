"""How workers of the load run as pods of the cluster, as the target file says it."""

from typing import Literal

from pydantic import BaseModel, Field

from hotfire.section import STRICT


class LoadPods(BaseModel):
    """How workers of the load run as pods of the cluster."""

    model_config = STRICT

    master_host: str = Field(min_length=1)
    """Address of the machine that runs hotfire, as pods reach it."""
    master_port: int = Field(default=5557, gt=0, lt=65536)
    """Port the workers connect to there; Locust's own default."""
    image: str = "docker.io/library/python:3.11-slim"
    """Image with Python in which hotfire is installed, or that finds it in host_libraries."""
    host_libraries: list[str] = []
    """Directories of the nodes that are lent to the pods and hold Python packages, hotfire's
    among them; for clusters that cannot pull an image that has them."""
    off_accelerators: Literal["preferred", "required"] = "preferred"
    """Whether the pods may use accelerator nodes where there is no room on others."""
    cpu: str = "1"
    """CPU a pod asks for; one process uses at most one core."""
    memory: str = "256Mi"
    """Memory a pod asks for; Locust and 800 streams need less than half of it."""
