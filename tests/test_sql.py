"""`kfoot sql`, the Parquet tables, and the worked queries of docs/sql.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("duckdb")

from kfoot import cli, tables
from kfoot.capture import Capture
from kfoot.footprint import contract, derive
from kfoot.readers.reading import CallCount, CallKey, EventKey, Object, Process, Reading, Request

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import sql_answers  # noqa: E402  (a script, not in the package)

PAGE = (ROOT / "docs" / "sql.md").read_text()


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return sql_answers.make_captures(tmp_path_factory.mktemp("sql"))


def test_there_are_ten_worked_queries_with_answers() -> None:
    found = list(sql_answers.WORKED.finditer(PAGE))
    assert len(found) == 10
    assert all(len(match["answer"].splitlines()) > 2 for match in found)


def test_the_answers_on_the_page_are_current(captures: dict[str, Path]) -> None:
    """`python scripts/sql_answers.py` writes them."""
    assert sql_answers.answered(PAGE, captures) == PAGE


def test_formats(captures: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    query = "select name, calls, errnos, '=1+1|' as risky from syscalls where name = 'epoll_ctl'"
    words = ["sql", str(captures["pump"]), query]
    assert cli.main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"name": "epoll_ctl", "calls": 637, "errnos": {"EPERM": 636}, "risky": "=1+1|"}
    ]
    assert cli.main([*words, "--csv"]) == 0
    assert capsys.readouterr().out == "name,calls,errnos,risky\nepoll_ctl,637,EPERM=636,'=1+1|\n"
    assert cli.main([*words, "--markdown"]) == 0
    assert capsys.readouterr().out.splitlines()[2] == "| epoll_ctl | 637 | EPERM=636 | =1+1\\| |"


def test_tables_are_listed_and_written(
    captures: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sql", str(captures["pump"]), "--tables", "--csv"]) == 0
    listed = capsys.readouterr().out
    assert "syscalls,errnos,map" in listed
    files = {path.stem for path in Capture.open(captures["pump"]).tables.iterdir()}
    assert files == {*tables.FOOTPRINT, *tables.RECORDED}


def test_tables_follow_a_newer_footprint(captures: dict[str, Path]) -> None:
    from kfoot.cli.sql import tables_of

    capture = Capture.open(captures["node"])
    tables_of(capture.path)
    stale = capture.tables / "areas.parquet"
    made = stale.stat().st_mtime_ns
    derive(capture)
    tables_of(capture.path)
    assert stale.stat().st_mtime_ns > made


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["selec"], "the query fails"),
        (["select * from nothing"], "the query fails"),
        (["other", "words", "select 1"], "one query"),
        ([], "one query"),
    ],
)
def test_errors(
    captures: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    complaint: str,
) -> None:
    given = [str(captures["pump"]), *words] if words else []
    assert cli.main(["sql", *given]) == 2
    assert complaint in capsys.readouterr().err


def test_a_bare_footprint_has_the_contracts_tables(
    captures: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sql", str(captures["pump"] / "footprint.json"), "select count(*) as n from areas"]
    assert cli.main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["n"] > 3


def test_the_types_cover_the_contract() -> None:
    assert {name: tuple(columns) for name, columns in tables.FOOTPRINT.items()} == {
        name: tuple(columns) for name, columns in contract.TABLES.items()
    }


def test_tables_of_hostile_readings() -> None:
    reading = Reading(
        "strace",
        "x",
        processes=[Process(1, exe="/bin/\udcff", argv=("a", "\ud800"))],
        objects=[Object("file", "/tmp/\x1b[31m\udc80")],
        calls={
            CallKey(0, None, 1 << 70, None, "ok", 0, None, Request(1 << 80, None)): CallCount(1)
        },
        events={EventKey(None, "e", "task"): {None: 3}},
    )
    found = tables.from_readings([reading])
    assert found["calls"].to_pylist()[0]["nr"] is None
    assert found["calls"].to_pylist()[0]["object"] == "/tmp/\x1b[31m\\x80"
    assert found["process_events"].to_pylist()[0]["pid"] is None
    assert {name: tuple(table.column_names) for name, table in found.items()} == {
        name: tuple(columns) for name, columns in tables.RECORDED.items()
    }
