"""The documentation says what the command line and the contract say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from kfoot import cli
from kfoot.footprint import contract

ROOT = Path(__file__).parent.parent


def test_the_cli_page_is_what_the_command_line_prints() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/cli_reference.py", "--check"],
        cwd=ROOT,
        check=False,
        env={**os.environ, "PYTHONPATH": "src"},
    )
    assert done.returncode == 0, "run: python scripts/cli_reference.py"


def test_every_command_named_in_the_documentation_exists() -> None:
    named = set()
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        named |= set(re.findall(r"(?:^|`)(?:\$ )?kfoot ([a-z]+)\b", page.read_text(), re.M))
    assert named
    assert named <= set(cli.commands()), named - set(cli.commands())


def test_the_footprint_page_lists_every_table_with_its_columns() -> None:
    page = (ROOT / "docs" / "footprint.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (`.*`) \|$", page, re.M))
    for table, columns in contract.TABLES.items():
        assert re.findall(r"`(\w+)`", rows[table]) == list(columns), table
