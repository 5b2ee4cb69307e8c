"""The announcer of one node: keeps BIRD's list of Service addresses at what the node serves.

It changes nothing while the API server cannot be asked, and BIRD goes on without it.
"""

import logging
import subprocess
import threading
from ipaddress import IPv4Network
from pathlib import Path

from hotfire.lab.programs.network_policy.watch import Api

from .mirror import Mirror
from .services import announced

_PATHS = ("/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices")
_BIRD_SECONDS = 10
_RETRY_SECONDS = 1.0
_log = logging.getLogger("service-addresses")


def run(api: Api, node: str, pool: IPv4Network, *, config: Path, socket: str) -> None:
    """Announce as long as the process lives."""
    changed = threading.Event()
    services, slices = Mirror(changed), Mirror(changed)
    for mirror, path in zip((services, slices), _PATHS, strict=True):
        mirror.follow(api, path)
    told: str | None = None
    while True:
        changed.wait()
        changed.clear()
        if not (services.listed and slices.listed):
            continue
        text = bird_config(announced(node, services.objects(), slices.objects(), pool))
        if text == told:
            continue
        if tell(text, config, socket):
            told = text
        else:
            threading.Event().wait(_RETRY_SECONDS)
            changed.set()


def bird_config(addresses: list[str]) -> str:
    """Return the part of BIRD's configuration that announces these addresses."""
    routes = "".join(f"route {each}/32 blackhole; " for each in addresses)
    return f"protocol static balanced {{ ipv4; {routes}}}\n"


def tell(text: str, config: Path, socket: str) -> bool:
    """Give BIRD its list anew; return whether it has it."""
    config.write_text(text)
    words = ["birdc", "-s", socket, "configure"]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=_BIRD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        _log.warning("BIRD does not answer")
        return False
    if "Reconfigur" in done.stdout:
        _log.info("%s", text.strip())
        return True
    _log.warning("BIRD does not take it: %s", (done.stdout + done.stderr).strip())
    return False
