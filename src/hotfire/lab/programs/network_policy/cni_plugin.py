#!/usr/bin/env -S LD_LIBRARY_PATH=/opt/hotfire/python/lib /opt/hotfire/python/bin/python3 -I -S
"""Last in the node's chain of network plugins: a pod starts once the agent governs its address.

Without an agent, or where it takes too long, the pod starts all the same: its rules come when the
agent has seen it. A program of its own, run by containerd.
"""

import json
import os
import socket
import sys

SOCKET = "/run/hotfire/network-policy.sock"
_PATIENCE_SECONDS = 2.0
_VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")


def main() -> None:
    command = os.environ["CNI_COMMAND"]
    if command == "VERSION":
        json.dump({"cniVersion": _VERSIONS[-1], "supportedVersions": _VERSIONS}, sys.stdout)
    elif command == "ADD":
        result = json.load(sys.stdin)["prevResult"]
        pairs = (pair.split("=", 1) for pair in os.environ.get("CNI_ARGS", "").split(";") if pair)
        pod = dict(pairs)
        for row in result["ips"]:
            address = row["address"].split("/")[0]
            tell(SOCKET, f"{pod['K8S_POD_NAMESPACE']} {pod['K8S_POD_NAME']} {address}\n")
        json.dump(result, sys.stdout)


def tell(path: str, line: str) -> bool:
    """Return whether the agent says that it governs this pod."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE_SECONDS)
            connection.connect(path)
            connection.sendall(line.encode())
            return connection.recv(16) == b"ok\n"
    except OSError as error:
        sys.stderr.write(f"network policy: {line.strip()} starts ungoverned: {error}\n")
        return False


if __name__ == "__main__":
    main()
