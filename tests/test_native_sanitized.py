"""The native scanners under AddressSanitizer and UBSan, on 10,000 generated inputs of each kind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from needs import needs

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    ["test_native.py", "test_native_ring.py", "test_native_strace.py", "test_strace_counts.py"],
)
def test_no_byte_is_read_or_written_that_should_not_be(tmp_path: Path, file: str) -> None:
    needs("gcc")
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").exists():
        pytest.skip("Python.h is not installed")
    package = tmp_path / "src" / "kfoot"
    shutil.copytree(ROOT / "src" / "kfoot", package, ignore=shutil.ignore_patterns("*.so"))
    sources = sorted((ROOT / "src" / "kfoot" / "native").glob("*.c"))
    subprocess.run(
        [
            "gcc", "-std=gnu11", "-g", "-O1", "-shared", "-fPIC", "-pthread",
            "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined",
            "-DPy_LIMITED_API=0x030B0000", f"-I{headers}", *map(str, sources),
            "-o", str(package / "_native.abi3.so"),
        ],
        check=True,
    )  # fmt: skip
    preload = [
        subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = dict(
        os.environ,
        LD_PRELOAD=" ".join(preload),
        ASAN_OPTIONS="detect_leaks=0",
        PYTHONPATH=str(tmp_path / "src"),
        KFOOT_EXAMPLES=os.environ.get("KFOOT_EXAMPLES", "10000"),
        KFOOT_FLIPS="200",
        HYPOTHESIS_STORAGE_DIRECTORY=str(tmp_path / "hypothesis"),
    )
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
            "-o", f"pythonpath={tmp_path / 'src'}", str(ROOT / "tests" / file),
        ],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
