"""Kernel functions: which files define a name, found without compiling or parsing C in full.

A body in kernel style begins with a brace in the first column; what stands before it names the
function. Assembly functions come from the SYM_ and ENTRY macros. Macros that make functions
(SYSCALL_DEFINE3(read, ...), DEFINE_SHOW_ATTRIBUTE(x)) are followed by rules of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.cpp import Macro, Preprocessor, without_comments
from kfoot.atlas.schema import Row

_TOPS = frozenset(
    (
        *("arch", "block", "certs", "crypto", "drivers", "fs", "include", "init", "io_uring"),
        *("ipc", "kernel", "lib", "mm", "net", "security", "sound", "virt"),
    )
)
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_COMMENT = re.compile(rb"/\*.*?\*/|//[^\n]*", re.S)
_DIRECTIVE = re.compile(rb"^[ \t]*#(?:[^\\\n]|\\[\s\S])*", re.M)
_GROUP = re.compile(rb"(\w+)[ \t\n]*\(")
_WINDOW = 1600
"""Bytes looked back from a body's brace; longer heads are those of generated tables."""

_ATTRIBUTES = re.compile(
    rb"__(?:attribute__|printf|scanf|gnu_printf|section|acquires?|releases?|must_hold|cond_acquires|"
    rb"acquires_shared|releases_shared|cond_lock|aligned|alloc_size|assume_aligned|malloc|access|"
    rb"typeof__|counted_by|strftime|diag_\w+|init_or_\w+|no_sanitize|target|alias)$"
    rb"|noinline_if_\w+$|typeof$|defined$|asm$"
)
_NO_NAME = frozenset(
    (
        *(b"if", b"for", b"while", b"switch", b"return", b"sizeof", b"else", b"do", b"union"),
        *(b"struct", b"enum", b"void", b"int", b"long", b"char", b"bool", b"unsigned", b"asm"),
    )
)
_SYSCALL = re.compile(rb"(?:\w+_)?SYSCALL(?:32)?_DEFINE(?:\d|_\w+)?$")

_MACRO_WORD = re.compile(rb"[A-Z][A-Z0-9]*(?:_|$)")
_ANOTHER = re.compile(rb"\s*\n[\s\S]*\w\s*\(")
"""After ACPI_EXPORT_SYMBOL(x), which takes no semicolon: the declarator that follows."""

_MAKER_WORDS = (
    *(b"_ATTRIBUTE", b"_driver(", b"DEFINE_SEQ_", b"module_misc_device"),
    *(b"PV_CALLEE_SAVE_REGS_THUNK", b"DEFINE_BPF_ITER_FUNC", b"PMU_FORMAT_ATTR"),
)
_MAKERS = re.compile(
    rb"^[ \t]*(?:static[ \t]+)?"
    rb"(DEFINE_\w*ATTRIBUTE\w*|module_\w+_driver|builtin_\w+_driver|DEFINE_SEQ_\w+|"
    rb"module_misc_device|__?PV_CALLEE_SAVE_REGS_THUNK|PV_CALLEE_SAVE_REGS_THUNK|"
    rb"DEFINE_BPF_ITER_FUNC|PMU_FORMAT_ATTR\w*)"
    rb"[ \t]*\([ \t\n]*(\w+)",
    re.M,
)
_MACRO = re.compile(
    rb"^#[ \t]*define[ \t]+(\w+)\(([^)\n]*)\)[ \t]*((?:[^\n]*\\\r?\n)*[^\n]*)", re.M
)
_CALLED = re.compile(rb"^(?:static[ \t]+)?([A-Za-z_]\w*)[ \t]*(?=\()", re.M)
_MOST = 2000
"""Functions one file's macros may make; what goes beyond is not believed."""
_ASSEMBLY = re.compile(
    rb"^[ \t]*(?:SYM_(?:FUNC|CODE|TYPED_FUNC|INNER)_(?:START\w*|LABEL\w*|ALIAS\w*)|ENTRY\w*|"
    rb"GLOBAL\w*|LEAF|NESTED|FEXPORT|EXPORT|_GLOBAL\w*|END_BTB_FLUSH|PROC|WEAK)[ \t]*\([ \t]*(\w+)"
    rb"|^[ \t]*\.globa?l[ \t]+(\w+)"
    rb"|^([A-Za-z_]\w+):",
    re.M,
)


_Found = tuple[tuple[str, bool], ...]
"""Name and "is it static"."""


