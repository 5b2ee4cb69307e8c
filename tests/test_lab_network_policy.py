"""Policies become the rules they should, and one table turns into the next."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hotfire.lab.programs.network_policy import objects
from hotfire.lab.programs.network_policy.agent import Agent
from hotfire.lab.programs.network_policy.objects import Name
from hotfire.lab.programs.network_policy.rules import ClusterState, ruleset
from hotfire.lab.programs.network_policy.ruleset import EMPTY, Ruleset, Set, script
from hotfire.lab.programs.network_policy.served import metrics
from hotfire.waiting import until

Document = dict[str, Any]


def pod(name: str, address: str = "10.244.1.5", **labels: str) -> Document:
    port = {"name": "http", "containerPort": 8080}
    return {
        "metadata": {"namespace": "red", "name": name, "labels": labels},
        "spec": {"nodeName": "n1", "containers": [{"ports": [port]}]},
        "status": {"phase": "Running", "podIPs": [{"ip": address}] if address else []},
    }


def policy(**spec: object) -> Document:
    metadata = {"namespace": "red", "name": "p"}
    return {"metadata": metadata, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]} | spec}


def rules(*documents: Document, direction: str = "to_pods") -> tuple[str, ...]:
    """Return the rules for one pod; its name stands for all others."""
    found = objects.pod(pod("web"))
    assert found is not None
    policies = {Name("red", str(i)): objects.policy(each) for i, each in enumerate(documents)}
    table = ruleset("n1", ClusterState({found.name: found}, {"red": {"team": "a"}}, policies))
    chain = getattr(table, direction).get("10.244.1.5")
    return table.chains[chain] if chain else ()


COUNT = "counter name allowed/ingress/red/p return"
REFUSAL = ("counter name denied/ingress/red/p", "drop")


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({}, [COUNT]),
        ({"ports": [{"port": 80}]}, [f"tcp dport {{ 80 }} {COUNT}"]),
        ({"ports": [{"protocol": "SCTP"}]}, [f"meta l4proto 132 {COUNT}"]),
        ({"ports": [{"port": "http"}]}, [f"tcp dport {{ 8080 }} {COUNT}"]),
        ({"ports": [{"port": "absent"}]}, []),
        (
            {"ports": [{"port": 90, "endPort": 99}, {"port": 80, "endPort": 90}, {"port": 7}]},
            [f"tcp dport {{ 7, 80-99 }} {COUNT}"],
        ),
        (
            {
                "from": [
                    {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/9", "10.0.0.0/16"]}}
                ]
            },
            [f"ip saddr 10.0.0.0/8 ip saddr != {{ 10.0.0.0/9 }} {COUNT}"],
        ),
        ({"from": [{"ipBlock": {"cidr": "2001:db8::/32"}}]}, []),
    ],
)
def test_ingress_rule_becomes_these_matches(rule: Document, matches: list[str]) -> None:
    assert rules(policy(ingress=[rule])) == (*matches, *REFUSAL)


def test_pod_no_policy_selects_has_no_chain() -> None:
    elsewhere = policy(podSelector={"matchLabels": {"app": "db"}})

    assert rules(elsewhere) == ()
    assert rules(policy(), direction="from_pods") == ()


@pytest.mark.parametrize(
    ("spec", "directions"),
    [
        ({}, (True, False)),
        ({"egress": [{}]}, (True, True)),
        ({"policyTypes": ["Egress"]}, (False, True)),
    ],
)
def test_policy_types_default_to_what_is_written(
    spec: Document, directions: tuple[bool, bool]
) -> None:
    metadata = {"namespace": "red", "name": "p"}
    read = objects.policy({"metadata": metadata, "spec": {"podSelector": {}} | spec})

    assert (read.ingress is not None, read.egress is not None) == directions


def test_pod_on_the_nodes_network_or_at_its_end_is_no_pod_to_govern() -> None:
    host = pod("agent")
    host["spec"]["hostNetwork"] = True
    done = pod("job")
    done["status"]["phase"] = "Succeeded"

    assert [objects.pod(host), objects.pod(done)] == [None, None]


def test_unknown_operator_of_a_selector_is_an_error() -> None:
    selector = {"matchExpressions": [{"key": "a", "operator": "Like", "values": ["b"]}]}

    with pytest.raises(ValueError, match="operator, got 'Like'"):
        objects.selects(selector, {"a": "b"})


BEFORE = Ruleset(
    counters=frozenset({"denied/x"}),
    sets={"pods_1": Set("ipv4_addr", frozenset({"10.0.0.1", "10.0.0.2"}))},
    chains={"in_1": ("ip saddr @pods_1 return", "drop")},
    from_pods={},
    to_pods={"10.0.0.9": "in_1"},
)


def test_equal_tables_need_no_script() -> None:
    assert script(BEFORE, BEFORE) == ""


def test_changed_peer_changes_one_element_and_no_rule() -> None:
    sets = {"pods_1": Set("ipv4_addr", frozenset({"10.0.0.2", "10.0.0.3"}))}

    lines = script(BEFORE, BEFORE._replace(sets=sets)).splitlines()

    assert lines == [
        "delete element inet hotfire_policy pods_1 { 10.0.0.1 }",
        "add element inet hotfire_policy pods_1 { 10.0.0.3 }",
    ]


def test_script_from_nothing_known_replaces_the_table_in_the_same_transaction() -> None:
    text = script(None, BEFORE)

    assert text.startswith("add table inet hotfire_policy\ndelete table inet hotfire_policy\n")
    assert "add element inet hotfire_policy to_pods { 10.0.0.9 : jump in_1 }" in text
    assert "delete element" not in text


def test_chain_goes_after_what_jumps_to_it_and_before_what_it_uses() -> None:
    lines = [line.split("{")[0].split() for line in script(BEFORE, EMPTY).splitlines()]

    gone = [(words[0], words[1], words[4]) for words in lines if words[0] == "delete"]
    assert gone.index(("delete", "element", "to_pods")) < gone.index(("delete", "chain", "in_1"))
    assert gone.index(("delete", "chain", "in_1")) < gone.index(("delete", "set", "pods_1"))
    assert gone[-1] == ("delete", "counter", "denied/x")


def test_metrics_name_verdict_direction_and_policy() -> None:
    listed = """table inet hotfire_policy {
\tcounter denied/ingress/red/no.one {
\t\tpackets 3 bytes 180
\t}
}
"""

    labels = 'verdict="denied",direction="ingress",namespace="red",policy="no.one"'
    assert f"hotfire_network_policy_packets_total{{{labels}}} 3\n" in metrics(listed)
    assert f"hotfire_network_policy_bytes_total{{{labels}}} 180\n" in metrics(listed)


class Kernel:
    """Takes the agent's transactions, and refuses those it was told to."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.refusals = 0

    def apply(self, text: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OSError("no such thing")
        self.taken.append(text)


@contextmanager
def running(kernel: Kernel, *pods: Document) -> Iterator[Agent]:
    """Run an agent that has listed one policy, one namespace and these pods."""
    agent, stop = Agent("n1", kernel.apply), threading.Event()
    thread = threading.Thread(target=agent.run, args=(stop,))
    thread.start()
    agent.sink("namespaces").replace([{"metadata": {"name": "red"}}])
    agent.sink("policies").replace([policy()])
    assert not agent.ready.is_set()
    agent.sink("pods").replace(list(pods))
    try:
        yield agent
    finally:
        stop.set()
        agent.sink("pods").replace([])
        thread.join(timeout=20)
        assert not thread.is_alive()


def test_agent_touches_the_kernel_once_everything_is_listed() -> None:
    kernel = Kernel()

    with running(kernel, pod("web")) as agent:
        assert agent.ready.wait(10)

        assert len(kernel.taken) == 1
        assert "10.244.1.5 : jump" in kernel.taken[0]


def test_agent_makes_the_table_anew_after_the_kernel_refused_it() -> None:
    kernel = Kernel()
    kernel.refusals = 1

    with running(kernel, pod("web")) as agent:
        assert agent.ready.wait(10)

        assert kernel.taken[0].startswith("add table")


def test_pod_whose_address_only_the_node_knows_is_governed() -> None:
    kernel = Kernel()

    with running(kernel, pod("web", address="")) as agent:
        assert agent.born(Name("red", "web"), "10.244.1.7").wait(10)

        assert "to_pods { 10.244.1.7 : jump" in kernel.taken[-1]


def test_pod_nobody_has_told_of_is_waited_for() -> None:
    kernel = Kernel()

    with running(kernel) as agent:
        governed = agent.born(Name("red", "web"), "10.244.1.7")
        assert not governed.wait(0.3)
        agent.sink("pods").change("ADDED", pod("web", address=""))

        assert governed.wait(10)
        assert "10.244.1.7 : jump" in kernel.taken[-1]


def test_deleted_policy_takes_its_rules_along() -> None:
    kernel = Kernel()

    with running(kernel, pod("web")) as agent:
        assert agent.ready.wait(10)
        agent.sink("policies").change("DELETED", policy())
        until(lambda: len(kernel.taken) == 2, within_seconds=10, what="a second transaction")

    assert "delete element inet hotfire_policy to_pods { 10.244.1.5" in kernel.taken[1]
    assert "add " not in kernel.taken[1]
