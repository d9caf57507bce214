"""The atlas: what the kernel's own sources say (docs/atlas.md)."""

from kfoot.atlas.open import open_atlas

__all__ = ["open_atlas"]
