"""Which package a file belongs to: Debian, RPM, PyPI, npm.

Debian packages are read from dpkg's own files, PyPI and npm ones from their metadata beside the
files; RPM is asked through ``rpm``, whose database is binary.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cached_property
from pathlib import Path
from typing import NamedTuple


class Package(NamedTuple):
    kind: str
    """deb, rpm, pypi or npm."""
    name: str
    version: str | None
    needs: tuple[str, ...]
    """Names of packages of the same kind it declares it needs."""


class Packages:
    """Look-ups on this host. Answers are kept."""

    def __init__(self, root: Path = Path("/")):
        self.root = root
        self._found: dict[str, Package | None] = {}

    def of(self, path: str) -> Package | None:
        """The package of a file, by its path and by where its links lead; None if none says so."""
        if path not in self._found:
            names = dict.fromkeys([path, os.path.realpath(path)])
            self._found[path] = next(
                (
                    found
                    for find in (self._pypi, self._npm, self._debian, self._rpm)
                    for name in names
                    if (found := find(name))
                ),
                None,
            )
        return self._found[path]

    def named(self, kind: str, name: str, near: str) -> Package | None:
        """An installed package by name; ``near``: a file of the package that needs it."""
        if kind == "deb":
            return self._deb_status.get(name)
        if kind == "pypi":
            folders = [_site(os.path.realpath(near)), _site(near), *_sites_of_script(near)]
            found = (_pypi_named(folder, name) for folder in folders if folder)
            return next((package for package in found if package), None)
        if kind == "npm":
            for folder in Path(near).parents:
                package = _npm_in(folder / "node_modules" / name)
                if package:
                    return package
        return None

    # --- Debian ---

    @cached_property
    def _deb_files(self) -> dict[str, str]:
        """Path to package name, from /var/lib/dpkg/info/*.list."""
        found: dict[str, str] = {}
        for listing in sorted((self.root / "var/lib/dpkg/info").glob("*.list")):
            package = listing.name.removesuffix(".list").partition(":")[0]
            try:
                lines = listing.read_text("utf-8", "surrogateescape").split("\n")
            except OSError:
                continue
            for line in lines:
                found.setdefault(line, package)
        return found

    @cached_property
    def _deb_status(self) -> dict[str, Package]:
        try:
            text = (self.root / "var/lib/dpkg/status").read_text("utf-8", "surrogateescape")
        except OSError:
            return {}
        found = {}
        for paragraph in text.split("\n\n"):
            fields = dict(re.findall(r"^([\w-]+): (.*)$", paragraph, re.M))
            if "Package" in fields and " installed" in fields.get("Status", ""):
                depends = ", ".join(
                    fields[name] for name in ("Pre-Depends", "Depends") if name in fields
                )
                needs = re.findall(r"(?:^|,\s*)([\w.+-]+)", depends)
                package = Package(
                    "deb", fields["Package"], fields.get("Version"), tuple(dict.fromkeys(needs))
                )
                found[package.name] = package
        return found

    def _debian(self, path: str) -> Package | None:
        # Since the /usr merge a file may be listed under /lib and found under /usr/lib.
        for name in (path, path.removeprefix("/usr"), f"/usr{path}"):
            package = self._deb_files.get(name)
            if package:
                return self._deb_status.get(package) or Package("deb", package, None, ())
        return None

    # --- RPM ---

    @cached_property
    def _rpm_tool(self) -> str | None:
        there = (self.root / "var/lib/rpm").is_dir() or (
            self.root / "usr/lib/sysimage/rpm"
        ).is_dir()
        return shutil.which("rpm") if there and self.root == Path("/") else None

    def _rpm(self, path: str) -> Package | None:
        if self._rpm_tool is None:
            return None
        form = "%{NAME}\t%{VERSION}-%{RELEASE}\n"
        done = subprocess.run(
            [self._rpm_tool, "-qf", "--qf", form, path], capture_output=True, text=True, check=False
        )
        name, _, version = done.stdout.split("\n")[0].partition("\t")
        return Package("rpm", name, version, ()) if done.returncode == 0 and version else None

    # --- PyPI ---

    @cached_property
    def _pypi_records(self) -> dict[str, dict[str, Package]]:
        """By folder of the packages: path of a file to its package, from RECORD."""
        return {}

    def _pypi(self, path: str) -> Package | None:
        folders = [folder] if (folder := _site(path)) else _sites_of_script(path)
        for folder in folders:
            if folder not in self._pypi_records:
                self._pypi_records[folder] = _read_records(folder)
            found = self._pypi_records[folder].get(os.path.normpath(path))
            if found:
                return found
        return None

    # --- npm ---

    def _npm(self, path: str) -> Package | None:
        parts = path.split("/node_modules/")
        if len(parts) < 2:
            return None
        words = parts[-1].split("/")
        name = "/".join(words[: 2 if words[0].startswith("@") else 1])
        return _npm_in(Path("/node_modules/".join(parts[:-1])) / "node_modules" / name)


def _site(path: str) -> str | None:
    """The site-packages folder a path lies in."""
    found = re.match(r"(.*?/(?:site|dist)-packages)/", path)
    return found[1] if found else None


def _sites_of_script(path: str) -> list[str]:
    """The site-packages beside the bin/ folder a script lies in (a virtual environment's)."""
    folder = Path(path).parent
    if folder.name != "bin":
        return []
    return [str(p) for p in sorted(folder.parent.glob("lib/python3*/site-packages"))]


def _read_records(folder: str) -> dict[str, Package]:
    found: dict[str, Package] = {}
    for record in sorted(Path(folder).glob("*.dist-info/RECORD")):
        package = _pypi_package(record.parent)
        try:
            lines = record.read_text("utf-8", "replace").split("\n")
        except OSError:
            continue
        for line in lines:
            name = line.split(",")[0].strip('"')
            if package and name:
                found[os.path.normpath(os.path.join(folder, name))] = package
    return found


def _pypi_package(info: Path) -> Package | None:
    try:
        text = (info / "METADATA").read_text("utf-8", "replace").partition("\n\n")[0]
    except OSError:
        return None
    name, version = (re.search(rf"^{field}: (.*)$", text, re.M) for field in ("Name", "Version"))
    needs = [
        found[1]
        for line in re.findall(r"^Requires-Dist: (.*)$", text, re.M)
        if "extra ==" not in line and (found := re.match(r"([\w.-]+)", line))
    ]
    if name is None:
        return None
    return Package("pypi", name[1], version[1] if version else None, tuple(dict.fromkeys(needs)))


def _pypi_named(folder: str, name: str) -> Package | None:
    wanted = re.sub(r"[-_.]+", "_", name).lower()
    for info in sorted(Path(folder).glob("*.dist-info")):
        if re.sub(r"[-_.]+", "_", info.name.partition("-")[0]).lower() == wanted:
            return _pypi_package(info)
    return None


def _npm_in(folder: Path) -> Package | None:
    try:
        about = json.loads((folder / "package.json").read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(about, dict) or not isinstance(about.get("name"), str):
        return None
    needs = about.get("dependencies")
    version = about.get("version")
    return Package(
        "npm",
        about["name"],
        version if isinstance(version, str) else None,
        tuple(needs) if isinstance(needs, dict) else (),
    )
