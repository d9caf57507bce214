"""Every rule that put a row into the shipped atlas is explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kfoot.atlas.open import shipped_folder
from kfoot.atlas.store import AtlasFile

PAGE = Path(__file__).parent.parent / "docs" / "atlas.md"


@pytest.mark.parametrize(
    "table",
    ["anon_inodes", "devices", "events", "filesystems", "ioctl_handlers", "sockets", "syscalls"],
)
def test_every_word_in_how_is_explained(table: str) -> None:
    found: set[str] = set()
    for path in shipped_folder().glob("*.atlas"):
        found.update(AtlasFile(path)[table].columns["how"].pool or ())
    words = {word for how in found for word in re.findall(r"\+?[\w-]+", how)}
    page = set(re.findall(r"`(\+?[\w-]+)`", PAGE.read_text()))
    assert words
    assert words <= page, words - page
