"""Flow charts: what is drawn, what is folded, where two runs part."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from kfoot import readers
from kfoot.errors import InputError
from kfoot.footprint import flow
from kfoot.footprint.flow_fold import MAX_NODES, Node
from kfoot.footprint.flow_steps import command_name
from kfoot.readers.base import Options
from kfoot.readers.reading import CallCount, CallKey, Object, Process, Reading, Request, Step
from kfoot.reports.flowtext import beside, branch, way_label

DATA = Path(__file__).parent / "data"
Wanted = tuple[str, str | None, str] | tuple[str, str | None]


def reading(*steps: Wanted, argv: tuple[str, ...] = ("/usr/bin/mdt", "reservoir")) -> Reading:
    """One process that took ``steps``: call (or "ioctl NAME"), path, outcome."""
    result = Reading("strace", "made up", [Process(7, None, argv[0], argv)])
    objects: dict[str, int] = {}
    for call, path, *outcome in steps:
        number = None
        if path is not None:
            if path not in objects:
                objects[path] = len(objects)
                result.objects.append(Object("file", path))
            number = objects[path]
        name, _, request = call.partition(" ")
        result.steps.append(
            Step(
                0,
                7,
                name,
                None,
                "x86_64",
                number,
                Request(None, request) if request else None,
                outcome[0] if outcome else "ok",
                1,
            )
        )
    return result


def texts(command: flow.Command, way: int = 0) -> list[str]:
    return [command.nodes[index].text for index in command.ways[way].nodes]


def only(chart: flow.Chart) -> flow.Command:
    assert len(chart.commands) == 1
    return chart.commands[0]


START: list[Wanted] = [
    ("execve", None),
    ("mmap", None),
    ("openat", "/etc/ld.so.cache"),
    ("close", "/etc/ld.so.cache"),
    ("openat", "/lib/x/libc.so.6", "ENOENT"),
    ("openat", "/lib/libc.so.6"),
    ("futex", None),
]
TALK: list[Wanted] = [
    ("openat", "/sys/class/gpio/gpio4/value"),
    ("write", "/sys/class/gpio/gpio4/value"),
    ("close", "/sys/class/gpio/gpio4/value"),
    ("ioctl SPI_IOC_MESSAGE", "/dev/spidev0.0"),
]
NORMAL = reading(
    *START,
    ("openat", "/dev/spidev0.0"),
    ("flock", "/dev/spidev0.0"),
    *TALK * 48,
    ("close", "/dev/spidev0.0"),
    ("exit_group", None, "never"),
)
BUSY = reading(
    *START,
    ("openat", "/dev/spidev0.0"),
    ("flock", "/dev/spidev0.0", "EAGAIN"),
    ("close", "/dev/spidev0.0"),
    ("exit_group", None, "never"),
)


def test_a_command_folds_to_what_it_did() -> None:
    command = only(flow.chart([("normal", NORMAL)]))
    assert command.name == "mdt reservoir"
    assert texts(command) == [
        "process start-up",
        "openat /dev/spidev0.0",
        "flock /dev/spidev0.0",
        "repeat",
        "close /dev/spidev0.0",
        "exit_group",
    ]
    loop = command.nodes[3]
    assert loop.count() == 48
    assert [(node.text, node.count()) for node in loop.body] == [
        ("openat, write, close /sys/class/gpio/gpio4/value", 48),
        ("ioctl SPI_IOC_MESSAGE /dev/spidev0.0", 48),
    ]
    start = command.nodes[0]
    assert {node.text for node in start.body} >= {"execve", "openat /lib/libc.so.6"}


def test_the_error_branch_leaves_at_flock_and_comes_back() -> None:
    command = only(flow.chart([("normal", NORMAL), ("busy", BUSY)]))
    shared = set(command.ways[0].nodes) & set(command.ways[1].nodes)
    assert [command.nodes[index].text for index in sorted(shared)] == [
        "process start-up",
        "openat /dev/spidev0.0",
        "flock /dev/spidev0.0",
        "close /dev/spidev0.0",
        "exit_group",
    ]
    parting = [index for index in range(len(command.nodes)) if command.parting(index)]
    assert [command.nodes[index].text for index in parting] == ["flock /dev/spidev0.0"]
    assert dict(command.nodes[parting[0]].outcomes(0)) == {"ok": 1}
    assert dict(command.nodes[parting[0]].outcomes(1)) == {"EAGAIN": 1}
    loop = next(node for node in command.nodes if node.kind == "loop")
    assert loop.count(1) == 0


def test_merging_charts_equals_charting_together() -> None:
    together = flow.chart([("normal", NORMAL), ("busy", BUSY), ("again", NORMAL)])
    merged = flow.merge(
        [
            flow.chart([("normal", NORMAL)]),
            flow.chart([("busy", BUSY)]),
            flow.chart([("again", NORMAL)]),
        ]
    )
    assert merged.to_json() == together.to_json()


def test_captures_tell_ways_of_one_label_apart() -> None:
    normal, busy = flow.chart([("pump", NORMAL)]), flow.chart([("pump", BUSY)])
    command = only(flow.merge([normal, busy, normal], ["one", "two", "three"]))
    assert [(way.images, way.captures) for way in command.ways] == [
        (2, ["one", "three"]),
        (1, ["two"]),
    ]
    assert [way_label(command, index) for index in (0, 1)] == ["one, three", "two"]


def test_captures_label_what_has_no_label() -> None:
    charts = [flow.chart([(flow.UNNAMED, found)]) for found in (NORMAL, BUSY)]
    command = only(flow.merge(charts, ["normal", "busy"]))
    assert [way.label for way in command.ways] == ["normal", "busy"]


def test_merging_does_not_change_its_inputs() -> None:
    one = flow.chart([("normal", NORMAL)])
    before = json.dumps(one.to_json())
    flow.merge([one, one, flow.chart([("busy", BUSY)])])
    assert json.dumps(one.to_json()) == before


def test_json_round_trip() -> None:
    chart = flow.chart([("normal", NORMAL), ("busy", BUSY)])
    text = json.dumps(chart.to_json())
    assert flow.Chart.from_json(json.loads(text)).to_json() == chart.to_json()


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"schema": 1},
        {"schema": 99, "commands": []},
        {"schema": 1, "steps_cut": 0, "commands": [{"name": "x"}]},
        {
            "schema": 1,
            "steps_cut": 0,
            "commands": [
                {
                    "name": "x",
                    "main": True,
                    "nodes": [],
                    "ways": [{"label": "a", "nodes": [3], "images": 1, "captures": []}],
                    "quiet": {},
                    "expected": {},
                    "unplaced": {},
                    "cut": 0,
                }
            ],
        },
    ],
)
def test_broken_json_is_an_input_error(data: object) -> None:
    with pytest.raises(InputError, match="flows"):
        flow.Chart.from_json(data)


def test_equal_images_are_one_way_and_counted() -> None:
    command = only(flow.chart([("a", BUSY), ("a", BUSY), ("b", BUSY)]))
    assert [(way.label, way.images) for way in command.ways] == [("a", 2), ("b", 1)]
    assert command.nodes[1].count(0) == 2


def test_quiet_calls_are_counted_not_drawn() -> None:
    found = reading(("openat", "/data"), ("nanosleep", None), ("futex", None, "EAGAIN"))
    command = only(flow.chart([("x", found)]))
    assert texts(command) == ["openat /data"]
    assert command.quiet == {"nanosleep": 1}
    assert command.expected == {"futex EAGAIN": 1}


def test_unknown_calls_are_drawn() -> None:
    command = only(flow.chart([("x", reading(("brand_new_call", None)))]))
    assert texts(command) == ["brand_new_call"]


def test_search_paths_fold_but_a_missing_file_shows() -> None:
    found = reading(
        ("openat", "/data/in"),
        ("openat", "/a/conf", "ENOENT"),
        ("openat", "/b/conf", "ENOENT"),
        ("openat", "/c/once", "ENOENT"),
        ("openat", "/dev/pump", "ENOENT"),
    )
    command = only(flow.chart([("x", found)]))
    assert texts(command) == ["openat /data/in", "openat /c/once", "openat /dev/pump"]
    assert command.expected == {"openat ENOENT": 2}


def test_modules_found_with_an_extension_were_searched() -> None:
    found = reading(
        ("ioctl X", "/dev/x"),
        ("statx", "/app/lib/round", "ENOENT"),
        ("statx", "/app/lib/round.js"),
        ("statx", "/app/other", "ENOENT"),
        ("statx", "/app/other/index.js"),
        ("statx", "/app/other.js", "ENOENT"),
    )
    command = only(flow.chart([("x", found)]))
    assert command.expected == {"statx ENOENT": 3}


def test_start_up_ends_with_the_loader() -> None:
    found = reading(
        *START,
        ("fstat", "/tmp/log"),
        ("fcntl", None),
        ("pipe2", "pipe:[7]"),
        ("read", "pipe:[7]"),
        ("mmap", None),
    )
    command = only(flow.chart([("x", found)]))
    assert texts(command) == ["process start-up", "pipe2 pipe", "read pipe"]
    assert [node.text for node in command.nodes[0].body][-2:] == ["fstat /tmp/log", "fcntl"]


def test_closing_at_the_end_folds_except_devices() -> None:
    closes: list[Wanted] = [("close", name) for name in ("pipe", "[eventfd]", "socket", "/dev/x")]
    command = only(flow.chart([("x", reading(("ioctl X", "/dev/x"), *closes))]))
    assert texts(command) == ["ioctl X /dev/x", "close 3 descriptors", "close /dev/x"]


def test_threads_end_quietly_and_a_process_does_not() -> None:
    found = reading(("exit", None, "never"), ("getpid", None), ("exit", None, "never"))
    command = only(flow.chart([("x", found)]))
    assert texts(command) == ["exit"]
    assert command.quiet["exit (thread)"] == 1


def test_one_failure_in_a_loop_stays_visible() -> None:
    found = reading(
        *[("ioctl A", "/dev/x"), ("ioctl B", "/dev/x")] * 5,
        ("ioctl A", "/dev/x", "EIO"),
        ("ioctl B", "/dev/x"),
    )
    command = only(flow.chart([("x", found)]))
    assert [node.kind for node in command.nodes] == ["loop"]
    assert command.nodes[0].body[0].outcomes() == {"ok": 5, "EIO": 1}


@pytest.mark.parametrize("period", [2, 3, 7, 16])
def test_loops_up_to_sixteen_steps(period: int) -> None:
    body: list[Wanted] = [(f"ioctl R{n}", "/dev/x") for n in range(period)]
    command = only(flow.chart([("x", reading(*body * 9))]))
    assert len(command.nodes) == 1
    assert command.nodes[0].count() == 9
    assert [node.count() for node in command.nodes[0].body] == [9] * period


def test_inner_loops_fold_first() -> None:
    inner: list[Wanted] = [("ioctl A", "/dev/x"), ("ioctl B", "/dev/x")]
    body = [*inner * 3, ("ioctl C", "/dev/x")]
    command = only(flow.chart([("x", reading(*body, *body, *body))]))
    outer = command.nodes[0]
    assert (outer.kind, outer.count()) == ("loop", 3)
    assert [(node.kind, node.count()) for node in outer.body] == [("loop", 9), ("ioctl", 3)]


def test_stretches_of_plain_files_fold() -> None:
    steps: list[Wanted] = [("ioctl A", "/dev/x")]
    for n in range(40):
        steps += [("openat", f"/data/{n}"), ("read", f"/data/{n}"), ("close", f"/data/{n}")]
    command = only(flow.chart([("x", reading(*steps, ("ioctl B", "/dev/x")))]))
    assert [node.kind for node in command.nodes] == ["ioctl", "files", "ioctl"]
    assert command.nodes[1].text == "open, read, look at, close 40 files"


@pytest.mark.parametrize(
    ("exe", "argv", "name"),
    [
        ("/usr/bin/mdt", ("mdt", "reservoir"), "mdt reservoir"),
        ("/usr/bin/ls", ("ls", "-l", "/etc"), "ls"),
        (
            "/usr/bin/node",
            ("node", "--harmony", "/opt/bin/oref0-meal.js", "a"),
            "node oref0-meal.js",
        ),
        ("/usr/bin/python3.11", ("python3", "-c", "import a/b"), "python3 -c import a/b"),
        ("/bin/true", (), "true"),
        (None, (), "(unknown command)"),
    ],
)
def test_commands_are_called_as_people_call_them(
    exe: str | None, argv: tuple[str, ...], name: str
) -> None:
    assert command_name(Process(1, None, exe, argv)) == name


def test_the_published_pump_traces_part_at_flock() -> None:
    """ELISA's `mdt reservoir`: 315 SPI messages in the normal run, none in the busy one."""
    labels = {"normal": "strace.mdt-reservoir.txt.zst", "busy": "strace.mdt-reservoir.busy.txt.zst"}
    command = only(
        flow.chart(
            (label, found)
            for label, name in labels.items()
            for found in readers.read([DATA / "strace" / name], Options(arch="x86_64"))
        )
    )
    assert len(command.nodes) < 40
    parting = [index for index in range(len(command.nodes)) if command.parting(index)]
    assert [command.nodes[index].text for index in parting] == ["flock /dev/spidev5.1"]
    branches = {
        branch(command, command.nodes[parting[0]], ways)
        for (tail, _), ways in command.edges().items()
        if tail == parting[0]
    }
    assert branches == {
        "flock worked",
        "flock = EAGAIN: locked by another process: device busy",
    }

    def messages(nodes: list[Node], run: int) -> int:
        return sum(
            messages(node.body, run) if node.body else node.count(run) * (node.kind == "ioctl")
            for node in nodes
        )

    assert [messages(command.nodes, run) for run in (0, 1)] == [315, 0]
    assert command.ways[0].nodes[-1] == command.ways[1].nodes[-1]


