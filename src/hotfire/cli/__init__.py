"""The command line: what is asked, and how every way of ending looks to the operator.

Commands import what they need when they run, so that ``hotfire --help`` answers at once.
"""

import sys
import tempfile
import traceback
from pathlib import Path
from typing import Annotated, Literal

import typer

from hotfire.cli.child import termination_as_interrupt
from hotfire.cli.load_command import load
from hotfire.errors import HotfireError, LabError, ProfileError
from hotfire.lab.face.cli import app as lab_app
from hotfire.shown import one_line, shown

BAD_ARGUMENTS = 254
CRASHED = 255
_INTERRUPTED_IN_TYPER = 130

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Proves that an LLM serving platform is built right, and holds when things break.\n\n"
    "Exit codes: 0 conformant, 1 nonconformant, 2 inconclusive, 254 bad arguments or target "
    "file, 255 hotfire itself failed.",
)
app.add_typer(lab_app, name="lab")

Target = Annotated[
    Path | None, typer.Option("--target", metavar="FILE", help="Target file; default: the lab.")
]
Suites = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Your own folder: its suites/ and experiments/ are taken besides."
    ),
]
Run = Annotated[str, typer.Argument(metavar="RUN", help="Run directory, or its name below runs/.")]


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; whatever goes wrong becomes one line."""
    command = typer.main.get_command(app)
    try:
        with termination_as_interrupt():
            code = command.main(arguments or ["--help"], prog_name="hotfire", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the outermost frame
        return _complain(*_explained(error))
    if code == _INTERRUPTED_IN_TYPER:
        return _complain(*_explained(KeyboardInterrupt()))
    return code if isinstance(code, int) else 0


def _explained(error: BaseException) -> tuple[str, int]:
    """Return what to tell the operator, and the exit code; a crash must not look like a verdict."""
    match error:
        case typer.TyperException():
            return _usage(error), BAD_ARGUMENTS
        case ProfileError() | LabError():
            return str(error), BAD_ARGUMENTS
        case HotfireError():
            return str(error), CRASHED
        case KeyboardInterrupt() | typer.Abort():
            return "interrupted", CRASHED
    return f"{type(error).__name__}: {error}; {_keep_traceback(error)}", CRASHED


def _complain(message: str, code: int) -> int:
    if message.startswith("Usage:"):
        typer.echo(shown(message, keep="\n"), err=True)
    else:
        typer.echo(f"hotfire: {one_line(message)}", err=True)
    return code


def _usage(error: typer.TyperException) -> str:
    told = getattr(error, "format_message", lambda: str(error))()
    context = getattr(error, "ctx", None)
    if told.startswith("Usage:") or context is None:
        return str(told)
    return f"{told} (see {context.command_path} --help)"


def _keep_traceback(error: BaseException) -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="hotfire-crash-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.writelines(traceback.format_exception(error))
    return f"traceback in {file.name}"


@app.command()
def init(
    *,
    context: Annotated[
        str | None, typer.Option(metavar="NAME", help="Context of the kubeconfig.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Where the engines are; default: wherever they are.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: standard output.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: kubectl's own search.")
    ] = None,
) -> int:
    """Look around in a cluster and write a target file of what is found there."""
    from hotfire.cli.init import init as look  # noqa: PLC0415 - see the module's docstring
    from hotfire.discovery.target_file import Origin  # noqa: PLC0415

    place = str(kubeconfig.resolve()) if kubeconfig else None
    return look(Origin(context=context, kubeconfig=place, namespace=namespace), output)


@app.command()
def doctor(
    *,
    target: Target = None,
    rbac: Annotated[
        bool, typer.Option("--rbac", help="Print the Roles that a run needs, for kubectl apply.")
    ] = False,
    scope: Annotated[
        Literal["smoke", "core", "full"], typer.Option(help="Which requirements it is about.")
    ] = "core",
) -> int:
    """Say what a target lacks, for which requirements and faults, and how to get it.

    Exit codes: 0 nothing is missing, 2 something is, 254 bad arguments or target file.
    """
    from hotfire.cli.doctor import doctor as examine  # noqa: PLC0415 - see the module's docstring

    return examine(target, rbac=rbac, scope=scope)


@app.command()
def certify(  # noqa: PLR0913 - a command has as many parameters as options
    *,
    target: Target = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID|AREA",
            help="Judge this requirement or area only (repeatable). The rest counts as left out, "
            "so the statement is inconclusive at best.",
        ),
    ] = None,
    scope: Annotated[
        Literal["smoke", "core", "full"],
        typer.Option(
            help="smoke: what minutes tell. core: what tells most of each area. full: everything, "
            "for hours."
        ),
    ] = "core",
    level: Annotated[
        Literal["must", "should"], typer.Option(help="Leave out what is less binding.")
    ] = "should",
    suites: Suites = None,
    run_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Record here; default: runs/<utc>/.")
    ] = None,
    keep_stack: Annotated[
        bool, typer.Option("--keep-stack", help="Leave the reference stack running afterwards.")
    ] = False,
    repeat: Annotated[
        int,
        typer.Option(
            min=1, max=1000, metavar="N",
            help="Fire every fault N times, round by round; the worst verdict of each counts.",
        ),
    ] = 1,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Go on with a run that was cut short, as it was ordered: what has no verdict yet,"
            " or an inconclusive one. RUN is its folder, its name or `latest`.",
        ),
    ] = None,
) -> int:  # fmt: skip
    """Verify a platform, break it, measure how it comes back, and report."""
    from hotfire.cli.certify import CertifyOptions, carry_out, go_on  # noqa: PLC0415 - see the module's docstring

    order = CertifyOptions(
        target=target,
        only=tuple(only or ()),
        scope=scope,
        level=level,
        suites=suites,
        run_dir=run_dir,
        keep_stack=keep_stack,
        repeat=repeat,
    )
    return carry_out(order) if resume is None else go_on(resume, order)


app.command()(load)


@app.command(name="list")
def list_(
    *,
    json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    suites: Suites = None,
) -> None:
    """List every requirement and fault."""
    from hotfire.cli.show import listed, listed_as_json  # noqa: PLC0415

    if json:
        typer.echo(listed_as_json(suites))
    else:
        listed(suites)


@app.command()
def explain(
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `hotfire list`.")],
    *,
    suites: Suites = None,
) -> None:
    """Tell what one requirement means, how it is decided, and where it comes from."""
    from hotfire.cli.show import explained  # noqa: PLC0415

    explained(id_, suites)


@app.command()
def report(
    run: Run = "latest",
    *,
    format_: Annotated[
        str, typer.Option("--format", metavar="NAME[,NAME...]", help="Files of reports/.")
    ] = "html",
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR|-", help="Where to; - is standard output. Default: the run."),
    ] = None,
) -> None:
    """Render a recorded run; needs neither the target nor a network."""
    from hotfire.cli.report import report as render  # noqa: PLC0415

    render(run, [name.strip() for name in format_.split(",") if name.strip()], output)


@app.command()
def judge(run: Run = "latest") -> int:
    """Judge a recorded run again, with the rules of this version."""
    from hotfire.cli.judge import judge as judge_again  # noqa: PLC0415

    return judge_again(run)


@app.command()
def prove(
    only: Annotated[
        list[str] | None, typer.Argument(metavar="[ID|AREA]...", help="As `hotfire list`.")
    ] = None,
    *,
    matrix: Annotated[
        bool,
        typer.Option(
            "--matrix",
            help="On each twin all checks of its area, as a table. Whoever falls with it beside its"
            " own check is declared in its file; else the exit code is 1. All of them take hours.",
        ),
    ] = False,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Go on with the rows of an earlier --matrix: what has one there is not run again,"
            " unless its own check did not fail.",
        ),
    ] = None,
) -> int:
    """Prove the verdicts: each check on its broken twin, each fault by its sham, on the lab."""
    if resume is not None and not matrix:
        raise ProfileError("--resume goes on with the rows of a --matrix: give both")
    from hotfire.cli import prove_matrix  # noqa: PLC0415 - see the module's docstring
    from hotfire.cli.prove import carry_out  # noqa: PLC0415 - see the module's docstring

    return prove_matrix.carry_out(only or [], resume) if matrix else carry_out(only or [])


@app.command()
def gameday(
    fault: Annotated[
        str | None, typer.Argument(metavar="[FAULT]", help="Its id; without one all are listed.")
    ] = None,
    *,
    target: Target = None,
    yes: Annotated[bool, typer.Option("--yes", help="Fire without asking.")] = False,
) -> int:
    """Fire one fault by hand: what it would hit is shown, a key fires it, a key ends it."""
    from hotfire.cli.gameday import carry_out, list_faults  # noqa: PLC0415 - see above

    if fault is None:
        list_faults(target)
        return 0
    return carry_out(fault, target, yes=yes)


@app.command()
def explore(
    *,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="For how long new schedules of faults are fired.")
    ] = 30.0,
    seed: Annotated[
        int, typer.Option(min=0, max=999_999, help="The same seed draws the same schedules.")
    ] = 0,
    faults: Annotated[
        str, typer.Option(metavar="ID,..", help="Faults or areas to draw from; default: all.")
    ] = "",
    target: Target = None,
) -> int:
    """Fire faults drawn by chance, some at a time; a schedule that fails is shrunk and written."""
    from hotfire.cli.explore import carry_out  # noqa: PLC0415 - see above
    from hotfire.experiment.exploring.order import Order  # noqa: PLC0415

    names = frozenset(name.strip() for name in faults.split(",") if name.strip())
    return carry_out(Order(seed=seed, minutes=minutes, faults=names), target)


@app.command()
def heal(
    *,
    now: Annotated[
        bool, typer.Option("--now", help="Stop a run that is going on, then heal.")
    ] = False,
    keep_stack: Annotated[
        bool, typer.Option("--keep-stack", help="Undo faults only; leave stack and node agents.")
    ] = False,
    target: Target = None,
) -> int:
    """Undo whatever earlier runs left behind, and prove it."""
    from hotfire.cli.heal import heal as heal_target  # noqa: PLC0415

    return heal_target(target, now=now, keep_stack=keep_stack)
