"""Fixtures every test may use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from needs import TURN


@pytest.fixture(scope="session", autouse=True)
def tracefs() -> None:
    """As root, mount tracefs if nobody has: a private test machine is expected to allow it."""
    tracing = Path("/sys/kernel/tracing")
    if os.geteuid() == 0 and tracing.is_dir() and not (tracing / "available_events").exists():
        subprocess.run(["mount", "-t", "tracefs", "nodev", str(tracing)], check=False)


@pytest.fixture(autouse=True)
def _turn() -> Iterator[None]:
    """What a test took by needs("tracefs") or needs("bpf")."""
    yield
    TURN.give_back()
