"""The load process of this project, as any caller starts it."""

import json
import resource
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hotfire.measure import history
from hotfire.traffic.runner import launch
from hotfire.traffic.workload.plan import LoadPlan

IN_STEP = 100


def main() -> None:
    url, mode, amount, tokens, seconds, out, *client = sys.argv[1:]
    fields: dict[str, Any] = {"url": url, "model": "truth", "max_tokens": int(tokens)}
    fields |= {"process": "constant", "in_flight_cap": 5000, "nonce": "bench"}
    fields |= {"duration_seconds": float(seconds), "deadline_seconds": 60}
    fields |= {"client": client[0]} if client else {}
    if mode == "closed":
        streams = int(float(amount))
        # So many cannot start at one moment, whoever sends; a hundred in step is what is judged.
        spread = 1.0 if streams > IN_STEP else 0.0
        fields |= {"mode": "closed", "concurrency": streams, "start_spread_seconds": spread}
    else:
        fields["rate_per_second"] = float(amount)
    plan = LoadPlan(**fields)
    with tempfile.TemporaryDirectory() as folder:
        Path(out).write_text(json.dumps(measured(plan, Path(folder))))


def measured(plan: LoadPlan, folder: Path) -> dict[str, Any]:
    """Run the load and return what it told."""
    load = launch.start(plan, history=folder / "load.jsonl", log=folder / "log")
    gates = load.wait_finished(120).instrument
    rows = history.load(load.files.history)
    ended = json.loads(load.files.ended.read_text())
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    shift = ended["anchor"]["epoch_ns"] - ended["anchor"]["monotonic_ns"]
    whole = [row for row in rows if row.complete]
    return {
        "ttft_ms": [(row.first_ns - row.sched_ns) / 1e6 for row in whole],
        "tpot_ms": [(row.last_ns - row.first_ns) / 1e6 / (row.n_out - 1) for row in whole],
        "failed": len(rows) - len(whole),
        "classes": Counter(str(row.error_class) for row in rows),
        "tripped": [gate.reason for gate in gates if not gate.holds],
        "plan": load.plan.model_dump_json(),
        "sched_ns": [(row.prompt_id, row.sched_ns - shift) for row in rows],
        "load_cpu_seconds": usage.ru_utime + usage.ru_stime,
        "measured": ended["measured"],
    }


main()
