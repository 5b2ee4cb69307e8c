"""What the API server is told about security can be read by it, and the key is secret."""

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from hotfire.lab.machine import api_policy


def key(directory: Path) -> bytes:
    document = json.loads((directory / "encryption.json").read_text())
    first = document["resources"][0]["providers"][0]
    return base64.b64decode(first["secretbox"]["keys"][0]["secret"])


def test_each_lab_has_a_key_of_its_own_that_only_root_reads(tmp_path: Path) -> None:
    keys = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        api_policy.write_encryption(tmp_path / name)
        keys.append(key(tmp_path / name))

    assert [len(each) for each in keys] == [32, 32]
    assert keys[0] != keys[1]
    assert stat.S_IMODE((tmp_path / "one" / "encryption.json").stat().st_mode) == 0o600


def test_every_file_that_is_named_is_written(tmp_path: Path) -> None:
    api_policy.write_encryption(tmp_path)

    named = {word.split("=")[1] for word in api_policy.arguments(str(tmp_path)) if ".json" in word}

    assert {path for path in named if not Path(path).exists()} == set(api_policy.files())


def level(**request: str) -> str:
    """Return what the audit policy says of a request; the first rule that matches decides."""
    (text,) = (text for path, text in api_policy.files().items() if "audit" in path)
    rules = json.loads(text)["rules"]
    return str(next(rule["level"] for rule in rules if _matches(rule, request)))


def _matches(rule: dict[str, Any], request: dict[str, str]) -> bool:
    if "nonResourceURLs" in rule:
        return False
    simple = (("verbs", "verb"), ("users", "user"))
    if any(rule.get(many) and request.get(one) not in rule[many] for many, one in simple):
        return False
    if rule.get("userGroups") and request.get("group") not in rule["userGroups"]:
        return False
    rows = rule.get("resources") or [{"group": request.get("api", "")}]
    kinds = (row.get("resources") for row in rows if row["group"] == request.get("api", ""))
    return any(not kind or request["resource"] in kind for kind in kinds)


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        ({"verb": "create", "resource": "secrets"}, "Metadata"),
        ({"verb": "get", "resource": "secrets", "group": "system:nodes"}, "Metadata"),
        ({"verb": "get", "resource": "pods", "group": "system:nodes"}, "None"),
        ({"verb": "get", "resource": "pods", "user": "somebody"}, "Metadata"),
        ({"verb": "update", "resource": "leases", "api": "coordination.k8s.io"}, "None"),
        ({"verb": "create", "resource": "networkpolicies", "api": "networking.k8s.io"}, "Request"),
        ({"verb": "create", "resource": "pods/exec"}, "Metadata"),
        ({"verb": "create", "resource": "serviceaccounts/token"}, "Metadata"),
    ],
)
def test_audit_keeps_who_did_what_and_no_secret(request_: dict[str, str], wanted: str) -> None:
    assert level(**request_) == wanted
