"""The store machine: what the platform depends on outside Kubernetes, as in a data centre.

Nothing outside the lab reaches it, so Redis asks for no password.
"""

from pathlib import Path

from hotfire.lab import programs
from hotfire.lab.network import fabric
from hotfire.lab.network.router import machine_services
from hotfire.lab.shape.blueprint import BASE_ENV, Bind, Blueprint, Service
from hotfire.lab.shape.topology import Machine, Topology

MODEL_STORE_PORT = 8080
REDIS_PORT = 6379
REDIS_EXPORTER_PORT = 9121
MODE_FILE = "/var/lib/hotfire/model-store/mode"
"""Breaks the model store while it lies there; `hotfire.lab.programs.model_store` says how."""
_STORE = programs.path("model_store.py")
_STORE_PROGRAM = "/opt/hotfire/model_store.py"
_MODELS = "/opt/hotfire/models"
_REDIS_DATA = "/var/lib/redis"


def blueprint(topology: Topology, *, python: Path, model: Path) -> Blueprint:
    """Return the machine; ``model`` is the host's directory of the lab's model."""
    machine = topology.store
    return Blueprint(
        machine=machine,
        services=(
            *machine_services(machine),
            Service(name="model-store", argv=_model_store(machine)),
            Service(name="redis", argv=_redis(machine)),
            Service(
                name="prometheus-redis-exporter",
                argv=_redis_exporter(machine),
                env=BASE_ENV | {"GOMAXPROCS": "1", "GOGC": "50"},
            ),
        ),
        binds=(
            Bind(source=str(python), target="/opt/hotfire/python"),
            Bind(source=str(model), target=f"{_MODELS}/tiny"),
        ),
        files={
            fabric.BIRD_CONFIG: fabric.bird_config(topology, machine),
            _STORE_PROGRAM: _STORE.read_text(),
        },
        directories=("/run/bird", _REDIS_DATA, str(Path(MODE_FILE).parent)),
    )


def model_url(topology: Topology, model: str = "tiny") -> str:
    """Return where the model store has a model."""
    return f"http://{topology.store.address}:{MODEL_STORE_PORT}/models/{model}"


def _model_store(machine: Machine) -> tuple[str, ...]:
    python = "/opt/hotfire/python/bin/python3"
    return (
        *(python, "-I", "-S", _STORE_PROGRAM),
        *(machine.address, str(MODEL_STORE_PORT), _MODELS, MODE_FILE),
    )


def _redis(machine: Machine) -> tuple[str, ...]:
    settings = {
        "bind": machine.address,
        "port": str(REDIS_PORT),
        "protected-mode": "no",
        "dir": _REDIS_DATA,
        # No snapshots: the log of writes is what a restart reads.
        "save": "",
        "appendonly": "yes",
        # Its command line stays what it was started with: `hotfire lab status` looks for that.
        "set-proc-title": "no",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return ("redis-server", *words)


def _redis_exporter(machine: Machine) -> tuple[str, ...]:
    return (
        "prometheus-redis-exporter",
        f"-redis.addr=redis://{machine.address}:{REDIS_PORT}",
        f"-web.listen-address={machine.address}:{REDIS_EXPORTER_PORT}",
    )
