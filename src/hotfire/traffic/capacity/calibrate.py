"""Measures the instrument itself: a load against an engine that writes down what it did."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from hotfire import bounded
from hotfire.engine import scripted
from hotfire.errors import InstrumentError
from hotfire.measure.history import Request
from hotfire.measure.percentiles import percentile
from hotfire.measure.request_times import e2e_seconds, tpot_seconds, ttft_seconds
from hotfire.private_folder import private_folder
from hotfire.traffic.record.calibration import Calibration, Error, Host
from hotfire.traffic.runner import launch
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.prompts import Prompts
from hotfire.traffic.workload.texts import Texts

MODEL: Final = "tiny"
LEAST_REQUESTS: Final = 100
_PROMPT_KEPT: Final = 80
"""Characters of a prompt in the engine's record."""
_NANO: Final = 1e-9
_ENGINE_SECONDS: Final = 20.0
_MARGIN_SECONDS: Final = 90.0
_RECORD_BYTES: Final = 256 << 20
"""Of our own engine: a third of a kilobyte a request."""

Truths = Mapping[str, Mapping[str, Any]]


def calibrate(plan: LoadPlan, *, engine_ttft: float, engine_tpot: float) -> Calibration:
    """Run the plan against a scripted engine of its own, and return how far each figure is off.

    The engine's times are in seconds.

    Raises:
        InstrumentError: fewer than a hundred requests can be compared with their truth.
    """
    with tempfile.TemporaryDirectory(prefix="calibrate-", dir=private_folder()) as folder:
        times = ("--ttft-seconds", str(engine_ttft), "--tpot-seconds", str(engine_tpot))
        with engine(*times) as url:
            # Each prompt names its request: only so can the engine's record be told apart.
            own = {"url": url, "model": MODEL, "prompts": Prompts(), "tenants": ()}
            here = plan.model_copy(update=own)
            load = launch.start(
                here, history=Path(folder, "load.jsonl"), log=Path(folder, "load.log")
            )
            try:
                load.wait_started()
                report = load.wait_finished(plan.duration_seconds + _MARGIN_SECONDS)
            finally:
                if load.alive():
                    load.kill()
            truths = _truths(url)
        return compare(load.plan, load.rows(), truths, fit=report.valid)


def compare(plan: LoadPlan, rows: Sequence[Request], truths: Truths, *, fit: bool) -> Calibration:
    """Return how far the rows are off the engine's own record.

    The record's stamps are taken just before a token is written, so what the kernel and the
    engine's process add counts as the instrument's error: it is an upper bound.

    Raises:
        InstrumentError: fewer than a hundred requests have a truth.
    """
    texts = Texts(plan)
    pairs = [
        (row, truth)
        for row in rows
        if row.complete
        and (truth := truths.get(texts.prompt(row.prompt_id)[:_PROMPT_KEPT]))
        and truth["first_ns"]
    ]
    if len(pairs) < LEAST_REQUESTS:
        raise InstrumentError(
            f"{len(pairs)} requests of {len(rows)} can be compared with the engine's record,"
            f" {LEAST_REQUESTS} are needed: calibrate longer or at a higher rate"
        )
    errors = {name: _error(pairs, name) for name in _TRUE}
    span = (pairs[-1][0].sched_ns - pairs[0][0].sched_ns) * _NANO
    return Calibration(
        host=Host.this(),
        at=datetime.now(UTC),
        rate_per_second=plan.rate_per_second,
        max_tokens=plan.max_tokens,
        requests=len(pairs),
        tokens_per_second=sum(row.n_out or 0 for row, _ in pairs) / span if span else 0.0,
        workers=plan.workers,
        true_ttft_seconds=float(np.mean([_true_ttft(*pair) for pair in pairs])),
        true_tpot_seconds=float(np.mean([_true_tpot(*pair) for pair in pairs])),
        fit=fit,
        **errors,
    )


def _true_ttft(row: Request, truth: Mapping[str, Any]) -> float:
    return float(truth["first_ns"] - row.sched_ns) * _NANO


def _true_tpot(_row: Request, truth: Mapping[str, Any]) -> float:
    steps = max(1, int(truth["tokens"]) - 1)
    return float(truth["last_ns"] - truth["first_ns"]) * _NANO / steps


def _true_e2e(row: Request, truth: Mapping[str, Any]) -> float:
    return float(truth["last_ns"] - row.sched_ns) * _NANO


_TRUE: Final = {
    "ttft": (ttft_seconds, _true_ttft),
    "tpot": (tpot_seconds, _true_tpot),
    "e2e": (e2e_seconds, _true_e2e),
}


def _error(pairs: Sequence[tuple[Request, Mapping[str, Any]]], name: str) -> Error:
    measure, true = _TRUE[name]
    seen = [(measure(row), true(row, truth)) for row, truth in pairs]
    errors = np.array([value - known for value, known in seen if value is not None])
    if not len(errors):
        raise InstrumentError(f"no request has a {name}: ask for at least two tokens")
    return Error(
        mean_seconds=float(errors.mean()),
        p50_seconds=float(np.median(errors)),
        p95_seconds=float(percentile(np.abs(errors), 95)),
        max_seconds=float(np.abs(errors).max()),
    )


@contextmanager
def engine(*arguments: str) -> Iterator[str]:
    """Run a scripted engine in a process of its own, on a free port of the loopback interface.

    Raises:
        InstrumentError: it did not start.
    """
    command = [sys.executable, "-I", "-S", str(Path(scripted.__file__)), "--host", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "--port", "0", "--model", MODEL, *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("listening on"):
                raise InstrumentError(f"the scripted engine did not start; it said {line!r}")
            yield f"http://127.0.0.1:{int(line.split()[-1])}"
        finally:
            process.kill()


def _truths(url: str) -> Truths:
    """Return the engine's records by the beginning of their prompts."""
    page = bounded.get(
        f"{url}/admin/truth", deadline_seconds=_ENGINE_SECONDS, wire_bytes=_RECORD_BYTES
    )
    try:
        document = json.loads(page.content)
    except ValueError as error:
        why = page.error or error
        raise InstrumentError(f"the scripted engine does not tell its record: {why}") from error
    return {record["prompt"]: record for record in document["records"]}
