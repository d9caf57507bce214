"""The tables ``files``, ``sections`` and ``modules``, from what the other builders found."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import cast

from kfoot.atlas.build.areas import AreasBuilder
from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.kbuild import Build, KbuildBuilder, common
from kfoot.atlas.build.maintainers import MaintainersBuilder, is_source
from kfoot.atlas.schema import Row


class FilesBuilder(Builder):
    name = "files"
    needs = ("maintainers", "areas", "kbuild")

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        kbuild = cast(KbuildBuilder, context.built["kbuild"])
        areas = cast(AreasBuilder, context.built["areas"])
        maintainers = cast(MaintainersBuilder, context.built["maintainers"])
        files: list[Row] = [
            (
                path,
                context.area_of(path),
                context.sections_of(path),
                kbuild.necessary(path),
                kbuild.module(path),
            )
            for path in context.paths
            if is_source(path)
        ]
        sections: list[Row] = [
            (
                section.name,
                section.status,
                tuple(section.lists),
                section.files,
                areas.of_section.get(section.name),
            )
            for section in maintainers.sections
        ]
        return {"files": files, "sections": sections, "modules": _modules(kbuild, context)}


def _modules(kbuild: KbuildBuilder, context: Context) -> Iterable[Row]:
    """One row a module and folder of its Makefile."""
    found: dict[tuple[str, str], list[Build]] = {}
    for ways in kbuild.builds.values():
        for way in ways:
            if way.module is not None:
                found.setdefault((way.module, way.folder), []).append(way)
    for (name, _), ways in sorted(found.items()):
        files = tuple(sorted({way.path for way in ways}))
        yield (
            name,
            common([way.conditions for way in ways]),
            files,
            *context.place(_main(name, files, context), "makefile"),
        )


def _main(name: str, files: tuple[str, ...], context: Context) -> str:
    """The file that stands for a module: its namesake, else the first of its main section."""
    for path in files:
        if posixpath.splitext(posixpath.basename(path))[0].replace("-", "_") == name:
            return path
    sections = Counter(context.section_of(path) for path in files)
    most = min(sections, key=lambda section: (-sections[section], section or ""))
    return next(path for path in files if context.section_of(path) == most)