def wants(path: str) -> bool:
    """Whether a file may define functions of the kernel."""
    return path.split("/", 1)[0] in _TOPS and path.endswith((".c", ".h", ".S"))


def scan(path: str, data: bytes) -> _Found:
    """Name and "is it static" of each function one file defines."""
    found: dict[str, bool] = {}
    names = _assembly(data) if path.endswith(".S") else _c(data)
    for name, static in names:
        found[name] = found.get(name, True) and static
    return tuple(sorted(found.items()))


def _c(data: bytes) -> Iterator[tuple[str, bool]]:
    for end in _bodies(data):
        head = _head(data[max(0, end - _WINDOW) : end])
        if head:
            yield from _names(head)
    if b"##" in data or b"\\\n{" in data:
        yield from _expanded(data)
    if not any(word in data for word in _MAKER_WORDS):
        return
    for made in _MAKERS.finditer(data):
        yield from _made(made[1].decode(), made[2].decode())


def _bodies(data: bytes) -> Iterator[int]:
    """Where the head of a function ends: before a brace in the first column, or behind the
    bracket when the brace follows on a line that begins in the first column."""
    at = data.find(b"\n{")
    while at >= 0:
        yield at
        at = data.find(b"\n{", at + 2)
    at = data.find(b") {")
    while at >= 0:
        if data[data.rfind(b"\n", 0, at) + 1] in _LETTERS:
            yield at + 1
        at = data.find(b") {", at + 3)


def _head(window: bytes) -> bytes | None:
    """What stands between the last statement, body or directive and the brace."""
    # Cheap first cut; one that falls into a comment is mended below.
    window = window[max(window.rfind(b";\n"), window.rfind(b"}\n"), window.rfind(b"\n\n")) + 1 :]
    if b")" not in window:
        return None
    if b"*/" in window or b"//" in window:
        # A comment may begin before the window: what is before its end does not count.
        window = _COMMENT.sub(b" ", window)
        window = window[window.rfind(b"*/") + 2 :] if b"*/" in window else window
    if b"#" in window:
        window = _DIRECTIVE.sub(b";", window)
    cut = max(window.rfind(b";"), window.rfind(b"}"), window.rfind(b"{"))
    head = window[cut + 1 :].strip()
    if not head or b"(" not in head or head.endswith(b"="):
        return None
    equal, bracket = head.find(b"="), head.find(b"(")
    return None if 0 <= equal < bracket else head


def _names(head: bytes) -> Iterator[tuple[str, bool]]:
    static = head.startswith(b"static") or b"static " in head[: head.find(b"(")]
    at = 0
    while found := _GROUP.search(head, at):
        word = found[1]
        close = _close(head, found.end())
        if word in (b"void", b"int", b"long", b"char", b"bool", b"unsigned") or (
            word not in _NO_NAME and head[found.end() : found.end() + 1] == b"*" and close > 0
        ):
            inner = re.match(rb"[ \t\n]*\*+[ \t\n]*(\w+)[ \t\n]*\(", head[found.end() :])
            if inner:  # A function that returns a pointer to a function.
                yield inner[1].decode(), static
                return
        beside = _MACRO_WORD.match(word) and _ANOTHER.match(head, close)
        if word in _NO_NAME or _ATTRIBUTES.match(word) or beside:
            at = close
            continue
        yield from _named(word, head[found.end() : close - 1], static)
        return


def _named(word: bytes, arguments: bytes, static: bool) -> Iterator[tuple[str, bool]]:
    """The function a declarator ``word(arguments)`` stands for."""
    alone = re.match(rb"\s*(\w+)\s*(?:,|$)", arguments)
    name = word.decode()
    if _SYSCALL.match(word) and alone:
        prefix = "compat_sys_" if b"COMPAT" in word else "sys_"
        yield prefix + alone[1].decode(), False
    elif alone and alone[1] != b"void" and _MACRO_WORD.match(word):
        # DEFINE_IDTENTRY(exc_overflow), BPF_CALL_3(bpf_x, ...): the macro's first argument.
        name = alone[1].decode()
        yield name, static
        if word.startswith(b"DEFINE_IDTENTRY"):
            yield f"__{name}", True
            yield f"fred_{name}", False
    else:
        yield name, static


def _close(text: bytes, at: int) -> int:
    """Index behind the bracket that was opened just before ``at``."""
    level = 1
    for found in re.finditer(rb"[()]", text[at:]):
        level += 1 if found[0] == b"(" else -1
        if level == 0:
            return at + found.end()
    return len(text)


