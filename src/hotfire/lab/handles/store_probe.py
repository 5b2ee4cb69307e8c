"""Fetching from the model store as a client of the lab would, with an eye on time and checksum."""

import hashlib
import http.client
import json
import time
from dataclasses import dataclass
from typing import Any

from hotfire.errors import HarnessError
from hotfire.lab.machine.dependencies import MODEL_STORE_PORT
from hotfire.lab.network import netns
from hotfire.lab.shape.topology import Topology

_SECONDS = 10.0
# Enough for a rate, little enough for a slow store.
_MOST_BYTES = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One file as it arrived."""

    path: str
    sound: bool
    bytes_per_second: float


def fetch(topology: Topology, model: str = "tiny") -> Fetched:
    """Fetch the largest file of a model that is small enough, from the client machine.

    Raises:
        HarnessError: the store does not answer.
    """
    rows = json.loads(_get(topology, f"/models/{model}/manifest.json"))["files"]
    small = [row for row in rows if 0 < row["size_bytes"] <= _MOST_BYTES]
    if not small:
        raise HarnessError(f"model {model} has no file of at most {_MOST_BYTES} bytes")
    row: dict[str, Any] = max(small, key=lambda each: int(each["size_bytes"]))
    began = time.monotonic()
    content = _get(topology, f"/models/{model}/{row['path']}")
    return Fetched(
        path=row["path"],
        sound=hashlib.sha256(content).hexdigest() == row["sha256"],
        bytes_per_second=len(content) / (time.monotonic() - began),
    )


def _get(topology: Topology, path: str) -> bytes:
    with netns.inside(topology.client.network_namespace):
        connection = http.client.HTTPConnection(
            topology.store.address, MODEL_STORE_PORT, timeout=_SECONDS
        )
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        except OSError as error:
            raise HarnessError(f"the model store did not answer {path}: {error}") from error
        finally:
            connection.close()
