"""Take the README's picture of a report with a real Chromium: screenshot.py REPORT.html OUT.png.

    python scripts/screenshot.py --only system-view --height 1170 demo/report.html docs/report.png
    python scripts/screenshot.py --only flows --height 1000 pump.html docs/flowchart.png

after `make demo`; pump.html is the merged report of strace.mdt-reservoir.txt.zst and
strace.mdt-reservoir.busy.txt.zst in tests/data/strace.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def part_of(report: Path, name: str, folder: Path) -> Path:
    """A copy of ``report`` that shows only the section ``name``. Its content security policy, which
    allows no style but its own, is left out of the copy."""
    page = re.sub(
        r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report.read_text("utf-8")
    )
    style = f"<style>header,section{{display:none}}#{name}{{display:block;border:0}}</style>"
    copy = folder / "part.html"
    copy.write_text(page.replace("</head>", f"{style}</head>", 1), "utf-8")
    return copy


def shoot(report: Path, picture: Path, width: int, height: int, only: str | None) -> None:
    """Open ``report`` (of it ``only`` one section) in a browser without a window, offline, and
    save what it shows."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit("no Chromium is installed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        if only is not None:
            report = part_of(report, only, Path(profile))
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--window-size={width},{height}",
                f"--screenshot={picture.resolve()}",
                report.resolve().as_uri(),
            ],
            check=True,
            timeout=120,
            stderr=subprocess.DEVNULL,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=2300)
    parser.add_argument("--only", help="id of the one section to show (system-view, flows)")
    args = parser.parse_args()
    if not args.report.is_file():
        sys.exit(f"{args.report} is not there: make it with `make demo` or `kfoot report`")
    shoot(args.report, args.picture, args.width, args.height, args.only)


if __name__ == "__main__":
    main()
