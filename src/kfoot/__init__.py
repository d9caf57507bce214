"""kfoot: run any workload and get its Linux kernel footprint, as evidence.

``kfoot.run(["ls", "-l"])`` records a command and returns its capture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kfoot.collect.session import record as run

__version__ = "0.1.0"
__all__ = ["__version__", "run"]


def __getattr__(name: str) -> Any:
    """Import on first use: ``import kfoot`` costs nothing."""
    if name == "run":
        from kfoot.collect.session import record

        return record
    raise AttributeError(f"module 'kfoot' has no attribute {name!r}")
