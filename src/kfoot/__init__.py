"""kfoot: run any workload and get its Linux kernel footprint, as evidence.

>>> import kfoot
>>> result = kfoot.run(["ls", "-l"])          # doctest: +SKIP
>>> result.footprint["areas"]                 # doctest: +SKIP
>>> result.table("syscalls").to_pandas()      # doctest: +SKIP
>>> kfoot.load("ls-20261120-101500.kfoot")    # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kfoot.api import Result as Result
    from kfoot.api import load as load
    from kfoot.api import run as run

__version__ = "0.1.0"
__all__ = ["Result", "__version__", "load", "run"]


def __getattr__(name: str) -> Any:
    # The command line imports this package too and must stay quick: nothing is loaded until asked.
    if name in ("Result", "load", "run"):
        from kfoot import api

        return getattr(api, name)
    raise AttributeError(f"module 'kfoot' has no attribute {name!r}")
