"""The gateway as the target file tells it: where it is, and what clients show of themselves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator

from hotfire.reference import REFERENCE, Headers, Reference
from hotfire.section import STRICT


def authority(url: str) -> str:
    """Return a URL that names a gateway and nothing below it, without a slash at its end.

    Raises:
        ValueError: it is no such URL; the message says what to write.
    """
    parts = split_url(url)
    if "@" in parts.netloc:
        raise ValueError(
            "no place for a user name or password, since reports and plans tell it; write it"
            " without, and name them in the headers of a plan or of `gateway`, e.g."
            ' {"Authorization": "Basic ${env:BASIC_AUTH}"}'
        )
    if parts.query or parts.fragment:
        raise ValueError(
            "no place for a query, since reports and plans tell it; expected http://host[:port],"
            " and a key in the headers of a plan or of `gateway`, e.g."
            ' {"X-Api-Key": "${env:API_KEY}"}'
        )
    if parts.path.strip("/"):
        raise ValueError(
            "expected http://host[:port] or https://host[:port]: drop the path, since hotfire asks"
            f" for the API's own, such as /v1/chat/completions, at {parts.scheme}://{parts.netloc};"
            " what comes before /v1 is `base_path`"
        )
    return url.rstrip("/")


def prefix(path: str) -> str:
    """Return a path below which an API's own paths lie, without a slash at its end.

    Raises:
        ValueError: it is none; the message says what to write.
    """
    sound = path.startswith("/") and path.isascii() and path.isprintable()
    if path and (not sound or set(path) & set(" ?#")):
        raise ValueError("expected a path such as /team-a/llama, without a query")
    if path.rstrip("/").endswith("/v1"):
        raise ValueError("drop /v1 at its end, since hotfire asks for /v1/... below it")
    return path.rstrip("/")


def split_url(url: str) -> SplitResult:
    """Return the parts of an http or https URL.

    Raises:
        ValueError: it is none, or its port is no port; the message says what to write.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(
            f"{_lower(error)}; expected http://host[:port], port 1 to 65535"
        ) from error
    sound = parts.scheme in ("http", "https") and parts.hostname and url.isprintable()
    if not sound or " " in url:
        raise ValueError("expected http://host[:port] or https://host[:port]")
    if port == 0:
        raise ValueError("port 0 is no port; expected http://host[:port], port 1 to 65535")
    return parts


def _lower(error: ValueError) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]


class Gateway(BaseModel):
    """How requests reach the platform."""

    model_config = STRICT

    url: str
    """What clients call, scheme and authority, e.g. http://10.96.0.80."""
    host_url: str | None = None
    """The same gateway as this process reaches it; default: url, most need no detour."""
    network_namespace: str | None = None
    """Name under /run/netns in which the load runs; only the lab has one."""
    class_name: str | None = None
    """GatewayClass of the gateway; default: unknown, the checks then accept any."""
    base_path: str = ""
    """Path before the API's own, e.g. /team-a/llama where clients ask for
    /team-a/llama/v1/chat/completions; default: none."""
    headers: Headers = {}
    """Sent with each request; a secret only as ``${env:NAME}``, ``${file:/PATH}`` or
    ``${secret:NAMESPACE/NAME/KEY}``, a Kubernetes Secret."""
    bearer_token: Reference | None = None
    """The key that clients show, by such a reference; sent as ``Authorization: Bearer``."""
    ca_file: Path | None = None
    """PEM file of the authorities that may vouch for an https gateway, relative to the target file;
    default: the machine's."""
    client_certificate: Path | None = None
    """PEM file of the certificate that the gateway is shown; default: none."""
    client_key: Path | None = None
    """PEM file of its key, without a password; default: it lies in the certificate's file."""
    server_name: str | None = None
    """Name that the gateway's certificate must bear, and that the handshake asks for (SNI);
    default: the host of ``url``."""
    host: str | None = None
    """Host header where routes go by another name than that of ``url``."""
    retry_ratio: float = Field(default=0.2, ge=0, allow_inf_nan=False)
    """Most retries by the gateway, per request, while engines refuse a fifth of all, as declared;
    default: one more try for each that was refused."""

    @field_validator("url", "host_url")
    @classmethod
    def _authority_only(cls, value: str | None) -> str | None:
        return None if value is None else authority(value)

    @field_validator("base_path")
    @classmethod
    def _path_only(cls, value: str) -> str:
        return prefix(value)

    @model_validator(mode="after")
    def _key_of_a_certificate(self) -> Self:
        if self.client_key and not self.client_certificate:
            raise ValueError("client_key needs client_certificate, the certificate of that key")
        return self

    @property
    def reachable_url(self) -> str:
        """The address this process uses, without a trailing slash."""
        return (self.host_url or self.url).rstrip("/")

    @property
    def peer_name(self) -> str:
        """Name that the gateway's certificate must bear, whichever way it is reached."""
        return self.server_name or str(urlsplit(self.url).hostname)

    @property
    def shown_headers(self) -> dict[str, str]:
        """What goes with each request, secrets as references; names in lower case."""
        shown = {name.lower(): value for name, value in self.headers.items()}
        if self.bearer_token:
            shown["authorization"] = f"Bearer {self.bearer_token}"
        return shown | ({"host": self.host} if self.host else {})

    def shown_by(self, credentials: Mapping[str, str]) -> Self:
        """Return the same for a client that shows something else than the credentials here."""
        plain = {name: text for name, text in self.headers.items() if not REFERENCE.search(text)}
        return self.model_copy(update={"headers": {**plain, **credentials}, "bearer_token": None})

    @property
    def tls_files(self) -> dict[str, str]:
        """The files of a TLS connection by their fields' names; empty where there is none."""
        fields = ("ca_file", "client_certificate", "client_key")
        return {name: str(getattr(self, name) or "") for name in fields}

    def beside(self, folder: Path) -> Self:
        """Return the same with its files resolved against the target file's folder."""
        paths = {
            name: folder / Path(path).expanduser() for name, path in self.tls_files.items() if path
        }
        return self.model_copy(update={name: path.resolve() for name, path in paths.items()})
