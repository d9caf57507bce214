"""Say what this host can record and what stands in the way.

One line each, with the command that mends it. Nothing is changed unless --fix is given: it mounts
tracefs and removes what a killed kfoot left there.

Exit status: 0 something can record here; 1 nothing can.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--fix", action="store_true", help="mount tracefs, remove stale instances")


def run(args: argparse.Namespace) -> int:
    from kfoot.collect import health
    from kfoot.readers.native import native, native_status

    if args.fix:
        for line in health.mend():
            print(f"kfoot: {line}", file=sys.stderr)
    reading = "reading traces"
    findings = [*health.look(), health.Finding(reading, native() is not None, native_status())]
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            mark = "ok" if finding.ok else "no"
            print(f"{mark}  {finding.name:<{width}}  {finding.what}")
            if finding.mend:
                print(f"    {'':<{width}}  mend: {finding.mend}")
    return 0 if health.can_record(findings) else 1
