"""What the deployment's owner sets, read from the environment once when the process starts.

Values are pasted by hand, and the same things go wrong each time. Misconfigured says which, and
names the variable, but never its value.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from lib.errors import Misconfigured

_DEFAULT_PORTS = {"http": 80, "https": 443}
# RFC 3986's characters but for @, over which parsers disagree. Not too many: urlsplit has a cache.
_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]!$&'()*+,;=%-]{1,2048}")
_HOST = re.compile(r"[\w-]*\w(\.[\w-]*\w)*|[0-9a-f:.]*:[0-9a-f:.]*")

_MISTAKES = {  # and what each shows by, with a blank on either side of the value
    "is still in quotes": r"""[\s,]["'`\u201c\u2018\u201e\xab]|["'`\u201c\u201d\u2019\xbb][\s,]""",
    # A name has an underscore in it, and what follows it is no padding of Base64.
    "still has its NAME= before it": r"^ ((export|set)\s+|\$env:)?[A-Za-z]\w*_\w*\s*=\s*[^=\s]",
    r"ends with a literal \n": r"\\[nr][\s,]",
}


def webhook_secrets(environment: Mapping[str, str]) -> tuple[bytes, ...]:
    """One secret, or several while rotating, separated by blanks or commas."""
    listed = _value(environment, "MODELRIVER_WEBHOOK_SECRET").replace(",", " ").split()
    return tuple(secret.encode() for secret in listed)


def api_key(environment: Mapping[str, str]) -> str:
    """The bearer token of callbacks (RFC 6750, section 2.1, says what is one)."""
    key = _value(environment, "MODELRIVER_API_KEY")
    if not re.fullmatch(r"[\w.~+/-]+=*", key, re.ASCII):
        raise Misconfigured("MODELRIVER_API_KEY has something in it that no bearer token has")
    return key


def database_url(environment: Mapping[str, str], name: str = "DATABASE_URL") -> str:
    """A Postgres connection string, as a URL."""
    url = _value(environment, name)
    if not re.fullmatch(r"postgres(ql)?://[^\s/]\S*", url):
        raise Misconfigured(f"{name} is not a postgresql:// URL")
    return url


def callback_origins(environment: Mapping[str, str]) -> frozenset[str]:
    """The origins that callbacks may go to, in a list separated by blanks or commas."""
    name = "MODELRIVER_CALLBACK_ORIGINS"
    listed = _value(environment, name, "https://api.modelriver.com").replace(",", " ").split()
    try:
        return frozenset(map(origin, listed))
    except ValueError:
        raise Misconfigured(f"{name} has something in it that is not an origin") from None


def origin(url: str) -> str:
    """Scheme, host and port of a URL, in one spelling: whom it speaks to (RFC 6454).

    Raises ValueError for what is no http or https URL, and for one with credentials.
    """
    parts = urlsplit(url if _URL.fullmatch(url) else "")
    host = parts.hostname or ""
    if parts.scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(host):
        raise ValueError("not an http or https URL without credentials")
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def _value(environment: Mapping[str, str], name: str, default: str = "") -> str:
    """A variable's value without the white space around it."""
    value = environment.get(name, "").strip() or default
    if not all(each.isprintable() or each.isspace() for each in value):
        raise Misconfigured(f"{name} has an invisible character in it")
    for what, mistake in _MISTAKES.items():
        if re.search(mistake, f" {value} "):
            raise Misconfigured(f"{name} {what}")
    if not value.replace(",", " ").strip():
        raise Misconfigured(f"{name} is missing")
    return value
