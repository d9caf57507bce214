from __future__ import annotations

from typing import Any, ClassVar

from kfoot.atlas.build.functions import Functions, scan
from kfoot.atlas.model import File, Function, Place
from kfoot.atlas.symbols import Symbol, choose, enabled

SOURCE = b"""
#include <linux/module.h>
#define SHOW_ONE(name, field)					\\
static ssize_t name##_show(struct device *dev, char *buf)	\\
{								\\
	return sysfs_emit(buf, "%d", dev->field);		\\
}
#define SHOW(name) SHOW_ONE(stat_##name, name)
SHOW(bytes);
SHOW(errors);

struct ops table[] = {
	{ .open = x },
};

static noinline_for_stack
char *pointer(const char *fmt, /* may hold ; and { */ char *buf,
		struct printf_spec spec)
{
	if (spec.type) {
		call(fmt);
	}
}

/* A long comment; with { braces }
 * static int not_a_function(void)
 */
int __init __attribute__((cold)) plain(void) __releases(lock)
{
}
static __printf(2, 3) void report(struct x *x, const char *fmt, ...) {
}
void (*hook(int nr))(int)
{
	return NULL;
}
EXPORT_SYMBOL(hook)

acpi_status
acpi_get_data(acpi_handle handle)
{
}
unsigned long KSTK_ESP(struct task_struct *task)
{
}
SYSCALL_DEFINE3(read, unsigned int, fd, char __user *, buf, size_t, count)
{
}
SYSCALL_DEFINE0(getpid)
{
}
COMPAT_SYSCALL_DEFINE1(close, unsigned int, fd)
{
}
BPF_CALL_3(bpf_redirect, u32, ifindex)
{
}
DEFINE_IDTENTRY(exc_overflow)
{
}
DEFINE_SHOW_ATTRIBUTE(wakeup_sources);
module_spi_driver(spidev);
static inline bool is_on(void) { return true; }
"""


def test_functions_of_every_shape_and_nothing_else():
    assert dict(scan("drivers/x/x.c", SOURCE)) == {
        "stat_bytes_show": True,
        "stat_errors_show": True,
        "pointer": True,
        "plain": False,
        "report": True,
        "hook": False,
        "acpi_get_data": False,
        "KSTK_ESP": False,
        "sys_read": False,
        "sys_getpid": False,
        "compat_sys_close": False,
        "bpf_redirect": False,
        "exc_overflow": False,
        "__exc_overflow": True,
        "fred_exc_overflow": False,
        "wakeup_sources_open": True,
        "spidev_init": True,
        "spidev_exit": True,
        "is_on": True,
    }


def test_assembly_functions_and_labels():
    text = b"SYM_FUNC_START(memcpy)\n\tret\nSYM_FUNC_END(memcpy)\n\t.globl early_idt\nlabel:\n"
    assert [name for name, _ in scan("arch/x86/lib/m.S", text)] == ["early_idt", "label", "memcpy"]


def test_lines_of_a_table_become_functions_of_another_file():
    rules = Functions()
    path = "include/linux/lsm_hook_defs.h"
    facts = rules.scan(path, b"LSM_HOOK(int, 0, file_open, struct file *file)\n")
    assert facts is not None
    rules.take(path, facts)
    context: Any = None
    assert list(rules.finish(context)["functions"]) == [
        ("bpf_lsm_file_open", "kernel/bpf/bpf_lsm.c", False)
    ]


def test_hostile_sources_end_soon():
    for text in (b"#define A(x) A(x) A(x)\nA(1)\n" * 50, b"(" * 200_000, b"\n{" * 50_000):
        scan("drivers/x.c", text)


class Sources:
    """An atlas of four files."""

    functions: ClassVar = {
        "alpha": ["mm/a.c"],
        "beta": ["mm/b.c"],
        "init": ["mm/a.c", "mm/b.c", "arch/arm/c.c", "drivers/off.c"],
        "stub": ["include/linux/s.h", "lib/s.c"],
    }

    def function(self, name: str) -> tuple[Function, ...]:
        return tuple(
            Function(name, name == "init", Place(path, None, None, "definition"))
            for path in self.functions.get(name, [])
        )

    def file(self, path: str) -> File:
        config = ("CONFIG_OFF",) if path == "drivers/off.c" else ("CONFIG_ON", "!CONFIG_OFF")
        return File(path, "mm", (), config, None)

    def module(self, name: str) -> Any:
        class Module:
            files = ("drivers/off.c",)

        return Module


def test_a_name_takes_the_file_of_its_neighbours():
    order = ["alpha", "init", "alpha", "beta", "beta", "init", "stub", "unknown"]
    symbols = [Symbol(0x1000 + 16 * place, name) for place, name in enumerate(order)]
    atlas: Any = Sources()
    found = choose(atlas, symbols, arch="x86", config={"CONFIG_ON": "y"})
    files = [one.place.file if one else None for one in (found[symbol] for symbol in symbols)]
    assert files == [
        *("mm/a.c", "mm/a.c", "mm/a.c", "mm/b.c", "mm/b.c", "mm/b.c"),
        *("lib/s.c", None),
    ]


def test_a_symbol_of_a_module_is_in_the_modules_files():
    atlas: Any = Sources()
    symbol = Symbol(1, "init", "off")
    found = choose(atlas, [symbol])[symbol]
    assert found is not None
    assert found.place.file == "drivers/off.c"


def test_conditions_hold_as_the_makefile_means_them():
    assert enabled(("CONFIG_A", "!CONFIG_B"), {"CONFIG_A": "m"})
    assert not enabled(("CONFIG_A",), {})
    assert not enabled(("!CONFIG_B",), {"CONFIG_B": "y"})