def test_pids_in_names_do_not_part_ways() -> None:
    one = reading(("openat", "/proc/123/status"), ("openat", "/dev/x"))
    two = reading(("openat", "/proc/45/status"), ("openat", "/dev/x"))
    command = only(flow.chart([("a", one), ("b", two)]))
    assert command.ways[0].nodes == command.ways[1].nodes


def test_asking_for_a_terminal_is_no_failure() -> None:
    found = reading(("ioctl TCGETS", "/dev/null", "ENOTTY"), ("ioctl X", "/dev/null", "ENOTTY"))
    command = only(flow.chart([("x", found)]))
    assert texts(command) == ["ioctl X /dev/null"]
    assert command.expected == {"ioctl ENOTTY": 1}


def test_images_of_one_capture_are_numbered_ways() -> None:
    command = only(flow.chart([("a", NORMAL), ("a", BUSY)]))
    assert [way_label(command, index) for index in (0, 1)] == ["way 1", "way 2"]
    command = only(flow.chart([("a", NORMAL), ("a", BUSY), ("b", BUSY)]))
    assert [way_label(command, index) for index in range(3)] == ["a: way 1", "a: way 2", "b"]


def test_nothing_is_lost_in_folding() -> None:
    """Drawn steps and counted ones add up to the steps that were there."""
    chance = random.Random(4)
    calls: list[Wanted] = [
        ("openat", "/data/a"),
        ("read", "/data/a"),
        ("close", "/data/a"),
        ("ioctl X", "/dev/x"),
        ("ioctl X", "/dev/x", "EIO"),
        ("flock", "/dev/x", "EAGAIN"),
        ("nanosleep", None),
        ("openat", "/e/f", "ENOENT"),
    ]
    for _ in range(50):
        steps = chance.choices(calls, k=400)
        command = only(flow.chart([("x", reading(("ioctl FIRST", "/dev/x"), *steps))]))

        def leaves(node: Node) -> int:
            return sum(map(leaves, node.body)) if node.body else node.count()

        drawn = sum(map(leaves, command.nodes))
        assert drawn + command.quiet.total() + command.expected.total() == 401


