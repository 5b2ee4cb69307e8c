"""Whether clients get through the gateway to the model, and if not, what stands in the way."""

from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus

from hotfire import Endpoint
from hotfire.discovery.routes import ways_to
from hotfire.doctor.finding import Finding, Mark, fine
from hotfire.doctor.site import Site
from hotfire.endpoint import Reply
from hotfire.errors import ProfileError
from hotfire.profile import TargetProfile

ABOUT = "gateway"
_SECONDS = 5.0
_CLOSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def gateway(site: Site, *, within_seconds: float = _SECONDS) -> Iterator[Finding]:
    """Yield whether the model answers, and which Gateways lead nowhere."""
    for engine in site.engines[:1]:
        for name in ways_to(site.eyes, engine).addressless:
            yield Finding(
                mark=Mark.LACKING,
                about=ABOUT,
                seen=f"Gateway {name} has no address",
                remedy="give its class a controller, or its Service a load balancer",
            )
    if site.profile.stack.deploy and not site.engines:
        # Nobody is to answer yet.
        return
    yield answers(site.profile, within_seconds=within_seconds)


def answers(profile: TargetProfile, *, within_seconds: float = _SECONDS) -> Finding:
    """Return whether the gateway serves the model to us."""
    url = profile.gateway.reachable_url + profile.gateway.base_path
    try:
        with Endpoint.of(profile, deadline_seconds=within_seconds) as client:
            listed = client.models()
            if listed.status is None or listed.status in _CLOSED:
                return _impossible(url, _closed(profile, listed))
            served = _served(listed)
            if served and profile.engine.model not in served:
                return _impossible(url, _not_served(profile, served))
            reply = client.chat("Hello.", max_tokens=1)
    except ProfileError as error:
        return _impossible(url, (str(error), ""))
    if reply.ok:
        return fine(ABOUT, f"{profile.engine.model} answers at {url} in {reply.seconds:.2f} s")
    found = _impossible(url, _unanswered(profile, reply))
    return replace(found, of_target=reply.status not in (None, HTTPStatus.NOT_FOUND, *_CLOSED))


def _closed(profile: TargetProfile, reply: Reply) -> tuple[str, str]:
    """Return why we were not let in, and what to do."""
    error = str(reply.error)
    if reply.status in _CLOSED:
        shown = (
            "the key it was shown is expired or wrong"
            if profile.gateway.shown_headers
            else ("it wants a key")
        )
        return f"{reply.status} from", f"{shown}: set gateway.bearer_token or gateway.headers"
    if "certificate verify failed" in error.lower():
        if "mismatch" in error.lower():
            return "its certificate is another name's:", "set gateway.server_name"
        return "nobody vouches for its certificate:", "set gateway.ca_file to its authority's PEM"
    if "certificate required" in error.lower() or "handshake failure" in error.lower():
        return "it wants a client certificate:", "set gateway.client_certificate and client_key"
    return f"{error} at", "set gateway.url or host_url to what this machine reaches"


def _unanswered(profile: TargetProfile, reply: Reply) -> tuple[str, str]:
    if reply.status == HTTPStatus.NOT_FOUND:
        return "404 from", "set gateway.base_path, gateway.host or engine.model to its route's"
    if reply.status in _CLOSED or reply.status is None:
        return _closed(profile, reply)
    return f"a chat with {profile.engine.model} failed ({reply.why}) at", "see the engine's log"


def _served(reply: Reply) -> list[str]:
    rows = (reply.body or {}).get("data")
    rows = rows if isinstance(rows, list) else []
    return [str(row["id"]) for row in rows if isinstance(row, dict) and "id" in row]


def _not_served(profile: TargetProfile, served: list[str]) -> tuple[str, str]:
    names = ", ".join(served[:3])
    return f"{profile.engine.model} is not served at", f"set engine.model to one of {names}"


def _impossible(url: str, said: tuple[str, str]) -> Finding:
    seen, remedy = said
    seen = f"{seen} {url}" if remedy else seen
    return Finding(mark=Mark.IMPOSSIBLE, about=ABOUT, seen=seen, remedy=remedy)
