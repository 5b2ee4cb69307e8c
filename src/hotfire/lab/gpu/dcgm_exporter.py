"""The lab's stand-in for NVIDIA's DCGM exporter: the same metrics, from what containers really do.

Run in the DaemonSet ``nvidia-dcgm-exporter``. It measures once a second, tells `nvidia-smi` of it
in files of the node, and Prometheus on port 9400. What the lab's GPUs do not have (NVLink, ECC,
encoders) has no series: absent means not observable, never zero.
"""

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from hotfire.agent import kubelet
from hotfire.agent.host import Host, OperationError
from hotfire.lab.gpu.gpu_device import HEALTH, LIVE, LIVE_FILE, scan, xids
from hotfire.lab.gpu.gpu_load import Holder, Meter, holders, loads, of_devices
from hotfire.lab.gpu.gpu_metrics import GpuSample, render

PORT = 9400
_SECONDS = 1.0


class Collector:
    """Measures the node's devices again and again; ``text`` is the last result."""

    def __init__(self, host: Host, node: str) -> None:
        self.text = ""
        self._host = host
        self._node = node
        self._devices = list(scan(host.path("/dev")))
        self._meter = Meter(host)
        self._held: dict[str, list[Holder]] = {}
        self._energy_millijoules = dict.fromkeys((one.gpu for one in self._devices), 0.0)

    def collect(self) -> None:
        """Measure, and tell node and scrapers."""
        held = self._read_holders()
        found = of_devices(self._devices, loads(held, self._meter.usages(held)))
        for gpu in self._energy_millijoules:
            self._energy_millijoules[gpu] += found[gpu].power_watts * 1000 * _SECONDS
        faults = xids(self._host.path(str(HEALTH)))
        samples = [
            GpuSample(
                device=device,
                load=found[device.uuid],
                gpu=found[device.gpu],
                xid=faults.get(device.gpu, 0),
                energy_millijoules=round(self._energy_millijoules[device.gpu]),
                held_by=tuple(held.get(device.uuid, ())),
            )
            for device in self._devices
        ]
        self.text = render(samples, self._node)
        self._publish(samples)

    def _read_holders(self) -> dict[str, list[Holder]]:
        # While the kubelet is down, what it gave out before stays given out.
        with contextlib.suppress(OperationError):
            self._held = holders(kubelet.pod_resources(self._host))
        return self._held

    def _publish(self, samples: Iterable[GpuSample]) -> None:
        """Leave each device's state where `nvidia-smi` finds it."""
        for sample in samples:
            directory = self._host.path(str(LIVE / sample.device.uuid))
            directory.mkdir(parents=True, exist_ok=True)
            unfinished = directory / (LIVE_FILE + ".new")
            unfinished.write_text(json.dumps(_state(sample)), encoding="utf-8")
            unfinished.rename(directory / LIVE_FILE)


def _state(sample: GpuSample) -> dict[str, object]:
    return {
        "utilization_percent": sample.load.utilization_percent,
        "memory_copy_percent": sample.load.memory_copy_percent,
        "memory_used_mebibytes": sample.load.memory_used_mebibytes,
        "temperature_celsius": sample.gpu.temperature_celsius,
        "power_watts": sample.gpu.power_watts,
        "sm_clock_megahertz": sample.gpu.sm_clock_megahertz,
        "xid": sample.xid,
        # Process ids mean something in the node's namespace only; in a container they are hidden.
        "pid_namespace": str(Path("/proc/self/ns/pid").readlink()),
        "processes": list(sample.load.processes),
    }


def serve(collector: Collector, address: tuple[str, int]) -> ThreadingHTTPServer:
    """Serve ``/metrics`` and ``/health`` in a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = {"/metrics": collector.text, "/health": "OK"}.get(self.path, "").encode()
            self.send_response(HTTPStatus.OK if body else HTTPStatus.NOT_FOUND)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(address, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    collector = Collector(Host(prefix=(), root=Path("/host")), os.environ["NODE_NAME"])
    collector.collect()
    serve(collector, ("", PORT))
    while not stop.wait(_SECONDS):
        collector.collect()


if __name__ == "__main__":
    main()
