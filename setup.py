"""The native scanners are optional: without a compiler the pure-Python readers do the work."""

from pathlib import Path

from setuptools import Extension, setup

SOURCES = sorted(str(path) for path in Path("src/kfoot/native").glob("*.c"))
HEADERS = sorted(str(path) for path in Path("src/kfoot/native").glob("*.h"))

setup(
    ext_modules=[
        Extension(
            "kfoot._native",
            SOURCES,
            depends=HEADERS,
            # One binary for all Pythons from 3.11 on.
            define_macros=[("Py_LIMITED_API", "0x030B0000"), ("_FILE_OFFSET_BITS", "64")],
            py_limited_api=True,
            extra_compile_args=["-std=gnu11", "-O3", "-fvisibility=hidden", "-pthread"],
            extra_link_args=["-pthread"],
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
