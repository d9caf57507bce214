"""Show what a kernel or a program could use, before anything runs.

Of a machine: kernel, system call ABIs, calls configured out or not implemented, the
architecture's features beside the configuration, protections, modules and MAINTAINERS sections.
Of a workload: its program, interpreters, shared libraries, and the packages they come from.

  kfoot static                                  this machine
  kfoot static --config /boot/config-6.1.0-26   a kernel by its configuration
  kfoot static --kernel-image vmlinuz           a kernel image (configuration if built in)
  kfoot static --workload mdt reservoir         what a command needs to start
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfoot.errors import InputError, KfootError

if TYPE_CHECKING:
    from kfoot.static.system import Kernel


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", default="local", metavar="WHERE", help="default: this host")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a kernel's configuration")
    parser.add_argument("--kernel-image", type=Path, metavar="FILE", help="vmlinuz, Image, vmlinux")
    parser.add_argument(
        "--machine", metavar="NAME", help="as uname -m says (default: the config's)"
    )
    parser.add_argument("--release", metavar="REL", help="kernel release (default: the file's own)")
    parser.add_argument("--atlas", type=Path, metavar="FILE", help="this atlas")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true")
    output.add_argument("--markdown", action="store_true")
    output.add_argument("--html", type=Path, metavar="FILE", help="write a page")
    parser.add_argument(
        "--workload",
        nargs=argparse.REMAINDER,
        metavar="CMD",
        help="show a command instead; all words after it are the command's",
    )


def run(args: argparse.Namespace) -> int:
    from kfoot.static import document, page

    if args.workload is not None:
        view = _workload(args.workload)
        shown = page.workload(view)
    else:
        view = _system(args)
        shown = page.system(view)
    if args.json:
        print(json.dumps(view, indent=1, sort_keys=True, ensure_ascii=False))
    elif args.markdown:
        print(document.markdown(shown), end="")
    elif args.html:
        from kfoot.capture import write_bytes

        write_bytes(args.html, document.html(shown).encode("utf-8", "backslashreplace"))
    else:
        print(document.terminal(shown), end="")
    return 0


def _workload(command: list[str]) -> dict[str, Any]:
    from kfoot.static.workload import view

    words = command[1:] if command[:1] == ["--"] else command
    if not words:
        raise KfootError("no command was given", hint="kfoot static --workload CMD ARGS")
    return view(words)


def _system(args: argparse.Namespace) -> dict[str, Any]:
    from kfoot.atlas import open_atlas
    from kfoot.static.system import view

    kernel = _kernel(args)
    return view(kernel, open_atlas(kernel.release, args.atlas))


def _kernel(args: argparse.Namespace) -> Kernel:
    """The kernel asked for: by its image or configuration, else the one the target runs."""
    from kfoot.static.config import KernelConfig
    from kfoot.static.host import running
    from kfoot.static.image import read
    from kfoot.static.system import Kernel
    from kfoot.targets.local import Local

    if args.target not in ("local", "localhost"):
        raise KfootError(
            f"--target {args.target}: only this host can be read here",
            hint="copy the target's /proc/config.gz or /boot/config and give it with --config",
        )
    text = source = release = machine = None
    if args.kernel_image:
        image = read(args.kernel_image)
        text, source = image.config, f"{args.kernel_image} (built in)"
        release, machine = image.release, image.machine
    if args.config:
        text, source = _text(args.config), str(args.config)
    if not (args.config or args.kernel_image):
        return running(Local())
    config = KernelConfig(text, source) if text is not None and source else None
    return Kernel(
        release=args.release or release or (config.release if config else None),
        version=None,
        machine=args.machine or (config.machine() if config else None) or machine,
        config=config,
        config_text=text,
        builtin=None,
        loaded=None,
        sysctl={},
        command_line=None,
        lockdown=None,
    )


def _text(path: Path) -> str:
    """A configuration file, plain or gzipped."""
    import gzip
    import zlib

    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(path, f"cannot be read: {error}") from None
    text = data.decode("utf-8", "surrogateescape")
    if "CONFIG_" not in text:
        raise InputError(path, "has no option", expected="lines like CONFIG_SPI=y")
    return text
