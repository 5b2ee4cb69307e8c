"""The proof that something is really broken: seen from outside of what broke it."""

from collections.abc import Callable
from time import monotonic

from hotfire.errors import FaultNotInjected
from hotfire.lab.handles import facts, link_proofs, members, plan, store_probe
from hotfire.lab.handles.case import Case
from hotfire.lab.handles.names import Kind
from hotfire.lab.shape.topology import Link
from hotfire.waiting import until

_SERVICE_SECONDS = 10.0
# The device plugin looks once a second, the kubelet tells its status every four.
_GPU_SECONDS = 20.0


def prove(case: Case) -> list[str]:
    """Return what shows that the handle is broken.

    Raises:
        HarnessError: nothing shows it.
    """
    if case.handle.kind is Kind.LINK:
        link = plan.link_of(case.topology, case.handle)
        return link_proofs.prove(case, link)
    return _KINDS[case.handle.kind](case)


def _router(case: Case) -> list[str]:
    links = list(case.topology.links_of(case.topology.machine(case.handle.machine)))
    seconds = link_proofs.down_at_both_ends(case, links)
    return [f"BFD not up at both ends of {len(links)} links {seconds:.2f} s later"]


def _power(case: Case) -> list[str]:
    name = case.handle.machine
    links = list(case.topology.links_of(case.topology.machine(name)))
    routers = [link.router.name for link in links]

    def up() -> list[str]:
        now = case.facts_of(*routers)
        ends = [f"{link.router.name} bfd {link.port}" for link in links]
        return [end for end in ends if now.get(end) == "Up"]

    until(lambda: not up(), within_seconds=link_proofs.BFD_SECONDS, what=f"BFD to {name} down")
    return [f"no process on {name}; BFD to it not up at {' and '.join(routers)}"]


def _service(case: Case) -> list[str]:
    machine, name, how = case.handle.machine, case.handle.part, case.order.how
    key = f"{machine} service {name}"
    if how == "kill":
        return [_killed(case)]
    wanted = "stands still" if how == "hang" else facts.GONE
    until(
        lambda: facts.service(case.lab, machine, name) == wanted,
        within_seconds=_SERVICE_SECONDS,
        what=f"{key} {wanted}",
    )
    return [f"{key}: {case.before.get(key)} before, {wanted} now", *_noticed(case)]


def _killed(case: Case) -> str:
    """Show that the process that was there is gone, which takes a busy machine a moment."""
    entry = case.broken.entries[0]
    killed = case.ask(entry.machine, "entry", id=entry.id)["observed"]["pids"]
    if not killed:
        raise FaultNotInjected(f"no process of {case.handle.name} was killed")

    def now() -> int | None:
        pid: int | None = case.ask(entry.machine, "service.state", service=case.handle.part)["pid"]
        return pid

    until(
        lambda: now() not in killed,
        within_seconds=_SERVICE_SECONDS,
        what=f"process {killed[0]} of {case.handle.name} gone",
        poll_seconds=0.05,
    )
    return f"process {killed[0]} of {case.handle.name} was killed"


def _noticed(case: Case) -> list[str]:
    """Return what others see of a service that is gone, where they see it at once."""
    if case.handle.part == "bird":
        machine = case.topology.machine(case.handle.machine)
        seconds = _sessions_lost(case, list(case.topology.links_of(machine)))
        return [f"BGP to it down at all its neighbours {seconds:.2f} s later"]
    if case.handle.part in {"kube-apiserver", "etcd"}:
        return _member_lost(case)
    return []


