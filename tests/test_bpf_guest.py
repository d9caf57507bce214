"""The same objects on other kernels: the tests of collector ``bpf`` inside Debian guests."""

from __future__ import annotations

import importlib.util
import shutil
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


PYTEST = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py")
"""What it is made of: pure Python."""
ARM64 = """
cd /tmp/tree
mkdir -p /tmp/home
export PYTHONPATH=/tmp/tree/src:/tmp/share/site PYTHONDONTWRITEBYTECODE=1 HOME=/tmp/home
export PATH=/usr/bin:/bin:/usr/sbin:/sbin KFOOT_REQUIRE=bpf,strace,root,headers
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
echo 0 > /proc/sys/kernel/randomize_va_space  # ld.so unmaps more or less to align libraries
python3 -m pytest -q -p no:cacheprovider tests/test_bpf_equal.py \
  tests/test_bpf_holder.py::test_recordings_in_a_row_count_the_same \
  -k 'files or sockets or ioctls or spawned or in_a_row'
"""


@pytest.mark.slow
@pytest.mark.guest
def test_equal_to_strace_on_arm64(tmp_path: Path) -> None:
    needs("root", "guest-arm64")
    machine = guestrig.arm64()
    kernel = guestrig.kernel("6.1", machine)
    for name in PYTEST:
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        file = Path(found.origin)
        if file.name == "__init__.py":
            shutil.copytree(file.parent, tmp_path / "share/site" / name)
        else:
            shutil.copy(file, tmp_path / "share/site")
    status, output = guestrig.run(kernel, ARM64, tmp_path, machine=machine)
    assert status == 0, output[-4000:]
    assert "skipped" not in output
