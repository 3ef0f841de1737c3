"""Queries that read databases and can't change them."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from dlc.components.sources.arrow_text import FIELD_BYTES
from dlc.components.sources.python_values import column_of
from dlc.components.sources.secrets import secrets_of
from dlc.components.sources.source import Columns, normalized_names
from dlc.diagnostics import listing, reason
from dlc.language.options import RuleViolation
from dlc.support.optional import require

_ROWS = 1000  # that are fetched at a time
_MOST_BYTES = 1 << 30  # of a value, and of a statement
_READING = frozenset(
    getattr(sqlite3, name) for name in ("SQLITE_SELECT", "SQLITE_READ", "SQLITE_FUNCTION", "SQLITE_RECURSIVE")
)
_QUOTED = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|--[^\n]*|/\*.*?\*/""", re.DOTALL
)  # strings, quoted names and comments, whichever begins first


def query_sqlite(path: Path, query: str | None, room: int | None) -> Iterator[Columns]:
    """The rows of a query in blocks of about `room` bytes; all of them if it is None.

    The file is opened for reading only. The statement may read tables, and nothing else: not attach other files, not
    change settings.

    Args:
        path: the file.
        query: the statement; None to read the only table.
        room: the bytes of a block.

    Raises:
        RuleViolation: DLC401 when it fails.
    """
    _need_whole(path)
    with _sqlite_errors(path), closing(_sqlite(path)) as database:
        statement = query or f"select * from {_only_table(database, path)}"  # noqa: S608 - the name is quoted
        cursor = database.execute(statement)
        if cursor.description is None:
            raise _no_rows(path)
        names = [str(each[0]) for each in cursor.description]
        yield from _blocks(names, iter(lambda: cursor.fetchmany(_ROWS), []), room, f"the query of `{path}`")


def _need_whole(path: Path) -> None:
    """Check that a file has all pages that its header counts: SQLite reads missing ones as empty.

    Raises:
        RuleViolation: DLC401.
    """
    try:
        with open(path, "rb") as file:
            head, size = file.read(100), file.seek(0, os.SEEK_END)
    except OSError as error:
        raise RuleViolation("DLC401", f"`{path}` can't be read: {reason(error)}", option="path") from None
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0"):
        return  # reported by SQLite
    page, pages = int.from_bytes(head[16:18]), int.from_bytes(head[28:32])
    if head[24:28] == head[92:96] and size < (65536 if page == 1 else page) * pages:  # file format, 1.3
        raise RuleViolation("DLC401", f"`{path}` is truncated", option="path")


