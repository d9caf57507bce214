"""Compute a capture's footprint again from its raw files.

  kfoot derive                                   the newest capture here
  kfoot derive --atlas my-6.6.atlas *.kfoot      with the atlas of the kernel you ship

The result depends on the capture and the atlas and on nothing else; raw files that no longer match
the manifest's sha256 make the evidence not valid (exit 3).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kfoot.capture import Capture, newest


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("capture", nargs="*", type=Path, metavar="CAPTURE")
    parser.add_argument("--atlas", type=Path, metavar="FILE", help="the atlas to use")


def run(args: argparse.Namespace) -> int:
    from kfoot.atlas import open_atlas
    from kfoot.cli.common_progress import progress
    from kfoot.footprint import derive

    valid = True
    for path in args.capture or [newest(Path.cwd())]:
        capture = Capture.open(path)
        atlas = open_atlas(capture.manifest.release, args.atlas)
        with progress(f"reading {path}") as advance:
            footprint = derive(capture, atlas=atlas, progress=advance)
        for name in footprint["evidence"]["altered"]:
            print(f"kfoot: {path}/{name}: differs from the manifest's sha256", file=sys.stderr)
        print(capture.footprint_file)
        valid &= bool(footprint["evidence"]["valid"])
    return 0 if valid else 3
