"""``hotfire lab``: the embedded cluster by hand."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from hotfire.lab import require_extra
from hotfire.lab.face import handles_cli, nodes_cli
from hotfire.lab.face.console import console, own_lab, progress, refuse_anothers, say

app = typer.Typer(
    pretty_exceptions_enable=False,
    help="The embedded Kubernetes: real nodes, a real fabric, on this machine.",
    no_args_is_help=True,
)
app.add_typer(nodes_cli.app, name="nodes")
app.command()(nodes_cli.pool)
Kubernetes = Annotated[
    str | None, typer.Option(metavar="1.NN", help="Version of Kubernetes. [default: 1.36]")
]
AddOns = Annotated[
    list[str] | None,
    typer.Option("--with", metavar="NAME", help="An add-on, such as scaling (repeatable)."),
]


@app.callback()
def of_lab() -> None:
    """Refuse every command of the lab where its packages are missing."""
    require_extra()


@app.command()
def up(  # noqa: PLR0913 - each is an option
    *,
    topology: Annotated[
        Path | None, typer.Option(help="YAML file with the fields below; options override it.")
    ] = None,
    nodes: Annotated[int | None, typer.Option(help="Worker nodes, 1 to 8. [default: 3]")] = None,
    racks: Annotated[int | None, typer.Option(help="Racks they stand in. [default: 3]")] = None,
    gpus_per_node: Annotated[
        int | None, typer.Option(help="GPUs per worker, 0 to 8. [default: 2]")
    ] = None,
    cpu_nodes: Annotated[
        int | None, typer.Option(help="Smaller workers without GPUs, 0 to 4. [default: 0]")
    ] = None,
    control_planes: Annotated[
        int | None, typer.Option(help="Members of the control plane, 1 or 3. [default: 1]")
    ] = None,
    uplinks: Annotated[
        int | None, typer.Option(help="Uplinks per machine, 1 to 4. [default: 2]")
    ] = None,
    kubernetes: Kubernetes = None,
    with_: AddOns = None,
    api_port: Annotated[int, typer.Option(help="Port of 127.0.0.1 for the API server.")] = 16443,
    gateway_port: Annotated[int, typer.Option(help="Port for the gateway.")] = 16480,
    prometheus_port: Annotated[int, typer.Option(help="Port for Prometheus.")] = 16490,
) -> None:
    """Bring the lab up. The first time its parts are built, which takes about 12 minutes."""
    from hotfire.lab.shape import topology_file  # noqa: PLC0415
    from hotfire.lab.shape.state import Ports  # noqa: PLC0415

    options = {
        "nodes": nodes,
        "racks": racks,
        "gpus_per_node": gpus_per_node,
        "cpu_nodes": cpu_nodes,
        "control_planes": control_planes,
        "uplinks": uplinks,
        "kubernetes": kubernetes,
        "add_ons": with_,
    }
    given = {name: value for name, value in options.items() if value is not None}
    shape = topology_file.read(topology, given) if topology else topology_file.parse(given)
    lab = own_lab(Ports(api=api_port, gateway=gateway_port, prometheus=prometheus_port))
    lab.up(shape, progress())
    say(f"export KUBECONFIG={lab.state.kubeconfig}")


@app.command()
def add(
    names: Annotated[list[str], typer.Argument(help="Such as scaling.")],
) -> None:
    """Bring add-ons into the standing lab; what they need is built first."""
    own_lab().extend(names, progress())


@app.command()
def load_image(
    archive: Annotated[Path, typer.Argument(help="Of `docker save`, or an OCI layout as a tar.")],
) -> None:
    """Bring images of your own onto every worker of the standing lab."""
    from hotfire.lab.cluster import loading  # noqa: PLC0415
    from hotfire.lab.lab import require_root  # noqa: PLC0415

    require_root()
    lab = own_lab()
    with lab.state.locked():
        names = loading.load_everywhere(lab.rack, lab.state, lab.topology(), archive)
    for name in names:
        say(f"{name} is on every worker")
    say("its pods need `runtimeClassName: own-files` to see all of the image, and no pull")


@app.command()
def build(
    *,
    kubernetes: Kubernetes = None,
    with_: AddOns = None,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Pack all parts into this archive.")
    ] = None,
    import_: Annotated[
        Path | None,
        typer.Option("--import", metavar="FILE", help="First take what such an archive has."),
    ] = None,
) -> None:
    """Build what is missing of the lab's parts, and stop there; `up` then needs seconds."""
    from hotfire.lab.build.workshop import Workshop  # noqa: PLC0415
    from hotfire.lab.cluster import extending, on_demand  # noqa: PLC0415
    from hotfire.lab.lab import require_root  # noqa: PLC0415
    from hotfire.lab.shape.state import cache_home  # noqa: PLC0415
    from hotfire.lab.shape.topology import KUBERNETES  # noqa: PLC0415
    from hotfire.own_folders import project_root  # noqa: PLC0415

    require_root()
    version = kubernetes or KUBERNETES
    parts = extending.parts(on_demand.resolve(with_ or []))
    workshop = Workshop(cache_home(), project_root(), progress(), kubernetes=version)
    if import_:
        say(f"the list of {import_} has SHA-256 {workshop.take(import_, parts)}")
    workshop.everything(parts)
    say(f"every part, of Kubernetes {version}, is in {cache_home() / 'parts'}")
    if export:
        say(f"the list of {export} has SHA-256 {workshop.export(export, parts)}")


