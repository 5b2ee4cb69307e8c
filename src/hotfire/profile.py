"""The target file: what the operator says about the platform under test."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from hotfire import text_files, yaml_text
from hotfire.accelerator import Accelerator
from hotfire.canary import Canary
from hotfire.clients import Clients
from hotfire.engine_groups import EngineGroups
from hotfire.errors import ProfileError
from hotfire.gateway import Gateway, split_url
from hotfire.load_pods import LoadPods
from hotfire.machines import ControlPlane, Power
from hotfire.pod_roles import PodRole, Selector, require_apart, with_engine_role
from hotfire.rag import Rag
from hotfire.revision import Revision
from hotfire.section import STRICT, Seconds
from hotfire.upkeep import Upkeep
from hotfire.waits import Waits

Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of the target file: unknown keys are refused, values never change."""

    model_config = STRICT


class Engine(Section):
    """The inference engine whose pods serve the model."""

    kind: Literal[
        "vllm", "sglang", "tensorrt-llm", "tgi", "llama-cpp", "lmdeploy", "dynamo", "ray-serve",
        "llm-d-inference-sim", "generic",
    ] = "vllm"  # fmt: skip
    """Which engine's metric names and probe paths apply; generic: any other, of whose metrics
    nothing is known."""
    model: str = Field(min_length=1)
    """Name under which the model is served."""
    aliases: list[str] = []
    """Other names under which it may answer: that of an adapter's base model, a dated version."""
    other_models: list[str] = []
    """Names of other models that the same gateway serves."""
    selector: dict[str, str] = {"app": "vllm"}
    """Labels of the engine pods; those of the reference stack."""
    container: str = "vllm"
    """Container of the pod that holds the engine; that of the reference stack."""
    port: int = Field(default=8000, gt=0, lt=65536)
    """Port of the engine's HTTP server; vLLM's default."""
    metrics_port: int | None = Field(default=None, gt=0, lt=65536)
    """Port of its metrics page; default: what its kind uses, mostly ``port``."""
    metrics_path: str | None = Field(default=None, pattern="^/[!-~]*$")
    """Path of its metrics page; default: what its kind uses."""
    context_tokens: int | None = Field(default=None, gt=0)
    """Most tokens of prompt and answer together, as declared; None: what the engine itself tells
    (``max_model_len`` among its models)."""
    replicas_per_node: int = Field(default=1, gt=0)
    """Most replicas of the model on one node; with one, a node's loss costs one replica."""
    revision: Revision | None = None
    """What is in production, by the model registry; None: nothing is declared."""

    @property
    def label_selector(self) -> str:
        """The selector in Kubernetes' own notation, e.g. ``app=vllm``."""
        return ",".join(f"{key}={value}" for key, value in sorted(self.selector.items()))


class StackChoice(Section):
    """Which reference stack is deployed, if any."""

    deploy: bool = True
    """Whether hotfire deploys the reference stack; false certifies what already runs."""
    overlay: str = "lab"
    """Folder below reference-stack/overlays."""
    canary_weight: int = Field(default=5, ge=0, le=100)
    """Percent of requests that the canary should get, as declared; a usual first promotion step."""
    roles: dict[PodRole, Selector] = {}
    """Labels of the pods that play a role, in the platform's namespace; the engine's are
    ``engine.selector`` where they are not said here."""

    @field_validator("roles")
    @classmethod
    def _differ(cls, value: dict[PodRole, Selector]) -> dict[PodRole, Selector]:
        require_apart(value)
        return value


class RatedLoad(Section):
    """The load the platform promises to carry, under which everything is measured."""

    rate_per_second: float = Field(default=8.0, gt=0)
    """Arrivals per second, open loop; the least at which the default hold shows 2 % failures."""
    max_tokens: int = Field(default=16, gt=0)
    """Output tokens asked for; enough for a TPOT, short enough for small machines."""
    prompt_words: int = Field(default=32, gt=0)
    """Words in each prompt; a short chat turn."""
    deadline_seconds: Seconds = 30.0
    """Time after which the client gives a request up; usual for a chat page."""
    stall_seconds: Seconds = 10.0
    """Longest pause within a stream before the client gives up; a user reloads by then."""
    most_at_once: int | None = Field(default=None, gt=0)
    """Requests in flight, waiting ones included, beyond which more are refused, as declared; None:
    nothing is declared."""
    workers: int = Field(default=1, gt=0)
    """Load processes; one carries about 15,000 tokens per second."""
    pods: LoadPods | None = None
    """Where the cluster's pods find the load's master; None: workers run beside hotfire."""


