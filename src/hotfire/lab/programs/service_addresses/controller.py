"""The controller: gives every Service of type LoadBalancer an address of the pool."""

import http.client
import json
import logging
import threading
from ipaddress import IPv4Network

from hotfire.lab.programs.network_policy.watch import Api, RefusedError

from .mirror import Mirror
from .services import Grant, assign

_PATH = "/api/v1/services"
_RETRY_SECONDS = 1.0
_log = logging.getLogger("service-addresses")


def run(api: Api, pool: IPv4Network) -> None:
    """Give addresses as long as the process lives."""
    changed = threading.Event()
    services = Mirror(changed)
    services.follow(api, _PATH)
    while True:
        changed.wait()
        changed.clear()
        if not services.listed:
            continue
        settled = [give(api, services, each) for each in assign(services.objects(), pool)]
        if not all(settled):
            threading.Event().wait(_RETRY_SECONDS)
            changed.set()


def give(api: Api, services: Mirror, grant: Grant) -> bool:
    """Write an address into a Service's status; return whether that is settled."""
    metadata = grant.service["metadata"]
    name = f"{metadata['namespace']}/{metadata['name']}"
    ingress = [{"ip": grant.address, "ipMode": "VIP"}]
    change = {
        # Refused if the Service is another one by now.
        "metadata": {"resourceVersion": metadata["resourceVersion"]},
        "status": {"loadBalancer": {"ingress": ingress}},
    }
    path = f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}/status"
    try:
        with api.patch(path, change) as answer:
            services.change("MODIFIED", json.load(answer))
    except RefusedError as error:
        # Changed or gone meanwhile: the watch tells, and then it is looked at anew.
        _log.info("%s: %s", name, error)
        return error.status in {http.client.CONFLICT, http.client.NOT_FOUND}
    except (OSError, http.client.HTTPException, ValueError) as error:
        _log.info("%s: %r", name, error)
        return False
    _log.info("%s has %s", name, grant.address)
    return True
