"""Take the README's picture of a report with a real Chromium: screenshot.py REPORT.html OUT.png.

The demo writes demo/report.html (`make demo`); docs/report.png is made from it with
`python scripts/screenshot.py demo/report.html docs/report.png`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def shoot(report: Path, picture: Path, width: int, height: int) -> None:
    """Open ``report`` in a browser without a window, offline, and save what it shows."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit("no Chromium is installed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1900)
    args = parser.parse_args()
    if not args.report.is_file():
        sys.exit(f"{args.report} is not there: make it with `make demo` or `kfoot report`")
    shoot(args.report, args.picture, args.width, args.height)


if __name__ == "__main__":
    main()
