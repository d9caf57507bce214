"""Markdown, RST and CSV: the same content everywhere, and no markup out of a trace."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from kfoot.errors import KfootError
from kfoot.footprint import contract
from kfoot.reports.digest import digest
from kfoot.reports.html import render
from kfoot.reports.plain import as_json, csv_table, head, markdown, rst
from kfoot.reports.select import select, within
from kfoot.reports.tables import TABLES, cell, columns, rows

EXAMPLE = Path(__file__).parent / "data" / "footprint-example.json"


@pytest.fixture
def footprint() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(EXAMPLE.read_bytes())
    return loaded


def rendered_cells(source: str) -> list[str]:
    """The text of every table cell as a Markdown renderer sees it."""
    found = []
    for token in MarkdownIt("commonmark").enable("table").parse(source):
        if token.type == "inline":
            kinds = {child.type for child in token.children or ()}
            assert kinds <= {"text", "text_special", "softbreak"}, token.content
            found.append("".join(child.content for child in token.children or ()))
    return found


def test_markdown_renders_every_cell_as_it_is(footprint: dict[str, Any]) -> None:
    cells = rendered_cells(markdown(footprint))
    for table in TABLES:
        for row in rows(footprint, table.key):
            for column in columns(footprint, table):
                assert cell(row, column) in cells
    for _, value in head(digest(footprint)):
        assert value in cells


NASTY = "*a* _b_ `c` [d](http://e) <b>f</b> | g ![h](i) &amp; http://j www.k.l @m $n$ \\ ~~o~~"


def test_markdown_cannot_be_driven(footprint: dict[str, Any]) -> None:
    footprint["use_case"] = NASTY
    footprint["objects"][0]["name"] = NASTY
    footprint["workload"]["argv"] = [NASTY]
    cells = rendered_cells(markdown(footprint))
    assert cells.count(NASTY) == 2
    assert f"Kernel footprint: {NASTY}" in cells
    assert not re.search(r"(?<!\\)(://|www\.)", markdown(footprint).replace("\\:", "\\;"))


def test_rst_has_every_cell_and_no_live_markup(footprint: dict[str, Any]) -> None:
    footprint["objects"][0]["name"] = ".. raw:: html"
    footprint["objects"][1]["name"] = "- `x <javascript:y>`_ |z|"
    footprint["objects"][2]["name"] = "a. list"
    source = rst(footprint)
    assert "   * - \\.. raw\\:: html" in source
    assert "   * - \\- \\`x <javascript:y>\\`\\_ \\|z\\|" in source
    assert "   * - \\a. list" in source
    plain = re.sub(r"\\(.)", r"\1", source)
    for table in TABLES:
        for row in rows(footprint, table.key):
            for column in columns(footprint, table):
                assert cell(row, column).replace("\\", "") in plain.replace("\\", "")


@pytest.mark.parametrize("table", [table.key for table in TABLES])
def test_csv_has_the_rows(footprint: dict[str, Any], table: str) -> None:
    read = list(csv.DictReader(io.StringIO(csv_table(footprint, table))))
    assert len(read) == len(footprint[table])


def test_csv_null_is_empty_and_zero_is_zero(footprint: dict[str, Any]) -> None:
    read = {
        row["name"]: row for row in csv.DictReader(io.StringIO(csv_table(footprint, "modules")))
    }
    assert [read["spi_bcm2835"][when] for when in ("before", "during")] == ["", "0"]


def test_csv_pairs_and_formulas(footprint: dict[str, Any]) -> None:
    footprint["objects"][0]["name"] = '=HYPERLINK("http://x")'
    footprint["objects"][1]["operations"] = {"@SUM(A1)": 1}
    footprint["config"][0]["reasons"] = ["-1+2"]
    read = list(csv.DictReader(io.StringIO(csv_table(footprint, "objects"))))
    assert read[0]["name"] == '\'=HYPERLINK("http://x")'
    assert read[1]["operations"] == "'@SUM(A1)=1"
    assert csv_table(footprint, "config").splitlines()[1].endswith(",'-1+2")
    assert read[0]["operations"] == "eventfd2=3 read=2 write=6"


def test_csv_of_a_table_that_is_none(footprint: dict[str, Any]) -> None:
    with pytest.raises(KfootError, match="no table 'sycalls'") as caught:
        csv_table(footprint, "sycalls")
    assert "syscalls" in (caught.value.hint or "")


def test_merged_footprints_show_seen(footprint: dict[str, Any]) -> None:
    footprint["syscalls"][0]["seen"] = 2
    assert "seen in captures" in markdown(footprint)
    assert csv_table(footprint, "syscalls").splitlines()[0].endswith(",seen")
    assert not csv_table(footprint, "events").splitlines()[0].endswith(",seen")


def test_empty_is_told_from_not_measured(footprint: dict[str, Any]) -> None:
    for row in (*footprint["areas"], *footprint["sections"]):
        row["executed"] = None
    footprint["functions"] = footprint["changes"] = []
    for source in (markdown(footprint), rst(footprint), render(footprint)):
        assert source.count("Not measured: no collector of this capture records it.") == 1
        assert "None." in source


def test_json_is_the_footprint(footprint: dict[str, Any]) -> None:
    assert json.loads(as_json(footprint)) == footprint
    assert as_json(footprint).isascii()


def test_select_by_area_and_section(footprint: dict[str, Any]) -> None:
    chosen = select(footprint, area="drivers")
    assert {row["name"] for row in chosen["areas"]} == {"drivers:spi", "drivers:tty"}
    assert {row["name"] for row in chosen["objects"]} == {"/dev/spidev0.0", "/dev/pts/0"}
    assert chosen["evidence"] == footprint["evidence"]
    chosen = select(footprint, section="spi subsystem")
    assert {row["name"] for row in chosen["areas"]} == {"drivers:spi"}
    assert [row["name"] for row in chosen["events"]] == ["spi_message_submit"]
    assert chosen["syscalls"] == []


def test_select_of_what_is_not_there_names_what_is_close(footprint: dict[str, Any]) -> None:
    with pytest.raises(KfootError, match="no section 'SPI'") as caught:
        select(footprint, section="SPI")
    assert "SPI SUBSYSTEM" in (caught.value.hint or "")
    with pytest.raises(KfootError, match="no area 'driver'"):
        select(footprint, area="driver")


@pytest.mark.parametrize(
    ("area", "wanted", "inside"),
    [
        ("drivers:spi", "drivers", True),
        ("drivers", "drivers", True),
        ("drivers", "drivers:spi", False),
        ("mmc", "mm", False),
        (None, "mm", False),
    ],
)
def test_within(area: str | None, wanted: str, inside: bool) -> None:
    assert within(area, wanted) is inside


def test_every_column_of_the_contract_is_reported() -> None:
    assert {table.key: {column.key for column in table.columns} for table in TABLES} == {
        name: set(names) for name, names in contract.TABLES.items()
    }