def _member_lost(case: Case) -> list[str]:
    """Show that a member says itself that it is not ready, and that it gets no clients."""
    member, began = case.topology.machine(case.handle.machine), monotonic()
    before = case.before[f"{member.name} api"]
    if not members.served(before):
        raise FaultNotInjected(f"the API of {member.name} was {before} before, so nothing shows it")
    until(
        lambda: not members.ready(case.lab, case.topology, member),
        within_seconds=_SERVICE_SECONDS,
        what=f"{member.name} not ready",
    )
    unready_seconds = monotonic() - began
    until(
        lambda: not members.sent_by(case.topology, member),
        within_seconds=_SERVICE_SECONDS,
        what=f"no router sends clients to {member.name}",
    )
    left = " and ".join(members.others(case.topology, member)) or "nobody"
    return [
        f"/readyz of {member.name}, asked by the client, not ok {unready_seconds:.2f} s later",
        f"the routers send the API's clients to {left} {monotonic() - began:.2f} s later",
    ]


def _sessions_lost(case: Case, links: list[Link]) -> float:
    name, began = case.handle.machine, monotonic()
    far = {(link.router if link.machine.name == name else link.machine).name for link in links}

    def established() -> list[str]:
        now = case.facts_of(*sorted(far))
        return [each for each in far if now.get(f"{each} bgp to_{name}") == "Established"]

    until(lambda: not established(), within_seconds=_SERVICE_SECONDS, what=f"no BGP to {name}")
    return monotonic() - began


def _gpu(case: Case) -> list[str]:
    name, began = case.handle.machine, monotonic()
    before = case.before.get(f"{name} node")
    if before is None:
        raise FaultNotInjected(
            f"the API, which alone tells what {name} offers, was not ready before; "
            "`hotfire lab status` shows why"
        )
    # The node's own word for it lags; what it offered before is in the facts.
    until(
        lambda: _fewer(before, facts.gpus_offered(case.lab, name)),
        within_seconds=_GPU_SECONDS,
        what=f"fewer GPUs on {name} than before",
        poll_seconds=0.5,
    )
    seconds, left = monotonic() - began, facts.gpus_offered(case.lab, name)
    seen = ", ".join(f"{key} {count}" for key, count in left.items()) or "no GPU"
    return [f"{name} offers {seen}, before {before.partition(', ')[2]}; {seconds:.1f} s later"]


def _fewer(before: str, offered: dict[str, int]) -> bool:
    """Return whether one resource shrank; the sentence tells what was offered before."""
    rows = [row.split() for row in before.split(", ")[1:]]
    return any(offered.get(name, 0) < int(count) for name, count in rows if count.isdigit())


def _store(case: Case) -> list[str]:
    how = case.order.how
    if how not in {"slow", "corrupt"}:
        return _service(case)
    seen = store_probe.fetch(case.topology)
    if how == "corrupt":
        if seen.sound:
            raise FaultNotInjected(f"{seen.path} arrived with the checksum it should have")
        return [f"{seen.path} arrived with another checksum than the store itself tells"]
    limit = plan.amount(case.order)
    if seen.bytes_per_second > 1.2 * limit:
        raise FaultNotInjected(f"{seen.bytes_per_second:.3g} bytes/s, expected {limit:.3g}")
    return [f"{seen.path} arrived with {seen.bytes_per_second:.3g} bytes/s"]


def _dns(case: Case) -> list[str]:
    """Show that a name that was found before is not, and that the nodes dropped the question."""
    before, now = case.before["dns"], facts.lookup(case.topology)
    drops = {
        entry.machine: case.ask(entry.machine, "net.drops", id=entry.id)["drops"]
        for entry in case.broken.entries
    }
    if (before, now) != ("ok", "no answer") or not any(drops.values()):
        raise FaultNotInjected(f"lookup {before} before, {now} now; dropped {drops}")
    counted = ", ".join(f"{count} on {machine}" for machine, count in drops.items())
    return [
        f"a lookup by the client: {before} before, {now} now; packets dropped: {counted}",
        "workers that join from now on answer",
    ]


_KINDS: dict[Kind, Callable[[Case], list[str]]] = {
    Kind.ROUTER: _router,
    Kind.POWER: _power,
    Kind.SERVICE: _service,
    Kind.GPU: _gpu,
    Kind.STORE: _store,
    Kind.DNS: _dns,
}
