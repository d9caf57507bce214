"""Put the summary of the demo's captures (`make demo`) into README.md, as it was printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Needs demo/*.kfoot; writes README.md."""
    # In the order in which `make demo` made them and shows them.
    captures = sorted((ROOT / "demo").glob("*.kfoot"), key=lambda path: path.stat().st_ctime)
    if not captures:
        print("there are no captures in demo/: run `make demo` first", file=sys.stderr)
        return 1
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "kfoot", "show", *map(str, captures)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        return done.returncode
    readme = ROOT / "README.md"
    block = f"<!-- demo -->\n```\n{done.stdout.rstrip()}\n```\n<!-- /demo -->"
    readme.write_text(
        re.sub(
            r"<!-- demo -->.*<!-- /demo -->", lambda _: block, readme.read_text(), flags=re.DOTALL
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
