"""Names of ABIs, as strace and the kernel's tables have them, and what follows from them."""

from __future__ import annotations

_OTHER = ("alpha", "mips", "powerpc", "sparc")
"""Architectures whose asm/ioctl.h has three bits of direction; parisc swaps read and write."""
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


def ioctl_classes(abi: str) -> tuple[str, ...]:
    """The classes of ioctl numbers that hold for an ABI, as the table ``ioctls`` names them.

    generic: every ABI with the usual directions; lp64: those with 64-bit long; generic32: those
    with 32-bit long, of which i386 aligns 64-bit members to 4 bytes and ilp32 to 8; other and
    parisc: the architectures with directions of their own, with 32 or 64 appended where the size
    of long matters. Requests of an architecture's own headers have the ABI's name.
    """
    wide = abi in _LP64 or abi == "alpha" or abi.endswith("64")
    bits = "64" if wide else "32"
    for kind, prefixes in (("other", _OTHER), ("parisc", ("parisc",))):
        if abi.startswith(prefixes):
            return "", kind, kind + bits, abi
    if wide:
        return "", "generic", "lp64", abi
    return "", "generic", "generic32", "i386" if abi == "i386" else "ilp32", abi


def architecture(abi: str) -> str:
    """The folder below arch/ of an ABI."""
    known = ARCHITECTURES.get(abi)
    return known or abi.partition("_")[0].rstrip("0123456789") if abi != "arm64" else "arm64"