class Budgets(Section):
    """The SLO: what a user was promised. None means not budgeted."""

    error_ratio: Ratio | None = None
    """Share of scheduled requests (0-1) that may be incomplete."""
    bystander_error_ratio: Ratio | None = None
    """The same of the requests that what a fault hit did not answer; looked at where answers tell
    who gave them."""
    ttft_p95_seconds: Seconds | None = None
    """Time from scheduled arrival to first token, 95th percentile."""
    ttft_p99_seconds: Seconds | None = None
    """Time from scheduled arrival to first token, 99th percentile; needs 1000 requests."""
    tpot_p95_seconds: Seconds | None = None
    """Mean time per output token after the first, 95th percentile."""
    tpot_p99_seconds: Seconds | None = None
    """Mean time per output token after the first, 99th percentile; needs 1000 requests."""
    e2e_p95_seconds: Seconds | None = None
    """Time from scheduled arrival to the last token, 95th percentile."""
    e2e_p99_seconds: Seconds | None = None
    """Time from scheduled arrival to the last token, 99th percentile; needs 1000 requests."""
    recovery_seconds: Seconds | None = None
    """Time from the proven end of a fault until users are served as before."""
    lost_streams: int | None = Field(default=None, ge=0)
    """Streams that may be cut after their headers during one fault."""
    longest_stall_seconds: Seconds | None = None
    """Longest pause between two chunks of any stream."""
    withdrawal_seconds: Seconds | None = None
    """Time from the roll-out of a bad canary until a promotion gate has taken all users from it;
    looked at where `promotion-gate` is claimed."""

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, value: object) -> object:
        """Accept ``budgets: lab`` and ``budgets: {preset: lab, error_ratio: 0.02}``."""
        if isinstance(value, str):
            value = {"preset": value}
        if not (isinstance(value, dict) and "preset" in value):
            return value
        rest = {name: limit for name, limit in value.items() if name != "preset"}
        return PRESETS[_preset_name(value["preset"])].model_dump() | rest


def _preset_name(name: object) -> str:
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; there are {', '.join(sorted(PRESETS))}")
    return str(name)


def _mlperf(ttft_p99_seconds: float, tpot_p99_seconds: float) -> Budgets:
    """Limits of MLPerf Inference's server scenario; it counts every request, so no errors."""
    return Budgets(
        error_ratio=0.0, ttft_p99_seconds=ttft_p99_seconds, tpot_p99_seconds=tpot_p99_seconds
    )


PRESETS: dict[str, Budgets] = {
    # A tiny model on two shared CPU cores; an engine restart alone costs 30 CPU-seconds there.
    "lab": Budgets(
        error_ratio=0.02,
        ttft_p95_seconds=2.0,
        tpot_p95_seconds=0.2,
        e2e_p95_seconds=6.0,
        recovery_seconds=120.0,
        longest_stall_seconds=10.0,
    ),
    "mlperf-llama2-70b": _mlperf(2.0, 0.2),
    "mlperf-llama2-70b-interactive": _mlperf(0.45, 0.04),
    "mlperf-llama3.1-8b": _mlperf(2.0, 0.1),
    "mlperf-llama3.1-8b-interactive": _mlperf(0.5, 0.03),
    "mlperf-llama3.1-405b": _mlperf(6.0, 0.175),
    "mlperf-llama3.1-405b-interactive": _mlperf(4.5, 0.08),
}


class Measurement(Section):
    """How long and how much is measured before something is believed."""

    baseline_seconds: Seconds = 60.0
    """Shortest baseline before a fault; covers a minute's worth of periodic work."""
    baseline_requests: int = Field(default=300, gt=0)
    """Fewest requests in the baseline; three p95 sample floors."""
    window_seconds: Seconds = 30.0
    """Width of the sliding window that decides recovery."""
    window_requests: int = Field(default=100, gt=0)
    """Fewest requests in that window; the sample floor of a p95."""
    hold_seconds: Seconds = 60.0
    """How long users must stay served as before until recovery is believed."""
    slo_requests: int = Field(default=1000, gt=0)
    """Requests of an SLO measurement; the sample floor of a p99."""
    soak_seconds: Seconds = 3600.0
    """How long a steady load must leave everything as it was; a certification takes eight hours."""
    band_factor: float = Field(default=1.25, ge=1)
    """How far above the baseline a latency may lie and still count as before."""
    band_floor_seconds: Seconds = 0.05
    """TTFT above the baseline that always counts as before; below it lies scheduling noise."""
    band_floor_tpot_seconds: Seconds = 0.005
    """The same for TPOT; a tenth, since one token's noise is averaged over the stream."""
    batch_seconds: Seconds = 2.0
    """Length of the batches whose spread is the target's own noise; longer than most hiccups."""
    false_alarm_probability: float = Field(default=0.001, gt=0, lt=0.5)
    """Chance over a whole hold that a service as good as before is called worse."""
    power: float = Field(default=0.8, ge=0.5, lt=1)
    """Least chance of finding an effect worth finding; below it nothing is said to be as before."""
    effect_factor: float = Field(default=1.6, gt=1)
    """Rise of TTFT or TPOT worth finding; half as slow again is what users begin to notice."""
    effect_error_ratio: float = Field(default=0.02, gt=0, lt=1)
    """Share of failed requests after a fault worth finding."""
    sound_error_ratio: float = Field(default=0.001, ge=0, lt=1)
    """Share of failed requests that a sound service may have without a fault."""


