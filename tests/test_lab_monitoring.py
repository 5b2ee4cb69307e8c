"""Prometheus' configuration as the lab hands it over; what it does is tested on the lab."""

import json
from pathlib import Path
from typing import Any

import yaml

from hotfire.lab.cluster import monitoring
from hotfire.lab.shape.topology import Topology

RULE_TESTS = Path(__file__).parent / "lab" / "alert_rules.yaml"


def data(topology: Topology) -> dict[str, str]:
    found: dict[str, str] = json.loads(monitoring.config_map(topology))["data"]
    return found


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(data(Topology())["alerts.yaml"])["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_member_of_the_control_plane_is_listed() -> None:
    rows = json.loads(data(Topology(control_planes=3))["machines.json"])

    members = {row["labels"]["node"]: row["targets"] for row in rows}
    assert members["cp3"] == ["10.0.0.103"]
    assert {"cp1", "cp2", "r1", "r2", "store", "client"} <= members.keys()


def test_workers_are_left_to_the_api() -> None:
    assert not any(
        row["labels"]["node"].startswith("n")
        for row in json.loads(data(Topology())["machines.json"])
    )


def test_every_alert_was_seen_to_fire() -> None:
    tests = yaml.safe_load(RULE_TESTS.read_text())["tests"]
    proven = {
        case["alertname"]
        for test in tests
        for case in test.get("alert_rule_test", [])
        if case.get("exp_alerts")
    }

    assert proven == {rule["alert"] for rule in alerts()}


def test_every_alert_has_a_severity_and_a_summary() -> None:
    assert len(alerts()) > 20
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
