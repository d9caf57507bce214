"""Names of ABIs, as strace and the kernel's tables have them, and what follows from them."""

from __future__ import annotations

_OWN_DIRECTIONS = {
    # ABIs whose architecture numbers the direction of an ioctl differently (asm/ioctl.h).
    "alpha": "alpha",
    "mips_o32": "mips32",
    "mips_n32": "mips32",
    "mips_n64": "mips64",
    "parisc32": "parisc32",
    "parisc64": "parisc64",
    "powerpc32": "powerpc32",
    "powerpc64": "powerpc64",
    "sparc32": "sparc32",
    "sparc64": "sparc64",
}
_LP64 = ("x86_64", "arm64", "riscv64", "s390x", "loongarch64", "ia64")

ARCHITECTURES = {
    # The folder below arch/ of each ABI whose name does not begin with it.
    "x86_64": "x86",
    "x32": "x86",
    "i386": "x86",
    "arm_oabi": "arm",
    "s390x": "s390",
}
MACHINES = {
    # uname -m to the ABIs its kernel offers, native first.
    "x86_64": ("x86_64", "i386", "x32"),
    "i686": ("i386",),
    "i586": ("i386",),
    "aarch64": ("arm64", "arm"),
    "armv7l": ("arm",),
    "armv6l": ("arm",),
    "armv5tel": ("arm",),
    "riscv64": ("riscv64", "riscv32"),
    "riscv32": ("riscv32",),
    "ppc64le": ("powerpc64",),
    "ppc64": ("powerpc64", "powerpc32"),
    "ppc": ("powerpc32",),
    "s390x": ("s390x", "s390"),
    "loongarch64": ("loongarch64",),
    "mips": ("mips_o32",),
    "mips64": ("mips_n64", "mips_n32", "mips_o32"),
    "sparc64": ("sparc64", "sparc32"),
    "parisc64": ("parisc64", "parisc32"),
    "parisc": ("parisc32",),
    "m68k": ("m68k",),
    "sh4": ("sh",),
    "xtensa": ("xtensa",),
    "alpha": ("alpha",),
}


def ioctl_class(abi: str) -> str:
    """Which ioctl numbers hold for an ABI: lp64, ilp32 or an architecture's own."""
    return _OWN_DIRECTIONS.get(abi) or ("lp64" if abi in _LP64 else "ilp32")


def architecture(abi: str) -> str:
    """The folder below arch/ of an ABI."""
    known = ARCHITECTURES.get(abi)
    return known or abi.partition("_")[0].rstrip("0123456789") if abi != "arm64" else "arm64"