class Fabric(Section):
    """The wiring between nodes; only claims about it are checked."""

    uplinks: list[str] = []
    """Interface names of each node's uplinks."""
    routing: Literal["bird"] | None = None
    """Routing daemon on the nodes; None: not observable."""
    bfd_detection_seconds: Seconds = 0.3
    """BFD interval times multiplier; 100 ms x 3 is short without false alarms."""
    rack_label: str = "topology.kubernetes.io/zone"
    """Node label that names the rack."""


Role = Literal["gateway-control-plane", "monitoring", "operator", "autoscaler"]


class Component(Section):
    """A part of the platform that faults may take away."""

    namespace: str
    name: str
    kind: Literal["Deployment", "StatefulSet"] = "Deployment"


class Images(Section):
    """Stock images that carry our code; point them at a mirror where there is one."""

    python: str = Field(
        default="docker.io/library/python:3.11-slim", pattern=r"^[^@\s]+(@sha256:[0-9a-f]{64})?$"
    )
    """Runs the node agent and the scripted engine; both need the standard library only.

    Pinned by digest (``python@sha256:...``) no registry can put another one in its place."""


class Agent(Section):
    """The node agent, a privileged DaemonSet that exists for the length of a run."""

    lease_seconds: Seconds = Field(default=120.0, le=3600)
    """Time after which a node heals by itself when the runner is gone; it renews at a third."""
    tolerations: list[dict[str, str]] = [{"operator": "Exists"}]
    """Tolerations of its pods; by default it runs on tainted nodes too."""


