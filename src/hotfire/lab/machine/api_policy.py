"""What the API server enforces and remembers: Pod Security, audit log, encryption of Secrets."""

import base64
import json
import secrets
from pathlib import Path

AUDIT_DIRECTORY = "/var/log/kubernetes"
_ADMISSION = "/etc/kubernetes/admission.json"
_AUDIT_POLICY = "/etc/kubernetes/audit-policy.json"
_ENCRYPTION = "encryption.json"
_KEY_BYTES = 32
_READING = ["get", "list", "watch"]


def arguments(pki: str) -> tuple[str, ...]:
    """Return what kube-apiserver is told; ``pki`` is where the machine has its keys."""
    return (
        f"--admission-control-config-file={_ADMISSION}",
        f"--encryption-provider-config={pki}/{_ENCRYPTION}",
        f"--audit-policy-file={_AUDIT_POLICY}",
        f"--audit-log-path={AUDIT_DIRECTORY}/audit.log",
        "--audit-log-maxsize=50",
        "--audit-log-maxbackup=2",
    )


def files() -> dict[str, str]:
    """Return the files those arguments name, by their path on the machine."""
    return {_ADMISSION: json.dumps(_admission()), _AUDIT_POLICY: json.dumps(_audit_policy())}


def write_encryption(directory: Path) -> None:
    """Write the configuration with a new random key; every member must get the same file."""
    key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
    secretbox = {"secretbox": {"keys": [{"name": "lab", "secret": key}]}}
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        # `identity` reads what was written in plain text before; the first entry writes.
        "resources": [{"resources": ["secrets"], "providers": [secretbox, {"identity": {}}]}],
    }
    path = directory / _ENCRYPTION
    path.touch(mode=0o600)
    path.write_text(json.dumps(document))


def _admission() -> dict[str, object]:
    """Return upstream's default, nothing enforced, but what is not baseline is told."""
    defaults = {"enforce": "privileged", "audit": "baseline", "warn": "baseline"}
    versions = {f"{mode}-version": "latest" for mode in defaults}
    configuration = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": defaults | versions,
        "exemptions": {"usernames": [], "runtimeClasses": [], "namespaces": []},
    }
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [{"name": "PodSecurity", "configuration": configuration}],
    }


def _audit_policy() -> dict[str, object]:
    """Return which requests are kept: who did what; never the content of a Secret."""
    platform = ["system:nodes", "system:serviceaccounts:kube-system"]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": True,
        "rules": [
            _rule("None", nonResourceURLs=["/healthz*", "/livez*", "/readyz*", "/version"]),
            _rule("None", nonResourceURLs=["/metrics", "/api", "/api/*", "/apis", "/apis/*"]),
            _rule("None", nonResourceURLs=["/openapi/*"]),
            _rule("None", resources=_kinds(events="", leases="coordination.k8s.io")),
            _rule("None", resources=_kinds(events="events.k8s.io")),
            # Who read or changed which Secret, but not what is in it.
            _rule("Metadata", resources=_kinds(secrets="", tokenreviews="authentication.k8s.io")),
            _rule("Metadata", resources=[{"group": "", "resources": ["serviceaccounts/token"]}]),
            _rule("None", verbs=_READING, userGroups=platform),
            _rule("None", verbs=_READING, users=["system:apiserver", "system:kube-proxy"]),
            _rule("None", verbs=_READING, users=["system:kube-scheduler"]),
            _rule("None", verbs=_READING, users=["system:kube-controller-manager"]),
            # Status reports of nodes and controllers are most of all writing, and say little.
            _rule("None", verbs=["patch", "update"], userGroups=platform, resources=_status()),
            _rule("Metadata", verbs=_READING),
            # Their bodies are megabytes, or somebody else's secret.
            _rule("Metadata", resources=_kinds(configmaps="")),
            _rule("Metadata", resources=[{"group": "apiextensions.k8s.io"}]),
            _rule("Metadata", resources=[{"group": "", "resources": ["pods/exec", "pods/log"]}]),
            _rule("Request"),
        ],
    }


def _rule(level: str, **match: object) -> dict[str, object]:
    return {"level": level, **match}


def _kinds(**groups: str) -> list[dict[str, object]]:
    return [{"group": group, "resources": [kind]} for kind, group in groups.items()]


def _status() -> list[dict[str, object]]:
    return [{"group": "", "resources": ["nodes/status", "pods/status"]}]
