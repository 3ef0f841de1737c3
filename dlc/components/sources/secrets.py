"""Secrets in addresses of databases: they are in no message and no run folder."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

_SECRET = re.compile(r"pass|pwd|secret|token|key|credential", re.IGNORECASE)
_LOGIN = re.compile(r"[^:/]*:([^@]*)@")  # as SQLAlchemy reads it: a password may hold slashes
_INSIDE = re.compile(r"(?:pass\w*|pwd|secret\w*|\w*token|\w*key)\s*=\s*\{?([^;&}]+)", re.IGNORECASE)
"""A secret in a string of settings for ODBC: `DRIVER=...;PWD=...`."""


def secrets_of(url: str) -> list[str]:
    """The passwords and other secrets in an address, as they are written and without escapes; the longest ones first.

    >>> secrets_of("postgresql://me:s%21@server/shop?sslpassword=x"), secrets_of("postgresql://me@server/shop")
    (['s%21', 's!', 'x'], [])
    """
    rest = url.partition("://")[2]
    login = rest.partition("/")[0].rpartition("@")[0]
    found = [login.partition(":")[2], *(match[1] for match in [_LOGIN.match(rest)] if match)]
    found += _INSIDE.findall(unquote(rest.partition("?")[2]))
    try:
        found += [value for name, value in parse_qsl(urlsplit(url).query) if _SECRET.search(name)]
    except ValueError:  # such as an open bracket
        found.append(rest.partition("?")[2])
    return sorted({text for secret in found if secret for text in (secret, unquote(secret))}, key=len, reverse=True)