def _sqlite(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    database.execute("pragma query_only = on")
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
    database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)

    def allowed(action: int, *rest: Any) -> int:
        loads = action == sqlite3.SQLITE_FUNCTION and "load_extension" in rest
        return sqlite3.SQLITE_OK if action in _READING and not loads else sqlite3.SQLITE_DENY

    database.set_authorizer(allowed)
    return database


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    """Report errors of SQLite as DLC401."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as error:
        text, hint = str(error), None
        option = "query"
        if "not a database" in text or "malformed" in text or "disk image" in text or "unable to open" in text:
            option, text = "path", f"`{path}` can't be read: {text}"
        elif "not authorized" in text or "readonly" in text or "prohibited" in text:
            text = f"the query of `{path}` does more than read tables: {text}"
            hint = "write a single `select` statement"
        else:
            text = f"the query of `{path}` fails: {text}"
            hint = "write a single `select` statement" if "one statement" in text else None
        raise RuleViolation("DLC401", text, hint=hint, option=option) from None


def _only_table(database: sqlite3.Connection, path: Path) -> str:
    """The quoted name of the only table.

    Raises:
        RuleViolation: DLC401 when there are none or several.
    """
    rows = database.execute(
        "select name from sqlite_master where type in ('table', 'view') and name not like 'sqlite_%'"
    )
    names = [str(name) for (name,) in rows]
    if len(names) != 1:
        message = f"`{path}` has {len(names)} tables" if names else f"`{path}` has no tables"
        hint = f"set `query` to a statement that reads one or more of them, such as `{names[0]}`" if names else None
        raise RuleViolation("DLC401", message, found=listing(names, 6) or None, hint=hint, option="path")
    return '"' + names[0].replace('"', '""') + '"'


def _no_rows(where: object) -> RuleViolation:
    hint = "write a `select` statement"
    return RuleViolation("DLC401", f"the query of `{where}` returns no rows", hint=hint, option="query")


def _blocks(names: Sequence[str], batches: Iterable[Sequence[Any]], room: int | None, where: str) -> Iterator[Columns]:
    """Rows as columns, in blocks; at least one.

    Raises:
        RuleViolation: DLC401 when two columns have one name.
    """
    try:
        names = normalized_names(names, where)
    except RuleViolation as wrong:
        message = f"two columns of {where} have one name"
        hint = "name them with `as`"
        raise RuleViolation("DLC401", message, found=wrong.found, hint=hint, option="query") from None
    block, size, whole = list[Sequence[Any]](), 0, True
    for batch in batches:
        block += batch
        size += sum(map(_size, batch))
        if room is not None and size >= room:
            yield _columns(names, block)
            block, size, whole = [], 0, False
    if block or whole:
        yield _columns(names, block)


def _columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Columns:
    return {name: column_of([row[index] for row in rows]) for index, name in enumerate(names)}


def _size(row: Sequence[Any]) -> int:
    """About how many bytes a row takes in memory."""
    return sum(FIELD_BYTES + (len(value) if isinstance(value, (str, bytes)) else 0) for value in row)


def query_database(url: str, query: str, room: int | None, named: str) -> Iterator[Columns]:
    """The rows of a query of any database, in blocks as by `query_sqlite`.

    The statement must begin as one that reads. It runs in a transaction that is never committed, which is declared as
    read-only where the database supports that.

    Args:
        url: the address, which may hold a password: messages never do.
        query: the statement.
        room: the bytes of a block.
        named: the option that gives the address, for messages.

    Raises:
        RuleViolation: DLC401 when it fails.
        SpecError: DLC506 when SQLAlchemy is not installed.
    """
    need_reading(query)
    sqlalchemy = require("sqlalchemy")
    try:
        engine = sqlalchemy.create_engine(url)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError, TypeError) as error:
        raise _failed("the database can't be opened", error, url, named) from None
    try:
        yield from rows_of(engine, query, room)
    except RuleViolation:
        raise
    except Exception as error:  # each driver has errors of its own
        raise _failed("the query fails", error, url, "query") from None
    finally:
        engine.dispose()


def rows_of(engine: Any, query: str, room: int | None) -> Iterator[Columns]:
    """The rows of a query through an engine of SQLAlchemy. The transaction is rolled back."""
    sqlalchemy = require("sqlalchemy")
    options = {"stream_results": True, "yield_per": _ROWS}
    if engine.dialect.name == "postgresql":
        options["postgresql_readonly"] = True
    with engine.connect().execution_options(**options) as connection:
        if engine.dialect.name in ("mysql", "mariadb"):
            connection.exec_driver_sql("set transaction read only")
        result = connection.execute(sqlalchemy.text(query.replace(":", r"\:")))
        if not result.returns_rows:
            raise _no_rows("the database")
        names = [str(name) for name in result.keys()]  # noqa: SIM118 - the names, not a mapping
        yield from _blocks(names, (list(map(tuple, part)) for part in result.partitions(_ROWS)), room, "the query")


def need_reading(query: str) -> None:
    """Check that a query is one statement, which begins as one that reads.

    Raises:
        RuleViolation: DLC401.
    """
    bare = _QUOTED.sub(lambda found: " " if found[0].startswith(("--", "/*")) else " q ", query).strip(" \t\r\n;(")
    words = re.findall(r"\w+", bare.lower())
    reads = words[:1] and words[0] in ("select", "with", "values", "table") and "into" not in words
    odd = any(mark in bare for mark in (";", "'", '"', "`", "/*")) or "/*!" in query or "\\'" in query or '\\"' in query
    if not reads or odd:
        hint = "write a single `select` statement"
        raise RuleViolation("DLC401", "the query does more than read tables", hint=hint, option="query")


def _failed(what: str, error: Exception, url: str, option: str) -> RuleViolation:
    """An error of a database, without the secrets in its address."""
    cause = getattr(error, "orig", None) or error
    why = " ".join(str(cause).split("\n", maxsplit=1)[0].split()) or type(cause).__name__
    for secret in (url, *secrets_of(url)):
        why = why.replace(secret, "***")
    package = cause.name if isinstance(cause, ModuleNotFoundError) else None
    hint = f"install the driver of the database, for example with `pip install {package}`" if package else None
    return RuleViolation("DLC401", f"{what}: {why[:300]}", hint=hint, option=option)
