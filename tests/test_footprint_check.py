"""A file that is no footprint is refused naming the place; one that passes can be reported."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kfoot import cli
from kfoot.errors import InputError
from kfoot.footprint import contract, merge
from kfoot.reports.html import render
from kfoot.reports.plain import markdown, rst

EXAMPLE = Path(__file__).parent / "data" / "footprint-example.json"
FOOTPRINT: dict[str, Any] = json.loads(EXAMPLE.read_bytes())


def written(tmp_path: Path, value: object) -> Path:
    file = tmp_path / "footprint.json"
    file.write_text(json.dumps(value))
    return file


def test_the_example_is_a_footprint() -> None:
    assert contract.read(EXAMPLE) == FOOTPRINT


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (["syscalls"], {}, "syscalls"),
        (["syscalls", 3], 7, r"syscalls\[3\]"),
        (["syscalls", 3, "calls"], "many", r"syscalls\[3\].calls"),
        (["objects", 0, "operations"], [1], r"objects\[0\].operations"),
        (["config", 0, "reasons"], [1], r"config\[0\].reasons"),
        (["workload"], None, "workload"),
        (["workload", "argv"], [1], "workload.argv"),
        (["evidence", "losses"], [{"kind": {}}], "evidence.losses"),
        (["evidence", "valid"], "yes", "evidence.valid"),
        (["processes", 1, "parent"], 99, r"processes\[1\].parent"),
        (["capture", "replicates"], 0, "capture.replicates"),
        (["use_case"], 3, "use_case"),
    ],
)
def test_the_wrong_place_is_named(
    tmp_path: Path, path: list[Any], value: object, where: str
) -> None:
    broken = copy.deepcopy(FOOTPRINT)
    part: Any = broken
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    with pytest.raises(InputError, match=f"footprint.json: {where}: is not a footprint"):
        contract.read(written(tmp_path, broken))


@pytest.mark.parametrize("key", sorted(FOOTPRINT))
def test_a_missing_part_is_named(tmp_path: Path, key: str) -> None:
    broken = {name: value for name, value in FOOTPRINT.items() if name != key}
    if key in ("changes", "use_case"):
        broken[key] = 7
    with pytest.raises(InputError):
        contract.read(written(tmp_path, broken))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(value: Any) -> list[list[Any]]:
    """Paths to every value inside ``value``."""
    found: list[list[Any]] = []
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        found.append([key])
        found += [[key, *rest] for rest in places(inner)]
    return found


PLACES = places(FOOTPRINT)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=1, max_size=3))
def test_any_damage_is_refused_or_reported(
    tmp_path: Path, damage: list[tuple[list[Any], object]]
) -> None:
    broken = copy.deepcopy(FOOTPRINT)
    for path, value in damage:
        part: Any = broken
        try:
            for step in path[:-1]:
                part = part[step]
            part[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue
    try:
        footprint = contract.read(written(tmp_path, broken))
    except InputError:
        return
    for one in (footprint, merge([footprint, FOOTPRINT])):
        assert render(one)
        assert markdown(one)
        assert rst(one)


@pytest.mark.parametrize("words", [["show"], ["show", "--markdown"], ["report"]])
def test_the_command_line_says_it_and_exits_with_2(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, {"schema": 1, "syscalls": 4})
    extra = ["-o", str(tmp_path / "out.html")] if words[0] == "report" else []
    assert cli.main([words[0], str(file), *words[1:], *extra]) == 2
    assert "is not a footprint" in capsys.readouterr().err
    assert not (tmp_path / "out.html").exists()


def test_show_and_report_exit_with_3_when_the_evidence_is_not_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "out.html"
    assert cli.main(["show", str(EXAMPLE)]) == 3
    assert "NOT VALID EVIDENCE" in capsys.readouterr().out
    assert cli.main(["report", str(EXAMPLE), "-o", str(page)]) == 3
    assert "NOT VALID EVIDENCE" in page.read_text()
    good = copy.deepcopy(FOOTPRINT)
    good["evidence"].update(valid=True, losses=[])
    assert cli.main(["show", str(written(tmp_path, good)), "--csv", "areas"]) == 0
