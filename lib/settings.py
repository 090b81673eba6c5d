"""The environment, read and checked once when the process starts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from lib.errors import Misconfigured

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port, which together say whom a URL speaks to (RFC 6454)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """The origin of an http or https URL. Raises ValueError for anything else."""
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
        if scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc:
            raise ValueError("not an http or https URL without credentials")
        return cls(scheme, host, _DEFAULT_PORTS[scheme] if parts.port is None else parts.port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the deployment's owner sets. Secrets stay out of the repr, and so out of tracebacks."""

    webhook_secrets: tuple[bytes, ...]
    api_key: str
    database_url: str
    callback_origins: frozenset[Origin]

    def __repr__(self) -> str:
        return f"Settings(callback_origins={sorted(map(str, self.callback_origins))})"

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Settings":
        """Settings from environment variables; white space pasted around a value is dropped.

        Raises Misconfigured, whose reason is the name of the first variable that is missing or
        malformed.
        """
        return cls(
            webhook_secrets=tuple(
                secret.encode("utf-8", "surrogateescape")
                for secret in _required(environment, "MODELRIVER_WEBHOOK_SECRET").split()
            ),
            # A bearer token is printable ASCII (RFC 6750); anything else cannot be a header.
            api_key=_required(environment, "MODELRIVER_API_KEY", r"[!-~]+"),
            database_url=_required(environment, "DATABASE_URL", r"postgres(ql)?://[^\s/]\S*"),
            callback_origins=_origins(environment, "MODELRIVER_CALLBACK_ORIGINS"),
        )


def _required(environment: Mapping[str, str], name: str, pattern: str = r".+") -> str:
    value = environment.get(name, "").strip()
    if not re.fullmatch(pattern, value, re.DOTALL):
        raise Misconfigured(name)
    return value


def _origins(environment: Mapping[str, str], name: str) -> frozenset[Origin]:
    urls = environment.get(name, "").split() or ["https://api.modelriver.com"]
    try:
        return frozenset(map(Origin.of, urls))
    except ValueError:
        raise Misconfigured(name) from None