def test_a_fork_joins_the_start_up_of_what_it_executes() -> None:
    found = reading(("openat", "/dev/x"), ("close", "/dev/x"))
    shell = Process(1, None, "/bin/sh", ("sh", "-c", "mdt"))
    fork = Process(2, 0, "/bin/sh", ("sh", "-c", "mdt"))
    found.processes = [shell, fork, Process(2, 1, "/usr/bin/mdt", ("mdt",))]
    opened, closed = found.steps
    dup = opened._replace(process=1, name="dup2", object=None)
    found.steps = [
        opened._replace(process=0, name="wait4", object=None),
        dup,
        opened._replace(process=2),
        closed._replace(process=2),
    ]
    chart = flow.chart([("x", found)])
    names = {command.name: texts(command) for command in chart.commands}
    assert names == {
        "sh -c mdt": ["wait4"],
        "mdt": ["process start-up", "openat /dev/x", "close /dev/x"],
    }


def test_a_launcher_joins_the_start_up_of_what_it_becomes() -> None:
    found = reading(("execve", None), ("execve", None), ("openat", "/dev/x"))
    found.processes = [
        Process(2, None, "/usr/bin/env", ("env", "mdt")),
        Process(2, 0, "/usr/bin/mdt", ("mdt",)),
    ]
    first, second, opened = found.steps
    found.steps = [first, second, opened._replace(process=1)]
    command = only(flow.chart([("x", found)]))
    assert command.name == "mdt"
    assert command.main
    assert texts(command) == ["process start-up", "openat /dev/x"]
    assert command.nodes[0].body[0].count() == 2


