"""What an operator asked ``hotfire load`` for, as a plan, budgets and a witness."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import typer
from pydantic import ValidationError

from hotfire import text_files, tls
from hotfire.cli.way_in import open_way_in
from hotfire.engines.dialect import Dialect, dialect_of
from hotfire.errors import ProfileError
from hotfire.lab import default_target
from hotfire.measure.crosscheck import USUAL
from hotfire.patience import Patience
from hotfire.profile import PRESETS, Budgets, TargetProfile
from hotfire.prometheus import Prometheus
from hotfire.traffic.process.seal import REMEDY, VARIABLE, given_token
from hotfire.traffic.runner.rated import rated_plan
from hotfire.traffic.witnesses import vllm_bench
from hotfire.traffic.witnesses.witness import Witness, engine_at, prometheus_at, unheard
from hotfire.traffic.workload.limits import GateLimits
from hotfire.traffic.workload.plan import Fleet, LoadPlan, check_schedule
from hotfire.traffic.workload.secret import Secrets

_ANYTHING: Final = "http://127.0.0.1"
_SECONDS: Final = 60.0
_BESIDE_SECONDS: Final = 2.0
"""For a page of metrics that nobody named: an engine that has one tells it at once."""
_ONE_RATE: Final = "each of its trials has one rate in an open loop"
_ONE_LOAD: Final = "it is for one load; measure so at the rate that was found, with --rate"
_NOT_SEARCHED: Final = {
    "calibrate": "it is another task",
    "ramp": _ONE_RATE,
    "steps": _ONE_RATE,
    "trace": _ONE_RATE,
    "concurrency": _ONE_RATE,
    "metrics": _ONE_LOAD,
    "json": _ONE_LOAD,
    "cross_check": _ONE_LOAD,
}
"""Options that a search cannot follow, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """The options of ``hotfire load``, one by one."""

    target: Path | None = None
    url: str | None = None
    model: str | None = None
    plan: Path | None = None
    rate: float | None = None
    process: str | None = None
    burstiness: float | None = None
    duration: float | None = None
    warmup: float | None = None
    ramp: float | None = None
    steps: str | None = None
    trace: Path | None = None
    trace_unit: str | None = None
    trace_block: int | None = None
    concurrency: int | None = None
    workers: int | None = None
    client: str | None = None
    prompts: str | None = None
    prompt_words: int | None = None
    max_tokens: int | None = None
    seed: int | None = None
    budget: list[str] | None = None
    metrics: str | None = None
    run_dir: Path | None = None
    json: bool = False
    calibrate: bool = False
    find_rate: bool = False
    cross_check: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The order, understood."""

    name: str
    """Of the target, in reports."""
    plan: LoadPlan
    budgets: Budgets | None
    """None: nothing was promised, so the load only measures."""
    witness: Witness | None
    unheard: frozenset[str] = frozenset()
    """Servers that the witness does not ask."""
    network_namespace: str | None = None
    profile: TargetProfile | None = None
    """None: the target was named by options alone."""

    @property
    def dialect(self) -> Dialect:
        """How its engines tell of themselves."""
        return dialect_of(self.profile.engine.kind) if self.profile else USUAL


def understood(order: LoadOptions) -> Task:
    """Return what to do.

    Raises:
        ProfileError: an option or the target file forbids it; the message says what to write.
    """
    _check_search(order)
    written = _written(order.plan)
    profile = _profile(order, written)
    try:
        plan = _plan(order, written, profile)
    except ValidationError as error:
        raise ProfileError(_explained(error)) from error
    if order.cross_check is not None:
        vllm_bench.check_comparable(plan)
    # Refused before anything is recorded: what cannot be read or searched, and plans that send
    # nothing.
    check_schedule(plan.self_contained())
    if profile is not None:
        open_way_in(profile, typer.echo)
    if plan.fleet.at == "here":
        _refuse_unreadable(plan)
    elif (profile is None or profile.load.pods is None) and given_token() is None:
        raise ProfileError(f'fleet.at: "elsewhere" needs {VARIABLE}: {REMEDY}')
    namespace = profile.gateway.network_namespace if profile else None
    if namespace is None and not order.calibrate:
        _resolve(plan)
    return Task(
        name=profile.name if profile else plan.url,
        plan=plan,
        budgets=_budgets(order, profile),
        witness=_witness(order, profile, plan),
        unheard=unheard(profile),
        network_namespace=namespace,
        profile=profile,
    )


def _refuse_unreadable(plan: LoadPlan) -> None:
    Secrets(plan)
    if plan.secure:
        tls.context(**plan.tls_files)


def _check_search(order: LoadOptions) -> None:
    for field, why in _NOT_SEARCHED.items() if order.find_rate else ():
        given = getattr(order, field)
        if given is not None and given is not False:
            option = f"--{field.replace('_', '-')}"
            raise ProfileError(f"--find-rate and {option} exclude each other: {why}; drop one")


def _written(path: Path | None) -> dict[str, Any]:
    """Return the fields of a plan file; they go before a target's, and options before them."""
    if path is None:
        return {}
    try:
        document = json.loads(text_files.read(path), object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError) as error:
        raise ProfileError(f"--plan: {path} cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise ProfileError(f"--plan: {path} is no JSON object with fields of a plan")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object each of whose keys comes once: of two, the reader would see either."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1)
        raise ValueError(f"{twice!r} comes twice, drop one")
    return found


