"""The API server as each new connection finds it: which of several servers answers may differ."""

from typing import Any, Self

import urllib3
from kubernetes import client as k8s

from hotfire.cluster.kubeconfig import configuration
from hotfire.errors import ClusterError
from hotfire.profile import TargetProfile

_READY = "/readyz"
_REFUSED = (401, 403)
_TOLD = 200
"""Characters of an answer that words quote."""


class Door:
    """The address of the API, asked over a connection of its own each time."""

    def __init__(self, configured: Any) -> None:  # noqa: ANN401 - the client library has no types
        self._configured = configured

    @classmethod
    def of(cls, profile: TargetProfile) -> Self:
        """Return the door of a profile's cluster.

        Raises:
            ClusterError: the profile's credentials cannot be read.
        """
        return cls(configuration(profile))

    def trouble(self, *, within_seconds: float) -> str:
        """Return why the server behind the address is not ready, or no answer came; empty: it is.

        Raises:
            ClusterError: it answers that we may not ask.
        """
        with k8s.ApiClient(configuration=self._configured) as client:
            client.rest_client.pool_manager.connection_pool_kw["retries"] = urllib3.Retry(0)
            try:
                client.call_api(
                    _READY,
                    "GET",
                    auth_settings=["BearerToken"],
                    _preload_content=False,
                    _request_timeout=within_seconds,
                )
            except k8s.ApiException as error:
                if error.status in _REFUSED:
                    raise ClusterError(
                        f"{_READY}: {error.status}: we may not ask; allow GET on it"
                    ) from error
                return f"{_READY} says {error.status}"
            except (urllib3.exceptions.HTTPError, OSError) as error:
                # That it was not tried again, as we asked for, is no reason.
                return f"no answer: {getattr(error, 'reason', None) or error}"[:_TOLD]
            finally:
                client.rest_client.pool_manager.clear()
        return ""