def test_other_files_are_no_rounds_of_a_loop() -> None:
    def files(first: int) -> list[Wanted]:
        return [("newfstatat", f"/data/{first + n}") for n in range(8)]

    steps = [("ioctl A", "/dev/x"), *files(0), ("ioctl A", "/dev/x"), *files(10)]
    command = only(flow.chart([("x", reading(*steps))]))
    assert [node.kind for node in command.nodes] == ["ioctl", "files", "ioctl", "files"]


def partly(full: Reading, first: int) -> Reading:
    """``full`` as a recorder gives it that keeps the order of the first calls of each kind."""
    result = Reading("bpf", "made up", full.processes, full.objects)
    seen: Counter[CallKey] = Counter()
    for step in full.steps:
        key = CallKey(
            step.process,
            step.abi,
            step.nr,
            step.name,
            step.outcome,
            step.object,
            None,
            step.request,
        )
        seen[key] += 1
        result.calls.setdefault(key, CallCount()).calls += 1
        if seen[key] <= first:
            result.steps.append(step)
        else:
            result.steps_cut += 1
    return result


def test_numbers_are_exact_where_order_was_recorded_in_part() -> None:
    full, part = (only(flow.chart([("a", found)])) for found in (NORMAL, partly(NORMAL, 3)))
    assert texts(part) == texts(full)
    assert [node.count() for node in part.nodes] == [node.count() for node in full.nodes]
    assert [inner.count() for inner in part.nodes[3].body] == [48, 48]
    assert (part.quiet, part.expected) == (full.quiet, full.expected)
    assert part.unplaced == {}


