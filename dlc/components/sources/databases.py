"""Rows of databases."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, model_validator

from dlc.components.sources.blocks import joined, limited
from dlc.components.sources.files import FileSource
from dlc.components.sources.paths import full_path
from dlc.components.sources.secrets import secrets_of
from dlc.components.sources.source import Columns, Opened
from dlc.language.options import OptionError, RuleViolation, main, option, reject

_URL = re.compile(r"[a-zA-Z][\w+.-]*://.+", re.DOTALL)


def _url(value: Any) -> Any:
    """An address of a database without a secret in it. What is rejected is not repeated."""
    if value is None:
        return None
    if not isinstance(value, str) or not _URL.fullmatch(value):
        expected = "an address such as `postgresql://server/name`"
        raise reject(OptionError((), "DLC104", "not a valid address of a database", expected=expected))
    if value.startswith("sqlite"):
        hint = f"write `path: {value.rpartition('//')[2].removeprefix('/') or 'shop.db'}`"
        raise reject(OptionError((), "DLC104", "an SQLite database is a file", expected="`path`", hint=hint))
    if secrets_of(value):
        message = "the address holds a password, which would be written into the folder of the run"
        hint = "put the address into an environment variable, and write `url_env: NAME_OF_THE_VARIABLE`"
        raise reject(OptionError((), "DLC104", message, hint=hint))
    return value


class Sql(FileSource):
    """The rows of a query: of an SQLite file, or of another database through SQLAlchemy. Nothing is written to it.

    NULL is a missing value, and dates become strings (ISO 8601). Without `query` the only table of an SQLite file is
    read. `order by` gives rows an order that does not depend on the database. Passwords do not belong into specs:
    `url_env` names an environment variable that holds the address of the database.
    """

    word = "sql"
    locations: ClassVar[tuple[str, ...]] = ("path",)
    suffixes = (".db", ".sqlite", ".sqlite3")
    empty = "is empty, not an SQLite database"
    path: str | None = main(  # type: ignore[assignment]
        None, min_length=1, description="the SQLite file; relative to the spec's folder"
    )
    query: str | None = option(None, min_length=1, description="the `select` statement")
    url: Annotated[str | None, BeforeValidator(_url)] = option(
        None, description="the address of another database, as SQLAlchemy reads it, without a password"
    )
    url_env: str | None = option(None, min_length=1, description="the environment variable that holds the address")
    rows: int | None = option(None, ge=1, description="read only so many rows, from the first one on")
    examples = (
        "sql: {path: shop.db, query: select amount as x from orders order by id}",
        "sql: {path: shop.db, rows: 2}",
    )

    @model_validator(mode="after")
    def _check(self) -> Sql:
        given = [name for name in ("path", "url", "url_env") if getattr(self, name) is not None]
        if len(given) != 1:
            names = " and ".join(f"`{name}`" for name in given) if given else "none of them"
            message = "one of `path`, `url` and `url_env` says where the database is"
            raise reject(OptionError((), "DLC102", message, found=names))
        if self.query is None and self.path is None:
            raise reject(OptionError((), "DLC102", "`sql` needs `query` for a database that is not a file"))
        return self

    @classmethod
    def advice(cls, key: str) -> str | None:
        """The hint for the rest of a query that is not quoted: a comma ends it."""
        return 'put the query into quotes: `query: "select ..."`' if " " in key or not key.isidentifier() else None

    @classmethod
    def sample(cls) -> bytes:
        """A table of three rows."""
        import sqlite3
        from contextlib import closing
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as folder:
            path = Path(folder) / "sample.db"
            with closing(sqlite3.connect(path)) as database:
                database.execute("create table orders (id integer primary key, amount real, name text)")
                database.executemany(
                    "insert into orders values (?, ?, ?)", [(1, 2.5, "a"), (2, None, "b"), (3, 1, None)]
                )
                database.commit()
            return path.read_bytes()

    @classmethod
    def recognizes(cls, head: bytes) -> bool:
        """The first 16 bytes."""
        return head.startswith(b"SQLite format 3\0")

    def for_file(self, path: Path) -> Self:
        """The same query for another file."""
        return self.model_copy(update={"path": str(path), "url": None, "url_env": None, "rows": None})

    def find(self, base: Path) -> None:
        """Check that the file exists."""
        if self.path is not None:
            self.file(base)

    def names_from(self, base: Path) -> Path:
        """The folder of the file; that of the spec for another database."""
        return base if self.path is None else full_path(base, self.path).parent

    def load(self, base: Path) -> Columns:
        """Read all rows."""
        return joined(list(self._read(base, None)))

    def open(self, base: Path, room: int) -> Opened:
        """The rows in blocks."""
        return self._read(base, room // 16)

    def _read(self, base: Path, room: int | None) -> Iterator[Columns]:
        from dlc.components.sources.queries import query_database, query_sqlite

        if self.path is not None:
            return limited(query_sqlite(self.file(base), self.query, room), self.rows)
        assert self.query is not None
        address, named = self._address()
        return limited(query_database(address, self.query, room, named), self.rows)

    def _address(self) -> tuple[str, str]:
        """The address of the database, and the option that gives it.

        Raises:
            RuleViolation: DLC401 when the environment variable has no address.
        """
        if self.url_env is None:
            return str(self.url), "url"
        found = os.environ.get(self.url_env, "")
        if not _URL.fullmatch(found) or found.startswith("sqlite"):
            what = "does not hold the address of a database that SQLAlchemy connects to" if found else "is not set"
            message = f"the environment variable `{self.url_env}` {what}"
            hint = (
                f"for example `export {self.url_env}=postgresql://server/name`, with user and password if it needs them"
            )
            raise RuleViolation("DLC401", message, hint=hint, option="url_env")
        return found, "url_env"
