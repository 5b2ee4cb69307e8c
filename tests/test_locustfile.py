"""The locustfile shares its thread too; importing Locust patches a process, so it has its own."""

import json
import subprocess
import sys

PROGRAM = """
import json, time
from types import SimpleNamespace
from hotfire.traffic.process import locustfile
import gevent
from hotfire.measure.history import Request

def others():
    while True:
        at = time.monotonic()
        gevent.sleep(0.001)
        waits.append(time.monotonic() - at)

told, waits = [], []
request = SimpleNamespace(fire=lambda **row: (told.append(row), time.perf_counter()))
process = object.__new__(locustfile.Process)
process.environment = SimpleNamespace(events=SimpleNamespace(request=request))
rows = (Request(seq=seq, sched_ns=0, end_ns=seq) for seq in range(150_000))
gevent.spawn(others)
gevent.sleep(0)
began = time.monotonic()
process.fire_all(rows)
gevent.sleep(0.005)
print(json.dumps({"told": len(told), "worst": max(waits), "took": time.monotonic() - began}))
"""


def test_a_backlog_of_reports_lets_others_run_and_is_told_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=300
    )

    found = json.loads(done.stdout)
    assert found["told"] == 150_000
    assert found["worst"] < found["took"] / 4
