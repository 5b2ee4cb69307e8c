"""``hotfire lab nodes`` and ``hotfire lab pool``: workers beyond the first ones."""

from typing import TYPE_CHECKING, Annotated

import typer

from hotfire.lab.face.console import own_lab, say

if TYPE_CHECKING:  # `--help` stays instant
    from hotfire.lab.cluster.pool_process import Limits
    from hotfire.lab.lab import Lab

app = typer.Typer(
    pretty_exceptions_enable=False,
    help="Add and remove worker nodes by hand.",
    no_args_is_help=True,
)


def _lab_as_root() -> "Lab":
    from hotfire.lab.lab import require_root  # noqa: PLC0415

    require_root()
    return own_lab()


@app.command()
def add(
    count: Annotated[int, typer.Argument(min=1, help="How many.")] = 1,
) -> None:
    """Add worker nodes to the standing lab, each with GPUs, cables and a place in a rack."""
    from hotfire.lab.pool.node_pool import NodePool  # noqa: PLC0415
    from hotfire.lab.shape.progress import Progress  # noqa: PLC0415

    pool = NodePool(_lab_as_root(), Progress(say))
    for _ in range(count):
        pool.add()


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="A node that was added, such as n4.")],
) -> None:
    """Drain an added node and remove its machine."""
    from hotfire.lab.pool.node_pool import NodePool  # noqa: PLC0415
    from hotfire.lab.shape.progress import Progress  # noqa: PLC0415

    NodePool(_lab_as_root(), Progress(say)).remove(name)


def pool(
    *,
    least: Annotated[int, typer.Option("--min", help="Never fewer worker nodes.")] = 0,
    most: Annotated[int | None, typer.Option("--max", help="Never more worker nodes.")] = None,
    cooldown_seconds: Annotated[
        float, typer.Option(help="An added node without GPU work stays for so long.")
    ] = 30.0,
    off: Annotated[bool, typer.Option("--off", help="End it; the nodes stay.")] = False,
    foreground: Annotated[bool, typer.Option("--foreground", hidden=True)] = False,
) -> None:
    """Add and remove nodes as pods ask for GPUs: a stand-in for a cluster autoscaler.

    It runs beside the lab until `hotfire lab down`, or until it is started again or ended.
    """
    from hotfire.errors import LabError  # noqa: PLC0415
    from hotfire.lab.cluster.pool_process import Limits, PoolProcess  # noqa: PLC0415

    lab = _lab_as_root()
    process = PoolProcess(lab.state)
    if off:
        say("the node pool is off" if process.stop() else "there was no node pool")
        return
    nodes = lab.topology().nodes
    least, most = max(least, nodes), most or nodes + 2
    if most < least:
        raise LabError(f"--max {most} is less than {least}, which there are at least")
    limits = Limits(least=least, most=most, cooldown_seconds=cooldown_seconds)
    if foreground:
        _run(lab, limits)
    else:
        say(f"{limits}, process {process.start(limits)}, log {process.log}")


def _run(lab: "Lab", limits: "Limits") -> None:
    from hotfire.lab.cluster.pool_process import join_lab  # noqa: PLC0415
    from hotfire.lab.pool.autoscaler import Autoscaler  # noqa: PLC0415
    from hotfire.lab.pool.node_pool import NodePool  # noqa: PLC0415
    from hotfire.lab.shape.progress import Progress  # noqa: PLC0415

    join_lab()
    progress = Progress(say)
    Autoscaler(lab, NodePool(lab, progress), limits, progress.note).run()
