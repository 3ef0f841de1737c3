"""The encodings of text files that the option `encoding` names."""

from __future__ import annotations

from typing import Literal

Encoding = Literal[
    "auto",
    "utf-8",
    "utf-16",
    "latin-1",
    "cp1252",
    "windows-1252",
    "iso8859-2",
    "iso8859-15",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1254",
    "koi8-r",
    "mac-roman",
    "cp437",
    "cp850",
    "shift-jis",
    "euc-jp",
    "gb18030",
    "big5",
    "euc-kr",
]
"""`auto` is UTF-8, or UTF-16 if the text has its byte order mark or zero bytes."""
