"""Ask the worked queries of docs/sql.md again and write their answers into the page.

With --check only say whether the answers are current (exit status 1 when not).
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from kfoot.cli import sql
from kfoot.footprint import derive
from kfoot.importing import import_files

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "sql.md"
CAPTURES = {
    "pump": "tests/data/strace/strace.mdt-reservoir.txt.zst",
    "node": "tests/data/oref0.amd64.trace.dat",
}
WORKED = re.compile(
    r"(```sql\n-- (?P<capture>\w+)\.kfoot\n(?P<query>.*?)\n```\n\n```text\n)(?P<answer>.*?)(?=```)",
    re.S,
)


def make_captures(folder: Path) -> dict[str, Path]:
    """The captures the page asks, made in ``folder``."""
    found = {}
    for name, file in CAPTURES.items():
        capture = import_files([ROOT / file], out=folder / name, arch="x86_64")
        derive(capture)
        found[name] = capture.path
    return found


def answered(page: str, captures: dict[str, Path]) -> str:
    """The page with the answers the captures give now."""
    tables = {name: sql.tables_of(path) for name, path in captures.items()}

    def ask(found: re.Match[str]) -> str:
        answer = sql.as_text(*sql.ask(tables[found["capture"]], found["query"]))
        return found[1] + answer

    return WORKED.sub(ask, page)


def main() -> int:
    page = PAGE.read_text()
    with tempfile.TemporaryDirectory() as folder:
        now = answered(page, make_captures(Path(folder)))
    if "--check" in sys.argv[1:]:
        return int(now != page)
    PAGE.write_text(now)
    return 0


if __name__ == "__main__":
    sys.exit(main())
