from __future__ import annotations

from pathlib import Path

import pytest

from kfoot.atlas.abi import ioctl_classes
from kfoot.atlas.build import ioctlvalues
from kfoot.atlas.build.base import Context
from kfoot.atlas.build.cpp import without_comments
from kfoot.atlas.build.ioctlmacros import defines, requests
from kfoot.atlas.build.ioctls import Ioctls
from kfoot.atlas.lookup import AtlasView
from kfoot.atlas.pack import pack
from kfoot.atlas.store import AtlasFile
from needs import needs

TREE = {
    "include/uapi/asm-generic/ioctl.h": """
#define _IOC(dir,type,nr,size) (((dir) << 30) | ((type) << 8) | (nr) | ((size) << 16))
#define _IOC_NONE 0U
#define _IOC_WRITE 1U
#define _IOC_READ 2U
#define _IO(type,nr) _IOC(_IOC_NONE,(type),(nr),0)
#define _IOR(type,nr,size) _IOC(_IOC_READ,(type),(nr),sizeof(size))
#define _IOW(type,nr,size) _IOC(_IOC_WRITE,(type),(nr),sizeof(size))
#define _IOWR(type,nr,size) _IOC(_IOC_READ|_IOC_WRITE,(type),(nr),sizeof(size))
""",
    "include/uapi/linux/ioctl.h": "#include <asm-generic/ioctl.h>\n",
    "include/uapi/linux/types.h": "typedef unsigned int __u32; typedef unsigned long long __u64;\n",
    "include/uapi/linux/time.h": "\n",
    "include/uapi/linux/socket.h": "\n",
    "include/uapi/linux/major.h": "\n",
    "include/uapi/linux/sockios.h": "#define SIOCGIFADDR\t0x8915\n",
    "include/uapi/asm-generic/ioctls.h": "#define FIONREAD\t0x541B\n",
    "include/uapi/linux/toy.h": """
#include <linux/ioctl.h>
#define TOY_MAGIC 'k'
#define TOY_IOR(nr, type) _IOR(TOY_MAGIC, nr, type)
struct toy_pair { __u32 a; __u64 b; };
struct toy_long { long l; };
#define TOY_GET TOY_IOR(1, __u32)   /* a comment */
#define TOY_SET _IOW(TOY_MAGIC, 2, __u32)
#define TOY_BOTH _IOWR(TOY_MAGIC, 3, struct toy_pair)
#define TOY_LONG _IOR(TOY_MAGIC, 4, struct toy_long)
#define TOY_RESET _IO(TOY_MAGIC, 5)
#define TOY_OLD TOY_GET
#define TOY_NAME(len) _IOC(_IOC_READ, 'E', 6, len)
#define TOY_AXIS(n) _IOR('E', 0x40 + (n), __u32)
#define TOY_BROKEN _IOR('k', 9, struct nowhere)
enum {
	TOY_ENUM = _IO('b', 1),
};
#define TOY_FLAG 0x1234
""",
    "include/scsi/sg.h": "#define SG_IO 0x2285\n#define SG_FLAG_LUN_INHIBIT 2\n",
    "drivers/toy.c": "long toy_ioctl(int cmd)\n{\n\tswitch (cmd) {\n\tcase TOY_GET:\n\t}\n}\n",
    "drivers/gen.c": "/* ioctl */ if (cmd == TOY_SET) return 0;",
}


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> AtlasView:
    needs("gcc")
    tree = tmp_path_factory.mktemp("tree")
    rules = Ioctls()
    for path, text in TREE.items():
        if rules.keeps(path):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        if rules.wants(path):
            facts = rules.scan(path, text.encode())
            if facts is not None:
                rules.take(path, facts)
    context = Context(release="6.1", paths=sorted(TREE), tree=tree)
    tables = rules.finish(context)
    if context.notes:
        pytest.skip(f"the compiler has not every layout: {context.notes}")
    header = {"release": "6.1", "source": "x", "source_sha256": "0", "rules": 1, "notes": []}
    file = tree / "x.atlas"
    file.write_bytes(pack(header, tables))
    return AtlasView(AtlasFile(file))