class TargetProfile(Section):
    """One target file."""

    name: str = Field(min_length=1)
    """Name of the platform in reports."""
    kubeconfig: Path | None = None
    """Path of the kubeconfig, relative to the target file; default: kubectl's own search."""
    context: str | None = None
    """Context in it; default: its current one."""
    namespace: str = "hotfire-stack"
    """Namespace of the reference stack, or of the platform when nothing is deployed."""
    system_namespace: str = "hotfire-system"
    """Namespace of the node agent, the undo copies and the lease."""
    allowed_namespaces: list[str] = []
    """Namespaces that faults may touch; default: namespace only. That of a stack which hotfire
    deploys itself is always one of them."""
    gateway: Gateway
    """How requests reach the platform."""
    accelerator: Accelerator = Accelerator()
    """How the cluster offers accelerators."""
    claims: frozenset[str] = frozenset()
    """Features the target says it has; what is not claimed is not-applicable."""
    engine: Engine
    """The inference engine."""
    engine_groups: EngineGroups = EngineGroups()
    """The operator's resource that makes engines of several pods each."""
    stack: StackChoice = StackChoice()
    """The reference stack."""
    canary: Canary = Canary()
    """The version under promotion."""
    clients: Clients = Clients()
    """Who comes to the gateway besides us: its tenants, and whom it must refuse."""
    rag: Rag | None = None
    """The retrieval-augmented application in front of the model; None: there is none."""
    components: dict[Role, Component] = {}
    """Where parts of the platform run that faults take away, by role; their namespaces must be in
    `allowed_namespaces`."""
    alerts: dict[str, str] = {}
    """Id of the fault under which each declared alert must fire, such as FLT-NET-002."""
    control_plane: ControlPlane = ControlPlane()
    """Where the control plane runs, if not on nodes of the cluster."""
    power: Power = Power()
    """How nodes are switched off and on."""
    load: RatedLoad = RatedLoad()
    """The rated load."""
    budgets: Budgets
    """The SLO; required, since without a promise nothing can be kept."""
    fault_budgets: dict[str, Budgets] = {}
    """Budgets by fault id, e.g. FLT-POD-001; what is named here replaces the experiment's own."""
    measurement: Measurement = Measurement()
    """How long and how much is measured."""
    waits: Waits = Waits()
    """The longest waits."""
    fabric: Fabric = Fabric()
    """The wiring between nodes."""
    prometheus_url: str | None = None
    """Prometheus as this process reaches it, with user:password@ if it asks for them; they are
    recorded nowhere. Default: none, its checks are not-applicable."""
    telemetry_age_seconds: Seconds = 120.0
    """Greatest age of what Prometheus tells, as declared; four scrapes of the usual 30 s."""
    upkeep: Upkeep = Upkeep()
    """What it keeps in order over time."""
    sandboxes: list[str] = []
    """RuntimeClasses whose pods are to see nothing of their node; default: those whose name or
    handler says gVisor, Kata or Firecracker."""
    images: Images = Images()
    """Stock images that carry our code."""
    agent: Agent = Agent()
    """The node agent."""

    @property
    def shares_machine(self) -> bool:
        """Whether the engines compute on the machine that runs hotfire, as in the lab."""
        local = self.gateway.network_namespace is not None
        return local and self.accelerator.memory == "host-cgroup"

    @field_validator("prometheus_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None and split_url(value).query:
            raise ValueError("no place for a query; expected http://host[:port][/path]")
        return value

    @field_serializer("prometheus_url")
    def _without_credentials(self, value: str | None) -> str | None:
        """Keep them in the target file: who reads a written profile asks no Prometheus."""
        if value is None or "@" not in value:
            return value
        parts = urlsplit(value)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @model_validator(mode="before")
    @classmethod
    def _allow_own_namespace(cls, value: object) -> object:
        if not (isinstance(value, dict) and isinstance(value.get("allowed_namespaces", []), list)):
            return value
        own = value.get("namespace", cls.model_fields["namespace"].default)
        named, stack = value.get("allowed_namespaces", []), value.get("stack")
        foreign = isinstance(stack, dict) and stack.get("deploy") is False
        return (
            value
            if named and (foreign or own in named)
            else {**value, "allowed_namespaces": [*named, own]}
        )

    @model_validator(mode="before")
    @classmethod
    def _take_engine_role(cls, value: object) -> object:
        """Let ``stack.roles.engine`` be the engine's selector; whoever says both says the same."""
        return with_engine_role(value)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.system_namespace in {self.namespace, *self.allowed_namespaces}:
            raise ValueError(
                f"system_namespace: {self.system_namespace} must be a namespace of its own, since"
                " it is made privileged and removed after a run; name another"
            )
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the profile in a YAML file, paths resolved against its folder.

        Raises:
            ProfileError: the file is missing, is no YAML mapping or breaks the schema; the
                message names file, field and remedy.
        """
        document = _read_mapping(path)
        try:
            profile = cls.model_validate(document)
        except ValidationError as error:
            raise ProfileError(f"{path}: {_explain(error)}") from error
        found: dict[str, object] = {"gateway": profile.gateway.beside(path.parent)}
        if profile.rag is not None:
            way_in = profile.rag.gateway.beside(path.parent)
            found["rag"] = profile.rag.model_copy(update={"gateway": way_in})
        if profile.kubeconfig is not None:
            found["kubeconfig"] = (path.parent / profile.kubeconfig.expanduser()).resolve()
        return profile.model_copy(update=found)


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        document = yaml_text.read(text_files.read(path))
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ProfileError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise ProfileError(f"{path}: expected a mapping of fields such as name and gateway")
    return document


def _explain(error: ValidationError) -> str:
    """Return one line: the first offending fields, and what to write instead."""
    problems = [_problem(detail["loc"], detail["type"], detail["msg"]) for detail in error.errors()]
    return "; ".join(problems[:3])


def _problem(location: tuple[int | str, ...], kind: str, message: str) -> str:
    field = ".".join(str(part) for part in location if part != "[key]")
    if not field:
        # What is wrong between fields names them itself.
        return message.removeprefix("Value error, ")
    if kind == "missing":
        return f"{field}: required, add it"
    if kind != "extra_forbidden":
        return f"{field}: {message.removeprefix('Value error, ')}"
    known = list(_section_at(location[:-1]).model_fields)
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return f"{field}: no such field, {hint}"


def _section_at(location: tuple[int | str, ...]) -> type[BaseModel]:
    section: type[BaseModel] = TargetProfile
    parts = iter(location)
    for part in parts:
        annotation = section.model_fields[str(part)].annotation
        models = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type)]
        section = next(model for model in models if issubclass(model, BaseModel))
        if get_origin(annotation) is dict:
            next(parts, None)  # Its key: any word, not a field.
    return section