def test_what_fits_several_boxes_is_given_to_none() -> None:
    talk: list[Wanted] = [("ioctl A", "/dev/x"), ("ioctl B", "/dev/x")]
    found = reading(*talk * 2, ("ioctl C", "/dev/x"), *talk * 50)
    command = only(flow.chart([("a", partly(found, 4))]))
    assert command.unplaced == {"ioctl A /dev/x": 48, "ioctl B /dev/x": 48}
    assert [node.count() for node in command.nodes] == [2, 1, 2]
    assert "96 calls came after the recorded order" in " ".join(beside(command))


def test_a_loop_whose_rounds_do_not_add_up_says_at_least() -> None:
    talk: list[Wanted] = [("ioctl A", "/dev/x"), ("ioctl B", "/dev/x")]
    found = reading(*talk * 5, *[("ioctl B", "/dev/x")] * 7, ("ioctl C", "/dev/x"))
    command = only(flow.chart([("a", partly(found, 3))]))
    assert [(node.text, node.count()) for node in command.nodes] == [
        ("repeat, at least", 3),
        ("ioctl C /dev/x", 1),
    ]
    assert [node.count() for node in command.nodes[0].body] == [5, 12]


def test_order_that_does_not_fit_the_counts_is_not_mixed_with_them() -> None:
    found = partly(NORMAL, 3)
    found.steps_cut += 1
    command = only(flow.chart([("a", found)]))
    assert command.nodes[3].count() == 3


def test_twenty_thousand_different_steps_are_cut_and_quick() -> None:
    steps: list[Wanted] = [(f"ioctl R{n}", "/dev/x") for n in range(20_000)]
    long = reading(*steps, ("exit_group", None, "never"))
    other = reading(*steps[5:], ("exit_group", None, "never"))
    began = time.monotonic()
    command = only(flow.chart([("a", long), ("b", other)]))
    assert time.monotonic() - began < 10
    assert len(command.ways[0].nodes) == MAX_NODES
    assert texts(command)[-2:] == ["further steps, not drawn", "exit_group"]
    assert sum(node.count(0) for node in command.nodes) == 20_001