def _made(macro: str, name: str) -> Iterator[tuple[str, bool]]:
    """Functions of macros that stand alone (include/linux/seq_file.h, debugfs.h, device.h,
    bpf.h; asm/paravirt.h)."""
    if "THUNK" in macro:
        yield f"__raw_callee_save_{name}", False
    elif "BPF_ITER" in macro:
        yield f"bpf_iter_{name}", False
    elif "PMU" in macro:
        yield f"{name}_show", True
    elif "driver" in macro or "device" in macro:
        yield f"{name}_init", True
        if not macro.startswith("builtin"):
            yield f"{name}_exit", True
    else:
        yield f"{name}_open", True
        if "SIMPLE" in macro or "DEBUGFS" in macro:
            yield f"{name}_fops_open", True


def _expanded(data: bytes) -> Iterator[tuple[str, bool]]:
    """Functions made by the file's own macros (``show_one(cpuinfo_max)`` gives show_...)."""
    macros: dict[str, Macro] = {}
    for found in _MACRO.finditer(data):
        if found[1].decode() not in macros:
            params = tuple(part.strip() for part in found[2].decode().split(",") if part.strip())
            body = without_comments(found[3].decode("utf-8", "replace"))
            macros[found[1].decode()] = Macro(params, body)
    making = {name for name, macro in macros.items() if _makes(macro.body)}
    more = set(making)
    while more:
        more = {
            name
            for name, macro in macros.items()
            if name not in making and making.intersection(re.findall(r"\w+", macro.body))
        }
        making |= more
    if not making:
        return
    cpp = Preprocessor({name: macros[name] for name in making})
    made = 0
    for found in _CALLED.finditer(data):
        name = found[1].decode()
        if name not in making:
            continue
        text = data[found.start() : _close(data, found.end() + 1)].decode("utf-8", "replace")
        for function in _one_line(cpp.expand(without_comments(text)).encode()):
            made += 1
            if made <= _MOST:
                yield function


def _makes(body: str) -> bool:
    """Whether a macro's body has a function's body in it."""
    start = body.find("{")
    head = body[:start].strip()
    return start > 0 and head.endswith(")") and not head.endswith("while (0)") and "=" not in head


def _one_line(text: bytes) -> Iterator[tuple[str, bool]]:
    """Functions in text that has no line breaks to go by: braces at the outermost level."""
    level = begin = 0
    for found in re.finditer(rb"[{};]", text):
        if found[0] == b"{":
            if level == 0:
                head = _head(text[begin : found.start()][-_WINDOW:])
                if head:
                    yield from _names(head)
            level += 1
        else:
            level -= found[0] == b"}"
            if level <= 0:
                level, begin = 0, found.end()


def _assembly(data: bytes) -> Iterator[tuple[str, bool]]:
    for found in _ASSEMBLY.finditer(data):
        yield (found[1] or found[2] or found[3]).decode(), False


_ELSEWHERE = {
    # Headers whose lines become functions of another file: pattern, name, file.
    "include/linux/lsm_hook_defs.h": (
        re.compile(rb"^LSM_HOOK\([^,]*,[^,]*,\s*(\w+)", re.M),
        "bpf_lsm_{}",
        "kernel/bpf/bpf_lsm.c",
    ),
    "arch/x86/include/asm/idtentry.h": (
        re.compile(rb"^DECLARE_IDTENTRY\w*\([^,)]*,\s*(\w+)", re.M),
        "asm_{}",
        "arch/x86/entry/entry_64.S",
    ),
}


class Functions(Builder):
    """Table ``functions``."""

    name = "functions"

    def __init__(self) -> None:
        self._found: list[tuple[str, _Found]] = []

    def wants(self, path: str) -> bool:
        return wants(path)

    def scan(self, path: str, data: bytes) -> tuple[_Found, _Found] | None:
        """Functions of this file, and of the file its lines are made into functions in."""
        here = scan(path, data)
        there: _Found = ()
        if path in _ELSEWHERE:
            pattern, form, _ = _ELSEWHERE[path]
            names = {form.format(name.decode()) for name in pattern.findall(data)}
            there = tuple((name, False) for name in sorted(names))
        return (here, there) if here or there else None

    def take(self, path: str, facts: tuple[_Found, _Found]) -> None:
        here, there = facts
        self._found.append((path, here))
        if there:
            self._found.append((_ELSEWHERE[path][2], there))

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        return {
            "functions": [
                (name, path, static) for path, facts in self._found for name, static in facts
            ]
        }
