"""What each architecture supports, from Documentation/features, as get_feat.pl reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.schema import Row

_NAME = re.compile(r"^#\s+Feature\s+name:\s*(.*\S)", re.M)
_OPTION = re.compile(r"^#\s+Kconfig:\s*(.*\S)", re.M)
_STATUS = re.compile(r"^\s*\|\s*(\S+):\s*\|\s*(\S+)\s*\|\s*$", re.M)


class FeaturesBuilder(Builder):
    """Gives ``features``. ``..`` (the feature cannot be there) is kept as get_feat.pl's ``---``."""

    name = "features"

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def wants(self, path: str) -> bool:
        return path.startswith("Documentation/features/") and path.endswith("/arch-support.txt")

    def scan(self, path: str, data: bytes) -> Any:
        text = data.decode("utf-8", "replace")
        name, options = _NAME.search(text), _OPTION.findall(text)
        if name is None:
            return None
        option = options[-1] if options else None  # get_feat.pl keeps the last
        subsystem = path.split("/")[2]
        return [
            (name[1], arch, "---" if status == ".." else status, option, subsystem)
            for arch, status in _STATUS.findall(text)
        ]

    def take(self, path: str, facts: Any) -> None:
        self._rows += facts

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        chosen = context.architectures
        return {"features": [row for row in self._rows if not chosen or row[1] in chosen]}