def number(view: AtlasView, name: str, abi: str) -> int:
    (found,) = view.ioctl(name, abi=abi)
    return found.nr


def test_a_request_is_told_from_its_helpers_and_from_flags() -> None:
    headers = {
        path.removeprefix("include/uapi/"): defines(without_comments(text))
        for path, text in TREE.items()
        if path.startswith("include/uapi/")
    }
    names = {request.name for request in requests(headers)}
    assert names == {
        *("TOY_GET", "TOY_SET", "TOY_BOTH", "TOY_LONG", "TOY_RESET", "TOY_OLD", "TOY_NAME"),
        *("TOY_AXIS", "TOY_BROKEN", "TOY_ENUM", "SIOCGIFADDR", "FIONREAD"),
    }


def test_numbers_are_those_of_the_architecture(view: AtlasView) -> None:
    """_IOR('k', 1, 4 bytes) by hand from each architecture's asm/ioctl.h."""
    assert number(view, "TOY_GET", "x86_64") == 0x80046B01
    assert number(view, "TOY_OLD", "arm") == 0x80046B01
    assert number(view, "TOY_GET", "powerpc64") == 0x40046B01
    assert number(view, "TOY_SET", "mips_o32") == 0x80046B02
    assert number(view, "TOY_GET", "parisc32") == 0x40046B01
    assert number(view, "TOY_RESET", "sparc64") == 0x20006B05
    assert number(view, "TOY_ENUM", "x86_64") == 0x6201
    assert number(view, "SG_IO", "powerpc64") == 0x2285


def test_sizes_follow_the_layout(view: AtlasView) -> None:
    sizes = {
        abi: (view.ioctl("TOY_BOTH", abi=abi)[0].size, view.ioctl("TOY_LONG", abi=abi)[0].size)
        for abi in ("x86_64", "i386", "arm", "powerpc32", "mips_n64")
    }
    assert sizes == {
        "x86_64": (16, 8),
        "i386": (12, 4),
        "arm": (16, 4),
        "powerpc32": (16, 4),
        "mips_n64": (16, 8),
    }


def test_a_family_is_found_by_any_of_its_numbers(view: AtlasView) -> None:
    (found,) = view.ioctl(0x81004506)
    assert (found.name, found.size) == ("TOY_NAME", None)
    assert [one.name for one in view.ioctl(0x80044545)] == ["TOY_AXIS"]
    assert view.ioctl(0x80044585) == ()
    assert [one.name for one in view.ioctl(0x50044545, abi="powerpc64")] == []
    assert [one.name for one in view.ioctl(0x40044545, abi="powerpc64")] == ["TOY_AXIS"]


def test_what_does_not_compile_is_left_out(view: AtlasView) -> None:
    assert view.ioctl("TOY_BROKEN") == ()


def test_the_handler_is_where_the_case_is(view: AtlasView) -> None:
    places = {name: view.ioctl(name)[0].handlers[0] for name in ("TOY_GET", "TOY_SET", "TOY_RESET")}
    assert [(place.file, place.how) for place in places.values()] == [
        ("drivers/toy.c", "ioctl-case"),
        ("drivers/gen.c", "ioctl-mention"),
        ("include/uapi/linux/toy.h", "ioctl-header"),
    ]


def test_without_a_compiler_only_bare_numbers_are_there_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ioctlvalues.shutil, "which", lambda name: None)
    rules = Ioctls()
    facts = rules.scan("include/scsi/sg.h", TREE["include/scsi/sg.h"].encode())
    assert facts is not None
    rules.take("include/scsi/sg.h", facts)
    context = Context(release="6.1", paths=[], tree=tmp_path)
    assert [row[0] for row in rules.finish(context)["ioctls"]] == ["SG_IO"]
    assert "no C compiler" in context.notes[0]


def test_every_abi_has_its_classes() -> None:
    assert ioctl_classes("x86_64") == ("", "generic", "lp64", "x86_64")
    assert ioctl_classes("x32")[2:4] == ("generic32", "ilp32")
    assert ioctl_classes("i386")[3] == "i386"
    assert ioctl_classes("mips_n64")[1:3] == ("other", "other64")
    assert ioctl_classes("parisc32")[1:3] == ("parisc", "parisc32")
