"""An nftables table as data, and the script that turns one such table into the next."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

TABLE = "inet hotfire_policy"
# After kube-proxy chose the endpoint: addresses here are those of pods. Traffic between a pod and
# its own node passes input and output, never forward, so the API's exemption holds by itself.
_SKELETON = f"""add table {TABLE}
delete table {TABLE}
table {TABLE} {{
  map from_pods {{ type ipv4_addr : verdict; }}
  map to_pods {{ type ipv4_addr : verdict; }}
  set selves {{ type ipv4_addr . ipv4_addr; }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    ip saddr . ip daddr @selves accept
    ip saddr vmap @from_pods
    ip daddr vmap @to_pods
  }}
}}
"""


class Set(NamedTuple):
    """A named set of one type."""

    kind: str
    elements: frozenset[str]


class Ruleset(NamedTuple):
    """Everything in the table that changes; ``from_pods`` and ``to_pods`` map address to chain."""

    counters: frozenset[str]
    sets: Mapping[str, Set]
    chains: Mapping[str, tuple[str, ...]]
    from_pods: Mapping[str, str]
    to_pods: Mapping[str, str]


EMPTY = Ruleset(frozenset(), {}, {}, {}, {})


def script(old: Ruleset | None, new: Ruleset) -> str:
    """Return one transaction from ``old`` to ``new``, empty if they are equal.

    ``old`` None means that nothing is known of the kernel's table: it is made anew. Else counters
    keep their values, and only what differs is named.
    """
    lines = list(_steps(old or EMPTY, new))
    return (_SKELETON if old is None else "") + "".join(f"{line}\n" for line in lines)


def _steps(old: Ruleset, new: Ruleset) -> Iterator[str]:
    """Make what is new, then change what stays, then remove what nobody refers to any more."""
    for name in sorted(new.counters - old.counters):
        yield f"add counter {TABLE} {name}"
    for name, each in new.sets.items():
        former = old.sets.get(name)
        if former is None:
            yield f"add set {TABLE} {name} {{ type {each.kind}; }}"
        yield from _members(name, former.elements if former else frozenset(), each.elements)
    for name in new.chains.keys() - old.chains.keys():
        yield f"add chain {TABLE} {name}"
        yield from (f"add rule {TABLE} {name} {rule}" for rule in new.chains[name])
    yield from _members("selves", _selves(old), _selves(new))
    yield from _members("from_pods", _jumps(old.from_pods), _jumps(new.from_pods))
    yield from _members("to_pods", _jumps(old.to_pods), _jumps(new.to_pods))
    gone = sorted(old.chains.keys() - new.chains.keys())
    yield from (f"flush chain {TABLE} {name}" for name in gone)
    yield from (f"delete chain {TABLE} {name}" for name in gone)
    for name in sorted(old.sets.keys() - new.sets.keys()):
        yield f"delete set {TABLE} {name}"
    for name in sorted(old.counters - new.counters):
        yield f"delete counter {TABLE} {name}"


def _members(name: str, old: frozenset[str], new: frozenset[str]) -> Iterator[str]:
    for verb, elements in (("delete", old - new), ("add", new - old)):
        if elements:
            yield f"{verb} element {TABLE} {name} {{ {', '.join(sorted(elements))} }}"


def _jumps(chains: Mapping[str, str]) -> frozenset[str]:
    return frozenset(f"{address} : jump {chain}" for address, chain in chains.items())


def _selves(table: Ruleset) -> frozenset[str]:
    """A pod can always reach itself, through its own Service too."""
    return frozenset(f"{address} . {address}" for address in {*table.from_pods, *table.to_pods})
