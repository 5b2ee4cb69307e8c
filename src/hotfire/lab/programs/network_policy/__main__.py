"""Run the agent: ``python3 -m network_policy`` in the DaemonSet of that name."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from . import watch
from .agent import PATHS, Agent, nft
from .served import serve_http, serve_plugin

SOCKET = Path("/run/hotfire/network-policy.sock")
HTTP_PORT = 9478


def main() -> None:
    """Watch, enforce and answer until SIGTERM; the rules outlive the agent."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    stop = threading.Event()
    env = os.environ
    api = watch.Api(env["KUBERNETES_SERVICE_HOST"], int(env["KUBERNETES_SERVICE_PORT"]))
    agent = Agent(env["NODE_NAME"], nft)
    for kind, path in PATHS.items():
        _background(watch.follow, api, path, agent.sink(kind), stop)
    _background(serve_plugin, agent, SOCKET)
    _background(serve_http, agent, env["NODE_ADDRESS"], HTTP_PORT)
    agent.run(stop)


def _background(work: Callable[..., None], *args: object) -> None:
    threading.Thread(target=work, args=args, daemon=True).start()


if __name__ == "__main__":
    main()
