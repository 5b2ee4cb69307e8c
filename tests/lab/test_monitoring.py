"""Prometheus sees every part of the lab, is quiet while all is well, and says what broke."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotfire.lab.cluster import monitoring
from hotfire.lab.lab import Lab
from hotfire.waiting import until

pytestmark = pytest.mark.lab

RULES = Path(__file__).with_name("alert_rules.yaml")
MACHINES = {"r1", "r2", "n1", "n2", "n3", "cp1", "store", "client"}
NODES = {"n1", "n2", "n3"}
EXPECTED = {
    "node": MACHINES,
    "bird": MACHINES,
    "kubelet": NODES,
    "cadvisor": NODES,
    "containerd": NODES,
    "kube-proxy": NODES,
    "apiserver": {"cp1"},
    "kube-controller-manager": {"cp1"},
    "kube-scheduler": {"cp1"},
    "etcd": {"cp1"},
    "model-store": {"store"},
    "redis": {"store"},
}
SILENT_LOSS = """
table netdev lost { chain wire { type filter hook ingress device up1 priority 0; policy drop; }; }
"""


def ask(lab: Lab, path: str, **parameters: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{lab.ports.prometheus}/api/v1/{path}"
    answer = httpx.get(url, params=parameters, timeout=10).raise_for_status().json()
    data: dict[str, Any] = answer["data"]
    return data


def targets(lab: Lab) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(lab, "targets", state="active")["activeTargets"]
    return found


def firing(lab: Lab) -> set[str]:
    """Return the alerts that fire; one question more where a broken path swallowed the first."""
    try:
        rows = ask(lab, "alerts")["alerts"]
    except httpx.TransportError:
        rows = ask(lab, "alerts")["alerts"]
    return {row["labels"]["alertname"] for row in rows if row["state"] == "firing"}


def nodes_of(rows: list[dict[str, Any]], job: str) -> set[str]:
    return {row["labels"]["node"] for row in rows if row["labels"]["job"] == job}


@pytest.fixture(scope="module")
def seen(lab: Lab) -> Lab:
    """The lab once Prometheus has asked everything at least once."""

    def all_up() -> bool:
        rows = targets(lab)
        up = [row for row in rows if row["health"] == "up"]
        return len(up) == len(rows) and all(
            nodes_of(up, job) == nodes for job, nodes in EXPECTED.items()
        )

    until(all_up, within_seconds=90, what="every target up", poll_seconds=1)
    return lab


def test_every_part_is_a_target_that_answers(seen: Lab) -> None:
    rows = targets(seen)

    assert [row["lastError"] for row in rows if row["health"] != "up"] == []
    for job, nodes in EXPECTED.items():
        assert nodes_of(rows, job) == nodes, job
    jobs = {row["labels"]["job"] for row in rows}
    assert jobs >= {"gateway", "envoy-gateway", "coredns", "prometheus"}


@pytest.mark.parametrize(
    "expression",
    [
        "bird_bfd_session_up == 1",
        'bird_protocol_up{proto="BGP"} == 1',
        'node_network_receive_drop_total{device="up1"}',
        "node_netstat_Tcp_RetransSegs",
        "node_qdisc_drops_total",
        'container_memory_working_set_bytes{namespace="kube-system"}',
        "kubelet_running_pods",
        "etcd_server_has_leader == 1",
        "apiserver_request_total",
        "node_collector_unhealthy_nodes_in_zone",
        "scheduler_pending_pods",
        "containerd_cri_sandbox_create_network_seconds_count",
        "kubeproxy_sync_proxy_rules_iptables_total",
        "coredns_dns_requests_total",
        "envoy_cluster_membership_healthy",
        'envoy_http_downstream_rq_xx{envoy_response_code_class="5"}',
        "redis_up == 1",
        "model_store_requests_total",
    ],
)
def test_series_that_alerts_and_dashboards_ask_for_are_there(seen: Lab, expression: str) -> None:
    until(
        lambda: ask(seen, "query", query=expression)["result"] != [],
        within_seconds=45,
        what=expression,
        poll_seconds=1,
    )


def test_sound_lab_raises_no_alert(seen: Lab) -> None:
    # What other tests broke and mended is told for one more scrape.
    until(lambda: firing(seen) == set(), within_seconds=45, what="no alert", poll_seconds=1)
    rules = [rule for group in ask(seen, "rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 25
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []


def fires_and_clears(lab: Lab, alert: str) -> Iterator[None]:
    """Wait for an alert, let the block mend, and wait for its end."""
    until(lambda: alert in firing(lab), within_seconds=60, what=f"{alert} firing", poll_seconds=1)
    yield
    until(lambda: firing(lab) == set(), within_seconds=90, what="no alert left", poll_seconds=1)


mending = contextmanager(fires_and_clears)


@pytest.mark.parametrize(
    ("machine", "service", "alert"),
    [("store", "model-store", "ModelStoreDown"), ("store", "redis", "RedisDown")],
)
def test_dead_dependency_is_told(seen: Lab, machine: str, service: str, alert: str) -> None:
    seen.rack.hold(machine, service)
    try:
        with mending(seen, alert):
            seen.rack.release(machine, service)
    finally:
        seen.rack.release(machine, service)


def test_link_that_goes_down_is_told(seen: Lab) -> None:
    seen.rack.run("n3", ["ip", "link", "set", "up1", "down"])
    try:
        until(lambda: "BgpSessionDown" in firing(seen), within_seconds=60, what="BgpSessionDown")
        with mending(seen, "UplinkDown"):
            seen.rack.run("n3", ["ip", "link", "set", "up1", "up"])
    finally:
        seen.rack.run("n3", ["ip", "link", "set", "up1", "up"])


def test_path_that_dies_silently_is_told_by_bfd(seen: Lab) -> None:
    seen.rack.run("n3", ["nft", "-f", "-"], stdin=SILENT_LOSS)
    try:
        with mending(seen, "BfdSessionDown"):
            seen.rack.run("n3", ["nft", "delete", "table", "netdev", "lost"])
    except BaseException:
        seen.rack.run("n3", ["sh", "-c", "nft delete table netdev lost; true"])
        raise


def test_dead_scheduler_is_told(seen: Lab) -> None:
    seen.rack.hold("cp1", "kube-scheduler")
    try:
        with mending(seen, "ControllersDown"):
            seen.rack.release("cp1", "kube-scheduler")
    finally:
        seen.rack.release("cp1", "kube-scheduler")


def test_every_alert_fires_and_clears_at_the_figures_it_names(lab: Lab, tmp_path: Path) -> None:
    for name in monitoring.FILES[1:]:
        shutil.copy2(Path(monitoring.__file__).with_name(name), tmp_path)
    shutil.copy2(RULES, tmp_path)
    promtool = lab.kubectl().binary.with_name("promtool")

    done = subprocess.run(
        [promtool, "test", "rules", str(tmp_path / RULES.name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
