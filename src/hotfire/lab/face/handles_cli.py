"""``hotfire lab break``, ``mend``, ``handles``, ``logs`` and ``token``."""

import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from hotfire.errors import RollbackFailed
from hotfire.lab.face.console import console, own_lab, refuse_anothers, say

if TYPE_CHECKING:  # `--help` stays instant
    from hotfire.lab.handles import mending, names
    from hotfire.lab.lab import Lab

_DEFAULT_SECONDS = 120.0
_TOKEN_SECONDS = 600.0


def add_to(app: typer.Typer) -> None:
    """Add the commands to those of the lab."""
    app.command("break")(break_)
    app.command()(mend)
    app.command()(handles)
    app.command()(logs)
    app.command()(token)


def break_(
    handle: Annotated[str, typer.Argument(help="One of `hotfire lab handles`, e.g. n1/up1.")],
    *,
    for_seconds: Annotated[
        float, typer.Option("--for", help="Seconds until it mends itself.")
    ] = _DEFAULT_SECONDS,
    how: Annotated[
        str | None, typer.Option(help="In which of its ways; without it the first one listed.")
    ] = None,
    amount: Annotated[
        float | None,
        typer.Option(help="loss: ratio to 1; delay: seconds; rate: bit/s; slow: bytes/s."),
    ] = None,
    xid: Annotated[
        int | None, typer.Option(help="The error code a GPU fails with.", show_default="79")
    ] = None,
) -> None:
    """Break a part of the lab, prove it, and let it mend itself when the time is over."""
    from hotfire.lab.handles import breaking, names, records  # noqa: PLC0415
    from hotfire.lab.handles.plan import BreakOptions  # noqa: PLC0415

    lab = own_lab()
    refuse_anothers(lab)
    found = names.find(_handles(lab), handle)
    order = BreakOptions(
        how=names.way(found, how),
        for_seconds=records.granted(for_seconds),
        amount=amount,
        xid=xid,
    )
    done = breaking.break_(lab, found, order)
    ends = datetime.datetime.now().astimezone() + datetime.timedelta(
        seconds=done.broken.left_seconds
    )
    say(f"{found.name} is broken ({done.broken.how}) until {ends:%H:%M:%S}")
    for line in done.proof:
        say(f"  {line}")


def mend(
    handle: Annotated[str | None, typer.Argument(help="Without it everything is mended.")] = None,
) -> None:
    """Mend now what `break` broke, and prove that everything is as it was before."""
    from hotfire.errors import ProfileError  # noqa: PLC0415
    from hotfire.lab.handles import breaking, mending  # noqa: PLC0415

    lab = own_lab()
    refuse_anothers(lab)
    records, left = breaking.of_lab(lab), list[str]()
    names = [each.name for each in records.all() if handle in {None, each.name}]
    if handle is not None and not names:
        raise ProfileError(f"{handle} is not broken; `hotfire lab handles` shows what is")
    # The youngest first, as it was built upon the older ones.
    for name, outcome in mending.mend_each(lab, records, names[::-1]):
        say(_outcome(name, outcome))
        left += [name] if isinstance(outcome, RollbackFailed) else []
    unread = records.unreadable()
    for why in unread.values():
        say(why)
    left += unread
    if not names and not unread:
        say("nothing is broken")
    if left:
        raise RollbackFailed(
            f"not mended: {', '.join(left)}; `hotfire lab mend` tries again, "
            "`hotfire lab down` and `up` start over"
        )


def handles() -> None:
    """List what can be broken, in which ways, and what is broken now."""
    from hotfire.lab.handles import breaking, names  # noqa: PLC0415

    lab = own_lab()
    refuse_anothers(lab)
    table = Table(Column("handle", no_wrap=True), "M is one of", "ways (--how)")
    for row in names.grouped(_handles(lab).values()):
        table.add_row(row.name, " ".join(row.machines), " ".join(row.ways))
    console.print(table)
    for line in breaking.in_words(lab) or ["nothing is broken"]:
        say(line)


def logs(
    part: Annotated[
        str | None,
        typer.Argument(help="n1/kubelet, or kubelet on all machines, or a pod such as coredns."),
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    lines: Annotated[int, typer.Option(help="Last lines of each log.")] = 40,
) -> None:
    """Show the last lines of a part's log; without a part, list the parts."""
    from hotfire.lab.cluster import logs as lab_logs  # noqa: PLC0415

    lab = own_lab()
    if part is None:
        for name in lab_logs.parts(lab.rack):
            say(name)
        return
    found = lab_logs.find(lab.rack, part)
    if follow:
        lab_logs.follow(found, lines)
    for name, path in found:
        say(f"== {name}")
        for line in lab_logs.tail(path, lines):
            say(line)


def token(
    account: Annotated[
        str, typer.Argument(help="NAMESPACE/NAME of the service account.")
    ] = "default/default",
    *,
    shift: Annotated[
        float, typer.Option(help="Seconds by which its clock is ahead; negative: behind.")
    ] = 0.0,
    lifetime: Annotated[float, typer.Option(help="Seconds it is valid.")] = _TOKEN_SECONDS,
) -> None:
    """Print a service account's token as a clock would date it that is wrong by --shift.

    The lab has one clock, so clock skew is played by tokens: the API server judges this one's
    times by the right clock. It ends by itself; nothing needs mending.
    """
    from hotfire.lab.face.tokens import token as made  # noqa: PLC0415

    say(made(own_lab(), account, shift_seconds=shift, lifetime_seconds=lifetime))


def _outcome(name: str, outcome: "mending.Mended | RollbackFailed | None") -> str:
    if isinstance(outcome, RollbackFailed):
        return str(outcome)
    if outcome is None:
        return f"{name} was mended meanwhile"
    compared = f"{outcome.compared} facts are as before"
    if not outcome.compared:
        compared = "what it shares with other broken handles is compared when the last is mended"
    return f"{name} is mended after {outcome.seconds:.1f} s: {compared}"


def _handles(lab: "Lab") -> "dict[str, names.Handle]":
    from hotfire.lab.handles import names  # noqa: PLC0415

    return names.of_lab(lab.topology(), lab.rack)
