"""All benchmarks, written into benchmarks/README.md between their marks.

python benchmarks/run.py [NAME ...]     (recording, reading, watching; default: all)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE / "README.md"
SCRIPTS = {"recording": "record.py", "reading": "read.py", "watching": "watch.py"}


def _with(page: str, name: str, table: str) -> str:
    """The page with one part's table replaced."""
    before, begin, rest = page.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->")
    if not begin or not end:
        raise SystemExit(f"{PAGE} has no place for {name}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def main(names: list[str]) -> int:
    for name in names or SCRIPTS:
        done = subprocess.run(
            [sys.executable, str(HERE / SCRIPTS[name]), "--markdown"],
            stdout=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            return done.returncode
        print(done.stdout)
        PAGE.write_text(_with(PAGE.read_text(), name, done.stdout))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
