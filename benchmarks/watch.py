"""How long after a recording of the whole system its footprint and report are there.

`kfoot watch` by ftrace (what `--trim-tail` makes it choose) while benchmarks/workload.sh runs,
then `kfoot report`. Seconds after the recording's end, which the manifest notes; the workload goes
on meanwhile, as a system that is watched does.

python benchmarks/watch.py [--seconds N ...] [--markdown]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
KFOOT = [sys.executable, "-m", "kfoot"]
WORK = f"while :; do sh {HERE / 'workload.sh'}; done"
HEADS = ["watched", "events", "lost", "capture", "footprint after", "and report after"]


def row(seconds: int) -> list[str]:
    """One recording. Raises CalledProcessError when kfoot fails."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with tempfile.TemporaryDirectory(prefix="kfoot-bench-") as folder:
        capture = Path(folder) / "watched.kfoot"
        options = ["--duration", f"{seconds}s", "--trim-tail", "1s", "-o", str(capture)]
        busy = subprocess.Popen(["sh", "-c", WORK], start_new_session=True, **quiet)
        try:
            subprocess.run([*KFOOT, "watch", *options], check=True, **quiet)
            derived = time.time()
            page = ["-o", str(Path(folder) / "report.html")]
            done = subprocess.run([*KFOOT, "report", str(capture), *page], **quiet)
            reported = time.time()
            if done.returncode not in (0, 3):  # 3: something was lost, which the row tells
                done.check_returncode()
        finally:
            os.killpg(busy.pid, signal.SIGKILL)
            busy.wait()
        manifest = json.loads((capture / "manifest.json").read_text())
        footprint = json.loads((capture / "footprint.json").read_text())
        size = sum(path.stat().st_size for path in capture.rglob("*") if path.is_file())
    return [
        f"{seconds} s",
        f"{sum(event['count'] for event in footprint['events']) / 1e6:.1f} M",
        ", ".join(f"{loss['count']} {loss['kind']}" for loss in manifest["losses"]) or "nothing",
        f"{size / 1e6:.0f} MB",
        f"{derived - manifest['ended']:.2f} s",
        f"{reported - manifest['ended']:.2f} s",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, nargs="+", default=[6, 12])
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    rows = [row(seconds) for seconds in args.seconds]
    if args.markdown:
        print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
    for cells in rows:
        print(f"| {' | '.join(cells)} |" if args.markdown else "  ".join(cells))
    print(
        f"\nLinux {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
