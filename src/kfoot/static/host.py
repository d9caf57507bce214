"""What a target tells of its kernel, as ``static.system`` wants it."""

from __future__ import annotations

from kfoot.collect.snapshot import take
from kfoot.static.config import KernelConfig
from kfoot.static.system import Kernel
from kfoot.targets.local import Local


def running(target: Local) -> Kernel:
    """The kernel a target runs."""
    state, text = take(target)
    config = KernelConfig(text, str(state["config"]["source"])) if text is not None else None
    command_line = target.text("/proc/cmdline")
    lockdown = target.text("/sys/kernel/security/lockdown")
    return Kernel(
        release=state["release"],
        version=state["version"],
        machine=state["machine"],
        config=config,
        config_text=text,
        builtin=state["builtin_modules"],
        loaded=state["modules"],
        sysctl=state["sysctl"],
        command_line=command_line.strip() if command_line else None,
        lockdown=lockdown.strip() if lockdown else None,
    )
