"""Many answers, every misbehaviour mixed in: do truth and instrument agree on each field?"""

import tempfile
from pathlib import Path

from hotfire import history
from hotfire.traffic import launch
from hotfire.traffic.plan import LoadPlan
from tests.engine_process import running_engine
from tests.truth import disagreements

RATE_PER_SECOND = 125
LATE_NS = 20_000_000


def agreement(requests: int) -> str:
    """Return one line with the number of disagreements, and the first of them."""
    timing = ("--ttft-seconds", "0.02", "--tpot-seconds", "0.005", "--stall-seconds", "0.3")
    with (
        running_engine(*timing, "--misbehaviour", "mixed") as engine,
        tempfile.TemporaryDirectory() as folder,
    ):
        plan = LoadPlan(
            url=engine.url, model="tiny", nonce="bench", max_tokens=8, ttft_seconds=2,
            stall_seconds=2, deadline_seconds=5, in_flight_cap=4000, process="constant",
            rate_per_second=RATE_PER_SECOND, duration_seconds=requests / RATE_PER_SECOND,
        )  # fmt: skip
        history_file = Path(folder) / "load.jsonl"
        load = launch.start(plan, history=history_file, log=Path(folder) / "log")
        load.wait_finished(300)
        records = engine.truth()["records"]
        rows = history.load(load.files.history)
    wrong = list(disagreements(plan, rows, records, late_ns=LATE_NS))
    kinds = len({record["misbehaviour"] for record in records})
    first = f", the first: {wrong[0]}" if wrong else ""
    return f"{len(rows)} requests, {kinds} misbehaviours: {len(wrong)} disagreements{first}"
