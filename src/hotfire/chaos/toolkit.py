"""Actions of chaostoolkit-kubernetes that are sound, inside our deadline and with our client.

Left to itself it reads a kubeconfig of its own choice and waits for an answer for ever.
"""

import sys
from collections.abc import Callable
from typing import Any

from chaoslib.exceptions import ActivityFailed
from kubernetes import client as k8s

from hotfire.chaos.plan import World
from hotfire.cluster.kubeconfig import configuration
from hotfire.errors import FaultNotInjected


class _Bounded(k8s.ApiClient):  # type: ignore[misc]
    """A client of ours whose every call has a deadline."""

    seconds = 10.0

    def call_api(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the library has no types
        kwargs["_request_timeout"] = kwargs.get("_request_timeout") or self.seconds
        return super().call_api(*args, **kwargs)


def act(world: World, action: Callable[..., object], **arguments: object) -> None:
    """Carry out one action of chaosk8s on the target's cluster.

    Raises:
        FaultNotInjected: it failed, or the API server did not answer in time.
    """
    client = _Bounded(configuration=configuration(world.profile))
    client.seconds = world.profile.waits.api_seconds
    # Its modules look the client up by this name.
    module = sys.modules[action.__module__]
    module.create_k8s_api_client = lambda secrets=None: client  # type: ignore[attr-defined]
    try:
        action(**arguments)
    except ActivityFailed as error:
        raise FaultNotInjected(f"{action.__name__}: {error}") from error
    except Exception as error:
        raise FaultNotInjected(f"{action.__name__}: {type(error).__name__}: {error}") from error
    finally:
        client.close()
