"""Attribution: what was recorded, seen through the atlas, becomes the footprint.

``derive(capture)`` computes it, ``load(path)`` reads it (deriving if need be), ``merge([...])``
makes one of several.
"""

from __future__ import annotations

from kfoot.footprint.derive import charts, derive, load
from kfoot.footprint.merge import merge

__all__ = ["charts", "derive", "load", "merge"]