@app.command()
def down(
    any_: Annotated[
        bool, typer.Option("--any", help="Remove another checkout's lab as well.")
    ] = False,
) -> None:
    """Take the lab down, whole or half built; nothing of it stays."""
    from hotfire.lab.shape.progress import Progress  # noqa: PLC0415

    if not own_lab().down(Progress(say), any_checkout=any_):
        say("there was no lab")


@app.command()
def status() -> None:
    """Show what stands: machines, nodes, sessions, addresses. Exit code 1 if it is not healthy."""
    from hotfire.lab.face.status import Status, look  # noqa: PLC0415

    seen: Status | None = look(own_lab())
    if seen is None:
        say("no lab is up; `hotfire lab up` starts one")
        raise typer.Exit(1)
    services = Column("services", overflow="fold")
    table = Table("machine", "rack", "address", "BGP sessions", services, "node", "on for")
    for row in seen.rows:
        table.add_row(
            row.name, row.rack, row.address, row.sessions, row.services, row.node, row.age
        )
    console.print(table)
    for line in seen.lines:
        say(line)
    if not seen.healthy:
        raise typer.Exit(1)


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def shell(
    context: typer.Context,
    machine: Annotated[
        str, typer.Argument(help="n1, cp1, r1, store, client or another one.")
    ] = "client",
) -> None:
    """Open a shell on a machine, or run a program there.

    For example `hotfire lab shell n1 -- birdc show bfd sessions`.
    """
    from hotfire.lab.shape.blueprint import BASE_ENV  # noqa: PLC0415

    lab = own_lab()
    refuse_anothers(lab)
    argv = [*lab.rack.enter(machine), *(context.args or ["/bin/bash", "--norc"])]
    env = BASE_ENV | {"TERM": os.environ.get("TERM", "dumb"), "PS1": f"{machine}# "}
    sys.stdout.flush()
    os.execvpe(argv[0], argv, env)  # noqa: S606 - the operator's own words, no shell in between


@app.command()
def kubeconfig(
    *,
    path: Annotated[bool, typer.Option("--path", help="Print only where it lies.")] = False,
) -> None:
    """Print the administrator's kubeconfig of the lab."""
    from hotfire.errors import LabError  # noqa: PLC0415

    state = own_lab().state
    if not state.kubeconfig.exists():
        raise LabError("no lab is up; `hotfire lab up` starts one")
    say(str(state.kubeconfig) if path else state.kubeconfig.read_text())


handles_cli.add_to(app)
