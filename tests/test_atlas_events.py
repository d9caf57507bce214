from __future__ import annotations

from pathlib import Path

from kfoot.atlas.build import eventmacros
from kfoot.atlas.build.base import Context
from kfoot.atlas.build.events import Events
from kfoot.atlas.schema import Row

HEADER = b"""
#undef TRACE_SYSTEM
#define TRACE_SYSTEM drv

#define DEV_ENTRY	__string(name, dev_name(dev))
#define DEFINE_DRV_EVENT(name) \\
	DEFINE_EVENT(drv_class, drv_##name, \\
		TP_PROTO(struct device *dev), TP_ARGS(dev))

DECLARE_EVENT_CLASS(drv_class,
	TP_PROTO(struct device *dev),
	TP_ARGS(dev),
	TP_STRUCT__entry(
		DEV_ENTRY
		__field(	unsigned int,	nr	)
		__array( char, comm, TASK_COMM_LEN )
		__dynamic_array(u8, raw, len)
		__field_struct(struct sockaddr_in6, addr)
	),
	TP_fast_assign(__entry->nr = 1;),
	TP_printk("nr %u", __entry->nr)
);
#ifdef CONFIG_PM
DEFINE_DRV_EVENT(suspend);
#else
DEFINE_DRV_EVENT(resume);
#endif

/* TRACE_EVENT(in_a_comment, */
TRACE_EVENT_CONDITION(drv_err,
	TP_PROTO(int rc), TP_ARGS(rc), TP_CONDITION(rc),
	TP_STRUCT__entry(__field(int, rc)),
	TP_fast_assign(),
	TP_printk("(TRACE_EVENT(no, %d)", __entry->rc)
);
DEFINE_EVENT_NOP(drv_class, drv_never, TP_PROTO(int a), TP_ARGS(a));
"""


def rows(tree: dict[str, bytes]) -> dict[str, Row]:
    rules = Events()
    for path in sorted(tree):
        if rules.wants(path):
            facts = rules.scan(path, tree[path])
            if facts is not None:
                rules.take(path, facts)
    context = Context(release="6.1", paths=sorted(tree), tree=Path("/nowhere"))
    context.area_of = lambda path: None if path.startswith("include/") else path.split("/")[0]
    return {f"{row[0]}:{row[1]}": row for row in rules.finish(context)["events"]}


def test_wrappers_are_expanded_in_every_branch_and_fields_come_from_the_class():
    found = eventmacros.read(HEADER)
    assert found is not None
    assert [(event.system, event.name) for event in found.events] == [
        ("drv", "drv_suspend"),
        ("drv", "drv_resume"),
        ("drv", "drv_err"),
    ]
    table = rows({"drivers/drv/trace.h": HEADER})
    assert table["drv:drv_resume"][2] == (
        "__data_loc char[] name",
        "unsigned int nr",
        "char comm[TASK_COMM_LEN]",
        "__data_loc u8[] raw",
        "struct sockaddr_in6 addr",
    )
    assert table["drv:drv_err"][2] == ("int rc",)


def test_a_header_beside_its_code_has_the_area_of_its_folder():
    table = rows({"drivers/drv/trace.h": HEADER, "net/user.c": b"trace_drv_suspend(dev);"})
    assert table["drv:drv_suspend"][6:] == ("drivers", "event-own-folder")


def test_a_shared_header_has_the_area_of_whoever_fires_the_event():
    table = rows(
        {
            "include/trace/events/drv.h": HEADER,
            "arch/arm/x.c": b"trace_drv_suspend(dev);",
            "net/user.c": b"if (trace_drv_suspend_enabled()) trace_drv_suspend(dev);",
            "mm/tp.c": b"#define CREATE_TRACE_POINTS\n#include <trace/events/drv.h>\n",
        }
    )
    assert table["drv:drv_suspend"][3:] == (
        *("net/user.c", "include/trace/events/drv.h", None, "net", "event-call-site"),
    )
    assert table["drv:drv_resume"][6:] == ("mm", "event-created-by")


def test_the_creator_owns_what_many_fire_or_only_drivers():
    tree = {
        "include/trace/events/drv.h": HEADER,
        "net/tp.c": b"#define CREATE_TRACE_POINTS\n#include <trace/events/drv.h>\n",
    }
    callers = {"fs/a.c": b"trace_drv_suspend(dev);", "mm/b.c": b"trace_drv_suspend(dev);"}
    assert rows({**tree, **callers})["drv:drv_suspend"][6:] == ("net", "event-created-by")
    callers = {f"drivers/d{n}.c": b"trace_drv_suspend(dev);" for n in range(3)}
    assert rows({**tree, **callers})["drv:drv_suspend"][6:] == ("net", "event-created-by")
    tree["kernel/trace/tp.c"] = tree.pop("net/tp.c")
    assert rows({**tree, **callers})["drv:drv_suspend"][6:] == ("drivers", "event-call-site")


def test_an_architectures_shared_header_is_not_its_own_folder():
    table = rows(
        {
            "arch/x86/include/asm/trace/drv.h": HEADER,
            "arch/x86/mm/fault.c": b"#define CREATE_TRACE_POINTS\n#include <asm/trace/drv.h>\n"
            b"trace_drv_suspend(dev);",
        }
    )
    assert table["drv:drv_suspend"][3] == "arch/x86/mm/fault.c"


def test_an_event_nobody_fires_has_the_area_of_its_system():
    table = rows({"include/trace/events/drv.h": HEADER, "net/user.c": b"trace_drv_suspend(dev);"})
    assert table["drv:drv_err"][6:] == ("net", "event-system")


def test_entries_of_the_ring_buffer_itself():
    text = b"""
FTRACE_ENTRY_PACKED(funcgraph_entry, ftrace_graph_ent_entry,
	TRACE_GRAPH_ENT,
	F_STRUCT(
		__field_packed(	unsigned long,	graph_ent,	func	)
		__field(	int,		depth	)
	),
	F_printk("--> %ps (%d)", (void *)__entry->func, __entry->depth)
);
"""
    table = rows({"kernel/trace/trace_entries.h": text})
    assert table["ftrace:funcgraph_entry"][6] == "kernel"


def test_a_header_cut_short_gives_what_is_whole():
    for cut in range(0, len(HEADER), 97):
        eventmacros.read(HEADER[:cut])
