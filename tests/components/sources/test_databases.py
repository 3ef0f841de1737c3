"""Queries of databases: their columns, what they must not do, and secrets that nothing repeats."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy

import dlc
from dlc.components.sources import SOURCES, queries
from dlc.components.sources.queries import need_reading, query_database, rows_of
from dlc.components.sources.secrets import secrets_of
from dlc.diagnostics.render import FORMATS, masked
from dlc.language.options import RuleViolation, build_word
from dlc.language.yaml_text import parse_yaml
from tests.components.building import built


def source(spec: str) -> Any:
    return built(spec, "source")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop #1.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table orders (id integer primary key, amount real, name text, paid, data blob)")
        rows = [(1, 2.5, "ä", 1, b"\0a"), (2, None, None, None, None), (3, 7, "b;", 2**40, b"c")]
        database.executemany("insert into orders values (?, ?, ?, ?, ?)", rows)
        database.commit()
    return path


def wrong(folder: Path, query: str, path: str = "shop #1.db") -> RuleViolation:
    with pytest.raises(RuleViolation) as caught:
        source(f"sql: {{path: '{path}', query: \"{query}\"}}").load(folder)
    assert caught.value.code == "DLC401"
    return caught.value


def test_rows_of_a_query(shop: Path, tmp_path: Path) -> None:
    made = source("sql: {path: 'shop #1.db', query: \"select id, amount * 2 as twice, name, paid, data from orders\"}")
    found = made.load(tmp_path)
    assert list(found) == ["id", "twice", "name", "paid", "data"]
    assert found["id"].dtype == np.int64 and found["id"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(found["twice"], [5, np.nan, 14])
    assert found["name"].tolist() == ["ä", "", "b;"]
    assert found["paid"].tolist() == [1, None, 2**40] and found["data"].tolist() == [b"\0a", None, b"c"]


def test_blocks_and_first_rows(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "_ROWS", 1)
    made = source("sql: {path: 'shop #1.db', query: select id as x from orders order by id desc}")
    assert [block["x"].tolist() for block in made.open(tmp_path, 16)] == [[3], [2], [1]]
    made = source("sql: {path: 'shop #1.db', rows: 2}")
    assert made.load(tmp_path)["id"].tolist() == [1, 2]
    assert made.for_file(tmp_path / "other.db").rows is None
    empty = source("sql: {path: 'shop #1.db', query: select id from orders where id > 9}").load(tmp_path)
    assert {name: len(column) for name, column in empty.items()} == {"id": 0}


@pytest.mark.parametrize(
    "query",
    [
        "delete from orders",
        "insert into orders (id) values (9)",
        "drop table orders",
        "create table new (x)",
        "attach 'other.db' as other",
        "pragma user_version = 3",
        "vacuum into 'copy.db'",
        "select load_extension('evil.so')",
        "select 1; delete from orders",
        "update orders set id = 7 returning id",
        "begin",
    ],
)
def test_a_query_can_only_read(shop: Path, tmp_path: Path, query: str) -> None:
    before = shop.read_bytes()
    found = wrong(tmp_path, query)
    assert found.option == "query" and str(shop) in found.message
    assert shop.read_bytes() == before and sorted(tmp_path.iterdir()) == [shop]


def test_wrong_queries(shop: Path, tmp_path: Path) -> None:
    assert "no such table: order" in wrong(tmp_path, "select * from orderz").message
    assert "syntax error" in wrong(tmp_path, "selekt").message
    assert "does not exist" in wrong(tmp_path, "select 1", "gone.db").message
    found = wrong(tmp_path, "select id, amount as id from orders")
    assert "two columns of" in found.message and found.hint == "name them with `as`"
    (tmp_path / "not.db").write_text("x,y\n1,2\n")
    found = wrong(tmp_path, "select * from t", "not.db")
    assert "can't be read: file is not a database" in found.message and found.option == "path"
    shop.write_bytes(shop.read_bytes()[:5000])
    assert "is truncated" in wrong(tmp_path, "select * from orders").message


def test_without_a_query_the_only_table_is_read(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        with pytest.raises(RuleViolation, match=r"is empty|has no tables"):
            source("sql: a.db").load(tmp_path)
        database.execute('create table "a ""b" (x)')
        database.execute('insert into "a ""b" values (5)')
        database.commit()
        assert source("sql: a.db").load(tmp_path)["x"].tolist() == [5]
        database.execute("create table c (x)")
        with pytest.raises(RuleViolation, match="has 2 tables") as caught:
            source("sql: a.db").load(tmp_path)
    assert "set `query`" in (caught.value.hint or "")


# ---- other databases ----


def engine(tmp_path: Path) -> Any:
    made = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    with made.begin() as connection:
        connection.exec_driver_sql("create table t (x integer, at text)")
        connection.exec_driver_sql("insert into t values (1, '2020-01-02 10:30:00'), (2, null)")
    return made


def test_rows_through_sqlalchemy(tmp_path: Path) -> None:
    made = engine(tmp_path)
    (found,) = rows_of(made, "select x, at, ':y' as z from t order by x", None)
    assert {name: column.tolist() for name, column in found.items()} == {
        "x": [1, 2],
        "at": ["2020-01-02 10:30:00", ""],
        "z": [":y", ":y"],
    }
    with pytest.raises(RuleViolation, match="returns no rows"):
        list(rows_of(made, "delete from t", None))
    (found,) = rows_of(made, "select count(*) as n from t", None)
    assert found["n"].tolist() == [2]  # the deletion was not committed


@pytest.mark.parametrize(
    "query",
    ["delete from t", "", "-- select\ndrop table t", "select 1; delete from t", "/* select */ update t set x = 1"],
)
def test_statements_that_do_not_read(query: str) -> None:
    with pytest.raises(RuleViolation, match="does more than read"):
        need_reading(query)


@pytest.mark.parametrize(
    "query", ["select 1", " (SELECT 1) union (select 2);", "-- a;\nwith x as (select ';') table x"]
)
def test_statements_that_read(query: str) -> None:
    need_reading(query)


# ---- secrets ----

SECRET = "s3cr3t%21"
URL = f"postgresql+none://me:{SECRET}@server/shop?sslpassword=other-s3cr3t"


def test_secrets_of_addresses() -> None:
    assert secrets_of(URL) == ["other-s3cr3t", SECRET, "s3cr3t!"]
    assert secrets_of("mysql://server/shop?charset=utf8") == secrets_of("mysql://me@server/shop") == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_password_in_a_spec_is_an_error_that_does_not_show_it(form: str, tmp_path: Path) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text(
        f'data: {{source: {{sql: {{url: "{URL}", query: select x from t}}}}}}\ninputs: {{x: {{tensor: [1]}}}}\n'
        f"network: [dense: 1]\nplugin: {URL}\n"
    )
    report = dlc.check(spec)
    assert {item.code for item in report.diagnostics} >= {"DLC104"}
    shown = FORMATS[form](report)
    assert "url_env" in shown and SECRET not in shown and "s3cr3t!" not in shown


def test_masked_passwords() -> None:
    assert masked("a postgresql://me:p@ss@server/x@y b") == "a postgresql://me:****@server/x@y b"
    assert masked("https://example.org/a:b@c") == "https://example.org/a:b@c"


def test_an_address_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = source("sql: {url_env: SHOP, query: select x from t}")
    for value, said in (("", "is not set"), ("server", "does not hold"), ("sqlite:///x.db", "does not hold")):
        monkeypatch.setenv("SHOP", value)
        with pytest.raises(RuleViolation, match=said) as caught:
            made.load(tmp_path)
        assert caught.value.option == "url_env"
    monkeypatch.setenv("SHOP", URL)
    with pytest.raises(RuleViolation, match="can't be opened") as caught:
        made.load(tmp_path)
    assert SECRET not in str(caught.value.__dict__) and "s3cr3t!" not in str(caught.value.__dict__)


def test_a_driver_that_is_not_installed_has_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(url: str) -> Any:
        raise ModuleNotFoundError("No module named 'a_driver'", name="a_driver")

    monkeypatch.setattr(sqlalchemy, "create_engine", missing)
    with pytest.raises(RuleViolation) as caught:
        list(query_database("postgresql://server/shop", "select 1", None, "url_env"))
    assert "pip install a_driver" in (caught.value.hint or "")


def test_errors_of_drivers_do_not_show_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(url: str) -> Any:
        raise ValueError(f"no connection to {url} with s3cr3t!")

    monkeypatch.setattr(sqlalchemy, "create_engine", refusing)
    with pytest.raises(RuleViolation) as caught:
        list(query_database(URL, "select 1", None, "url_env"))
    assert caught.value.message == "the database can't be opened: no connection to *** with ***"


@pytest.mark.parametrize(
    ("options", "code", "place"),
    [
        ("query: select 1", "DLC102", ()),
        ("path: a.db, url_env: X, query: select 1", "DLC102", ()),
        ("url_env: X", "DLC102", ()),
        ("url: server, query: select 1", "DLC104", ("url",)),
        ("url: 'sqlite:///a.db', query: select 1", "DLC104", ("url",)),
    ],
)
def test_wrong_options(options: str, code: str, place: tuple[str, ...]) -> None:
    made = build_word(parse_yaml(f"sql: {{{options}}}", "example").tree, SOURCES, "source")
    assert isinstance(made, list) and [(error.code, error.loc) for error in made] == [(code, ("sql", *place))]


def test_a_query_with_a_comma_needs_quotes() -> None:
    made = build_word(parse_yaml("sql: {path: a.db, query: select x, y from t}", "example").tree, SOURCES, "source")
    assert isinstance(made, list) and made[0].code == "DLC101" and "into quotes" in (made[0].hint or "")


def test_dates_of_databases() -> None:
    rows = [(dt.datetime(2020, 1, 2, 3), dt.date(2020, 1, 2))]
    (found,) = queries._blocks(["at", "on"], [rows], None, "the query")
    assert found["at"].tolist() == ["2020-01-02T03:00:00"] and found["on"].tolist() == ["2020-01-02"]


def test_secrets_of_unusual_addresses() -> None:
    assert "pa/ss" in secrets_of("postgresql://me:pa/ss@server/db")
    assert "hunter2" in secrets_of("mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BUID%3Dsa%3BPWD%3Dhunter2")


@pytest.mark.parametrize(
    "query",
    [
        "select '--'; delete from orders; commit",
        "select '/*'; delete from t; --*/",
        "select * from t into outfile '/tmp/x'",
        "select 1 /*!; delete from t */",
        r"select '\''; delete from t; -- '",
    ],
)
def test_a_query_that_hides_another_is_refused(query: str) -> None:
    with pytest.raises(RuleViolation, match="does more than read tables"):
        need_reading(query)


def test_marks_in_strings_and_names_are_no_statements() -> None:
    for query in ("select 'a;b' from t", 'select "a;b" from t', "select 1 -- into; x\n", "select 'it''s; --' from t"):
        need_reading(query)
