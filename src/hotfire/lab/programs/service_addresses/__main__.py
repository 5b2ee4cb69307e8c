"""Run the controller (``assign POOL``) or, on a node, its announcer (``announce ...``)."""

import logging
import os
import sys
from ipaddress import IPv4Network
from pathlib import Path

from hotfire.lab.programs.network_policy.watch import Api

from . import announcer, controller


def main(words: list[str]) -> None:
    """Do one of the two parts until killed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if words[0] == "assign":
        env = os.environ
        api = Api(env["KUBERNETES_SERVICE_HOST"], int(env["KUBERNETES_SERVICE_PORT"]))
        controller.run(api, IPv4Network(words[1]))
    else:
        node, pool, host, port, account, client, config, socket = words[1:]
        api = Api(host, int(port), Path(account), client)
        announcer.run(api, node, IPv4Network(pool), config=Path(config), socket=socket)


if __name__ == "__main__":
    main(sys.argv[1:])
