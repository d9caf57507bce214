"""The same objects on other kernels: the tests of collector ``bpf`` inside Debian guests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import guestrig
from needs import needs

ROOT = Path(__file__).resolve().parent.parent

JOB = """
cd {root}
export PYTHONPATH={root}/src PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
export PATH={bin}:/usr/bin:/bin:/usr/sbin:/sbin KFOOT_REQUIRE=bpf,strace,root
{python} -m pytest -q -p no:cacheprovider tests/test_bpf_equal.py tests/test_bpf_print.py
"""


@pytest.mark.slow
@pytest.mark.guest
@pytest.mark.parametrize("series", ["6.1", "6.12"])
def test_equal_to_strace_in_a_guest(series: str, tmp_path: Path) -> None:
    needs("root", "guest", "strace", "gcc")
    job = JOB.format(root=ROOT, bin=Path(sys.executable).parent, python=sys.executable)
    status, output = guestrig.run(guestrig.kernel(series), job, tmp_path)
    assert status == 0, output[-4000:]
    assert "skipped" not in output