def _profile(order: LoadOptions, written: dict[str, Any]) -> TargetProfile | None:
    if order.calibrate:
        return None
    if "url" in written and order.target is None and order.url is None:
        return None
    if order.url is not None:
        if order.target is not None:
            raise ProfileError("--target and --url exclude each other; drop one")
        if order.model is None and "model" not in written:
            raise ProfileError("--url needs --model, the name under which the model is served")
        return None
    path = order.target or default_target()
    if order.target is None and not path.exists():
        raise ProfileError("no lab stands: name a target by --target FILE, or --url and --model")
    return TargetProfile.read(path)


def _plan(order: LoadOptions, written: dict[str, Any], profile: TargetProfile | None) -> LoadPlan:
    changes = {"duration_seconds": _SECONDS} | written | _changes(order)
    if profile is not None:
        plan = rated_plan(profile, **changes)
        # A search is many loads, and pods are there for one.
        return plan.model_copy(update={"fleet": Fleet()}) if order.find_rate else plan
    gates = GateLimits(tpot_budget_seconds=(_budgets(order, None) or Budgets()).tpot_p95_seconds)
    named = {"url": _ANYTHING, "model": "tiny", "gates": gates}
    asked = {"url": order.url} if order.url else {}
    return LoadPlan.model_validate(named | changes | asked)


def _changes(order: LoadOptions) -> dict[str, Any]:
    """Return the plan's fields that options name."""
    fields: dict[str, Any] = {
        "rate_per_second": order.rate,
        "process": order.process,
        "burstiness": order.burstiness,
        "duration_seconds": order.duration,
        "warmup_seconds": order.warmup,
        "rate_end_per_second": order.ramp,
        "trace_unit": order.trace_unit,
        "trace_block_tokens": order.trace_block,
        "concurrency": order.concurrency,
        "workers": order.workers,
        "client": order.client,
        "prompt_words": order.prompt_words,
        "max_tokens": order.max_tokens,
        "seed": order.seed,
        "model": order.model,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    if order.steps is not None:
        given["steps"] = list(_steps(order.steps))
        given["duration_seconds"] = sum(step["seconds"] for step in given["steps"])
    if order.trace is not None:
        given |= {"process": "trace", "trace": order.trace}
    if order.concurrency is not None:
        given["mode"] = "closed"
    if order.cross_check is not None:
        # Refused before the load, not after it.
        vllm_bench.site_packages()
        given["path"] = vllm_bench.PATH
    if order.prompts is not None:
        known = order.prompts in {"words", "echo"}
        given["prompts"] = {"source": order.prompts} if known else {"file": order.prompts}
    return given


def _steps(text: str) -> Iterator[dict[str, float]]:
    for part in text.split(","):
        rate, _, seconds = part.strip().partition("x")
        try:
            yield {"rate_per_second": float(rate), "seconds": float(seconds)}
        except ValueError as error:
            raise ProfileError(
                f"--steps: {part!r} is not RATExSECONDS; write e.g. 5x30,10x30"
            ) from error


def _budgets(order: LoadOptions, profile: TargetProfile | None) -> Budgets | None:
    found: dict[str, Any] = profile.budgets.model_dump() if profile else {}
    for text in order.budget or ():
        name, given, limit = text.partition("=")
        if not given and name not in PRESETS:
            presets = ", ".join(sorted(PRESETS))
            raise ProfileError(f"--budget: {text!r} is neither NAME=LIMIT nor one of {presets}")
        if given and name not in Budgets.model_fields:
            known = ", ".join(Budgets.model_fields)
            raise ProfileError(f"--budget: no budget {name!r}; there are {known}")
        found |= {name: limit} if given else PRESETS[name].model_dump()
    try:
        return Budgets.model_validate(found) if found else None
    except ValidationError as error:
        raise ProfileError(f"--budget: {_explained(error)}") from error


def _witness(order: LoadOptions, profile: TargetProfile | None, plan: LoadPlan) -> Witness | None:
    if order.metrics is not None:
        return engine_at(_page(order.metrics), ca_file=plan.ca_file)
    if profile is not None and profile.prometheus_url:
        patience = Patience(outage_seconds=profile.waits.api_outage_seconds, tell=typer.echo)
        return prometheus_at(
            Prometheus(profile.prometheus_url, patience=patience), dialect_of(profile.engine.kind)
        )
    # An engine that is asked directly has its page beside the API; behind a gateway it is silent.
    # The page is asked for by the URL's own name, so a certificate of another name is no witness.
    alone = profile is None and not plan.server_name
    if not alone:
        return None
    return engine_at(plan.url, ca_file=plan.ca_file, within_seconds=_BESIDE_SECONDS)


def _page(url: str) -> str:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ProfileError(
            f"--metrics: {url!r} is no http or https URL; write e.g. http://10.0.0.7:8000/metrics"
        )
    return url


def _resolve(plan: LoadPlan) -> None:
    host, port = plan.address
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        shown = urlsplit(plan.url).netloc
        raise ProfileError(f"{shown}: the name does not resolve: {error}; check the URL") from error


def _explained(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{field}: {message}" if field else message
