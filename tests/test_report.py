"""The HTML report: complete, self-contained, harmless; and looked at by a real browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import time
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kfoot.footprint import flow
from kfoot.footprint.flow_fold import Node
from kfoot.reports import flowchart, flowtext
from kfoot.reports.html import render
from kfoot.reports.systemview import system_view
from kfoot.reports.tables import TABLES, cell, columns, rows
from needs import needs
from test_flow import BUSY, NORMAL

EXAMPLE = Path(__file__).parent / "data" / "footprint-example.json"
HOSTILE = "</script><script>document.title='pwned'</script><img src=x onerror=alert(1)>\"'&\x1b\n"


@pytest.fixture
def footprint() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(EXAMPLE.read_bytes())
    return loaded


@pytest.fixture(scope="module")
def reservoir() -> flow.Chart:
    return flow.chart([("normal", NORMAL), ("busy", BUSY)])


def hostile_chart() -> flow.Chart:
    """A chart all of whose words are markup."""
    nodes = [
        Node(HOSTILE, kind, HOSTILE, HOSTILE, HOSTILE, HOSTILE, {0: Counter({HOSTILE: 2})})
        for kind in ("open", "ioctl", "loop", "start", "exit")
    ]
    nodes[2].body = [nodes[0]]
    ways = [flow.Way(HOSTILE, [0, 1, 2, 3, 4])]
    return flow.Chart([flow.Command(HOSTILE, True, ways, nodes, *[Counter({HOSTILE: 1})] * 3, 1)])


class Page(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.in_cell = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("td", "th"):
            self.in_cell = True
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data: str) -> None:
        if self.in_cell:
            self.cells[-1] += data


def test_every_cell_of_every_table_is_there(footprint: dict[str, Any]) -> None:
    cells = Counter(Page(render(footprint)).cells)
    for table in TABLES:
        for row in rows(footprint, table.key):
            for column in columns(footprint, table):
                assert cells[cell(row, column)] > 0


def test_validity_losses_and_provenance_are_said(footprint: dict[str, Any]) -> None:
    page = html.unescape(render(footprint))
    for words in (
        "NOT VALID EVIDENCE",
        "overrun: 17 (ftrace cpu1)",
        "unparsed: an unknown number",
        "kernel functions: this kernel has no function tracer",
        "raw/strace.txt.zst",
        "ab" * 32,
        "6.12.117",
        "4be1" + "a" * 60,
        "strace and ftrace differ in 1 of 29 system calls: x86_64:futex 80 and 81",
    ):
        assert words in page


def test_nothing_is_loaded_from_anywhere(footprint: dict[str, Any], reservoir: flow.Chart) -> None:
    page = Page(render(footprint, reservoir))
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("src", "style", "action", "formaction", "data", "xlink:href")
            if name == "href":
                assert value is not None
                assert value.startswith("#")
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


@pytest.mark.parametrize("drawn", [True, False])
def test_markup_in_names_stays_text(
    footprint: dict[str, Any], drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if drawn:
        needs("dot")
    else:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    for key in ("objects", "sections", "areas", "syscalls", "processes", "modules", "unmapped"):
        for row in footprint[key]:
            for name, value in row.items():
                if isinstance(value, str):
                    row[name] = HOSTILE
    footprint["use_case"] = HOSTILE
    footprint["capture"]["raw_sha256"] = {HOSTILE: HOSTILE}
    footprint["evidence"]["losses"][0]["where"] = HOSTILE
    source = render(footprint, hostile_chart(), baseline=json.loads(EXAMPLE.read_bytes()))
    page = Page(source)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "img" not in {tag for tag, _ in page.tags}
    assert "\x1b" not in source


def test_without_dot_charts_are_text_and_it_is_said(
    footprint: dict[str, Any], reservoir: flow.Chart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    page = html.unescape(render(footprint, reservoir))
    assert "graphviz (dot) is not installed" in page
    assert "flock = EAGAIN: locked by another process: device busy (busy)" in page
    assert 'class="flow"' not in page


def test_the_drawn_chart_has_the_error_branch(reservoir: flow.Chart) -> None:
    needs("dot")
    drawing = flowchart.draw(reservoir.commands[0], "c0")
    assert drawing is not None
    words = " ".join(ElementTree.fromstring(drawing).itertext())
    assert "flock = EAGAIN:" in words
    assert "locked by another process: device busy" in words
    assert "×48" in words
    assert drawing.count('class="node parting"') == 1


@settings(max_examples=25, deadline=None)
@example('\\N \\l \\G \\\\ &amp; &#65; <b>x</b> ]]> "quoted" {a|b}')
@example("\ufffe\ud800\x00\x1b\u202e\u00ad")
@given(st.text(min_size=1, max_size=40))
def test_any_name_is_drawn_as_it_is(name: str) -> None:
    needs("dot")
    node = Node(name, "open", "openat", name, name, name, {0: Counter(ok=1)})
    command = flow.Command("x", True, [flow.Way("a", [0])], [node])
    drawing = flowchart.draw(command, "c0")
    assert drawing is not None
    words = [found.text for found in ElementTree.fromstring(drawing).findall(".//{*}text")]
    assert [word for word in words if word and word.strip()][:1] == [
        part for part in [flowtext.caption(node).rstrip()] if part.strip()
    ]


def test_dot_that_hangs_is_given_up(reservoir: flow.Chart) -> None:
    needs("dot")
    assert flowchart.draw(reservoir.commands[0], "c0", seconds=0.0001) is None


def test_slow_charts_become_text_within_the_time_for_all(
    footprint: dict[str, Any], reservoir: flow.Chart, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("dot")
    monkeypatch.setattr(flowchart, "SECONDS", 0.001)
    page = html.unescape(render(footprint, reservoir))
    assert "Laying out this chart took too long" in page
    assert "flock = EAGAIN" in page


def test_no_order_recorded_is_said(footprint: dict[str, Any]) -> None:
    assert "the order of calls was not recorded" in render(footprint)


def long_chart(length: int) -> flow.Chart:
    """Two runs of ``length`` different steps each that part and meet now and then."""
    command = flow.Command("long")
    for run in (0, 1):
        path = []
        for index in range(length):
            own = index % 10 == run + 3
            path.append(
                Node(
                    f"ioctl REQUEST_{index}{'ab'[run] if own else ''} /dev/x",
                    "ioctl",
                    "ioctl",
                    "/dev/x",
                    "SOME SUBSYSTEM",
                    "drivers:x",
                    {0: Counter(ok=1)},
                )
            )
        flow._add_way(command, flow.Way("ab"[run], []), path)
    return flow.Chart([command])


def test_a_thousand_nodes_draw(footprint: dict[str, Any]) -> None:
    needs("dot")
    chart = long_chart(1000)
    began = time.monotonic()
    page = render(footprint, chart)
    assert time.monotonic() - began < 15
    assert page.count('class="node ioctl"') == len(chart.commands[0].nodes) >= 1000


def test_text_of_a_chart_names_the_branch(reservoir: flow.Chart) -> None:
    written = flowtext.as_text(reservoir.commands[0])
    assert "flock = EAGAIN: locked by another process: device busy (busy)" in written
    assert "repeat ×48   [only normal]" in written


def test_system_view_has_a_box_for_every_area(footprint: dict[str, Any]) -> None:
    view = system_view(footprint)
    used = {box.title: box.letters for box in view.boxes() if box.tier}
    assert used["SPI"] == "XTD"
    assert used["File systems"] == "XTD"
    assert used["Virtual memory"] == "TE"
    assert used["Security"] == "D"
    listed = [line for box in view.boxes() for line in box.lines]
    for row in footprint["sections"]:
        if any(row[tier] for tier in ("entered", "dispatched", "traced", "executed")):
            assert any(line.startswith(row["name"]) for line in listed)


def test_system_view_compared_marks_what_differs(footprint: dict[str, Any]) -> None:
    baseline = json.loads(EXAMPLE.read_bytes())
    baseline["sections"] = [row for row in baseline["sections"] if row["name"] != "SPI SUBSYSTEM"]
    footprint["sections"] = [
        row for row in footprint["sections"] if row["name"] != "SCSI SUBSYSTEM"
    ]
    changed = {
        box.title: (box.new, box.gone)
        for box in system_view(footprint, baseline).boxes()
        if box.new or box.gone
    }
    assert changed == {"SPI": (1, 0), "Block devices, volumes": (0, 1)}
    assert "differs from the baseline" in render(footprint, baseline=baseline)


def test_a_tier_one_side_did_not_measure_is_no_difference(footprint: dict[str, Any]) -> None:
    baseline = json.loads(EXAMPLE.read_bytes())
    for row in (*baseline["areas"], *baseline["sections"]):
        row["traced"] = row["executed"] = None
    boxes = system_view(footprint, baseline).boxes()
    assert not any(box.new or box.gone for box in boxes)


def chromium(tmp_path: Path, page: str, script: str) -> str:
    """The DOM after ``script`` ran in the page, which it may only through a loosened policy."""
    needs("browser")
    policy = re.compile(r"script-src 'sha256-[^']*'")
    assert policy.search(page)
    loosened = policy.sub("script-src 'unsafe-inline'", page, count=1)
    catcher = (
        "<script>window.errors=[];addEventListener('error',e=>errors.push(e.message))</script>"
    )
    ending = f"<script>{script};document.body.dataset.errors=errors.join('|')</script></body>"
    loosened = loosened.replace("<style>", catcher + "<style>", 1).replace("</body>", ending)
    return dump(tmp_path, loosened)


def browse(tmp_path: Path, page: str, *options: str) -> subprocess.CompletedProcess[str]:
    needs("browser")
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    return subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=3000", *options, file.as_uri(),
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=90,
        check=True,
    )  # fmt: skip


def dump(tmp_path: Path, page: str) -> str:
    done = browse(tmp_path, page, "--dump-dom")
    assert "Refused to" not in done.stderr
    assert "Content Security Policy" not in done.stderr
    assert "CONSOLE" not in done.stderr
    return done.stdout


@pytest.mark.browser
def test_the_script_runs_under_its_own_policy(
    tmp_path: Path, footprint: dict[str, Any], reservoir: flow.Chart
) -> None:
    dom = dump(tmp_path, render(footprint, reservoir))
    assert dom.count('type="button"') > 50
    assert 'placeholder="search"' in dom
    assert len(Page(dom).cells) >= sum(len(rows(footprint, table.key)) for table in TABLES)
    assert "<title>Kernel footprint: determine the basal rate</title>" in dom


@pytest.mark.browser
def test_sorting_and_searching_in_a_browser(tmp_path: Path, footprint: dict[str, Any]) -> None:
    footprint["syscalls"][3]["calls"] = None
    dom = chromium(
        tmp_path,
        render(footprint),
        """
        const table = document.querySelector('#syscalls table');
        const column = [...table.tHead.rows[0].cells].findIndex(c => c.textContent === 'calls');
        const read = () => [...table.tBodies[0].rows].map(r => r.cells[column].textContent);
        table.tHead.rows[0].cells[column].firstChild.click();
        document.body.dataset.down = read().join(';');
        table.tHead.rows[0].cells[column].firstChild.click();
        document.body.dataset.up = read().join(';');
        const box = document.querySelector('#syscalls input');
        box.value = 'futex lock'; box.dispatchEvent(new Event('input'));
        setTimeout(() => { document.body.dataset.found =
          [...table.tBodies[0].rows].filter(r => !r.hidden).length; }, 50)
        """,
    )
    body = dict(next(attributes for tag, attributes in Page(dom).tags if tag == "body"))
    counts = [row["calls"] for row in footprint["syscalls"] if row["calls"] is not None]
    assert body["data-errors"] == ""
    assert body["data-down"] == ";".join([*map(str, sorted(counts, reverse=True)), "–"])
    assert body["data-up"] == ";".join([*map(str, sorted(counts)), "–"])
    assert body["data-found"] == "1"


@pytest.mark.browser
def test_on_paper_every_page_of_a_table_has_its_head(
    tmp_path: Path, footprint: dict[str, Any]
) -> None:
    needs("pdftotext")
    footprint["objects"] *= 200 // len(footprint["objects"]) + 1
    paper = tmp_path / "report.pdf"
    browse(tmp_path, render(footprint), f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    told = subprocess.run(["pdftotext", "-layout", paper, "-"], capture_output=True, text=True)
    pages = told.stdout.split("\f")
    within = [page for page in pages if page.count(footprint["objects"][0]["name"]) > 0]
    assert len(within) > 5
    assert [page for page in within[1:] if not page.lstrip().startswith("object ")] == []
    # Words are not broken at any letter to make narrow columns.
    assert "x86_64" in told.stdout


@pytest.mark.browser
def test_hostile_names_do_nothing_in_a_browser(tmp_path: Path, footprint: dict[str, Any]) -> None:
    for row in (*footprint["objects"], *footprint["sections"], *footprint["processes"]):
        row.update(name=HOSTILE, exe=HOSTILE, argv=[HOSTILE])
    footprint["use_case"] = HOSTILE
    dom = chromium(tmp_path, render(footprint, hostile_chart()), "0")
    page = Page(dom)
    assert "<title>Kernel footprint: &lt;/script" in dom
    assert "img" not in {tag for tag, _ in page.tags}
    body = dict(next(attributes for tag, attributes in page.tags if tag == "body"))
    assert body["data-errors"] == ""
