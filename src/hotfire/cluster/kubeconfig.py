"""Who we are to which cluster: a kubeconfig, or the service account of the pod that we run in."""

import binascii
import logging
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from kubernetes import client as k8s
from kubernetes import config as k8s_config
from kubernetes.config import exec_provider, kube_config

from hotfire.errors import ClusterError
from hotfire.private_folder import private_folder
from hotfire.profile import TargetProfile

_TOLD = 500
"""Characters of what a credential plugin says that a message quotes."""


def configuration(profile: TargetProfile) -> Any:  # noqa: ANN401 - the client library has no types
    """Return how to reach and what to show the API server of the profile.

    Without ``kubeconfig`` the search is kubectl's own: the files of KUBECONFIG, else the one in the
    home directory, else the service account of the pod.

    Raises:
        ClusterError: there is none of them, or it cannot be used; one line says what to mend.
    """
    found = type.__call__(k8s.Configuration)
    _bound_plugins(profile.waits.credentials_seconds)
    paths = str(profile.kubeconfig or kube_config.KUBE_CONFIG_DEFAULT_LOCATION)
    if profile.kubeconfig is None and not _any_exists(paths):
        _from_service_account(found)
        return found
    with _translated(str(profile.kubeconfig or "the default kubeconfig")):
        _from_files(found, paths, profile.context)
    return found


def _any_exists(paths: str) -> bool:
    return any(path and Path(path).expanduser().exists() for path in paths.split(os.pathsep))


def _from_service_account(found: Any) -> None:  # noqa: ANN401
    try:
        k8s_config.load_incluster_config(client_configuration=found)
    except (k8s_config.ConfigException, OSError) as error:
        raise ClusterError(
            "no kubeconfig: `kubeconfig` names none, neither KUBECONFIG nor the home directory has"
            f" one, and this is no pod with a service account ({_words(error)}); set `kubeconfig`"
        ) from error


def _from_files(found: Any, paths: str, context: str | None) -> None:  # noqa: ANN401
    merged = kube_config.KubeConfigMerger(paths)
    if merged.config is None:
        raise k8s_config.ConfigException(f"there is no file {paths}")
    for user in merged.config.value["users"]:
        # As kubectl reads it: a user without fields shows nothing.
        if user.value.get("user") is None:
            user.value["user"] = {}
    loader = kube_config.KubeConfigLoader(
        config_dict=merged.config,
        active_context=context,
        config_base_path=None,
        config_persister=merged.save_changes,
        temp_file_path=str(private_folder()),
    )
    with _heard() as heard:
        loader.load_and_set(found)
    plugin = _plugin(merged.config.value, loader.current_context)
    if plugin is not None and not (found.api_key or found.cert_file):
        said = f"{_words('; '.join(heard)) or 'it gave no credential'}"[:_TOLD]
        hint = plugin.get("installHint")
        raise k8s_config.ConfigException(
            f"the credential plugin {plugin.get('command')!r} failed: {said}"
            + (f" ({_words(hint)[:_TOLD]})" if hint else "")
        )


def _bound_plugins(seconds: float) -> None:
    """Have the library end a credential plugin that does not answer; it would wait for ever."""

    class Bounded(subprocess.Popen[str]):
        def communicate(
            self,
            input: str | None = None,
            timeout: float | None = None,
        ) -> tuple[str, str]:
            try:
                return super().communicate(input, timeout or seconds)
            except subprocess.TimeoutExpired as error:
                self.kill()
                raise k8s_config.ConfigException(
                    f"no answer within waits.credentials_seconds, {seconds:g} s; log in by it"
                    " beforehand, or give it longer"
                ) from error

    # Its module looks the program's start up by this name, now and when a credential expires.
    exec_provider.subprocess = SimpleNamespace(Popen=Bounded, PIPE=subprocess.PIPE)


def _plugin(config: Any, context: Any) -> dict[str, Any] | None:  # noqa: ANN401
    """Return the credential plugin of the context's user; None if it needs none."""
    name = context["context"].get("user")
    users = (user.value for user in config["users"])
    plugin: dict[str, Any] | None = next(
        (user["user"].get("exec") for user in users if user["name"] == name), None
    )
    return plugin


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect what is logged: the library logs why a plugin failed, and goes on without it."""
    words: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            words.append(record.getMessage())

    ear, root = Ear(), logging.getLogger()
    root.addHandler(ear)
    try:
        yield words
    finally:
        root.removeHandler(ear)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except (k8s_config.ConfigException, OSError) as error:
        why = _words(error)
    except yaml.YAMLError as error:
        why = f"no YAML: {_words(error)}"
    except UnicodeDecodeError as error:
        why = f"no text: {_words(error)}"
    except binascii.Error as error:
        why = f"one of its *-data fields is no base64: {_words(error)}"
    # The library takes the file's shape for granted, at every depth.
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        why = f"not of a kubeconfig's shape: {type(error).__name__}: {_words(error)}"
    else:
        return
    raise ClusterError(f"cannot read {where}: {why}; set `kubeconfig` and `context`")


def _words(told: object) -> str:
    return " ".join(str(told).split())
