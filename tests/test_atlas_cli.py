"""kfoot atlas: build, list, show, diff."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kfoot.cli import main
from test_atlas_build import MAKEFILES


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "linux"
    for name, text in MAKEFILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "kfoot" / "atlas"


def test_an_atlas_of_ones_own_is_built_listed_and_chosen(
    source: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["atlas", "build", str(source), "-j", "0", "--json"]) == 0
    built = json.loads(capsys.readouterr().out)
    assert built["file"] == str(home / "linux-6.1.5-rc2.atlas")
    assert built["rows"]["files"] == 13

    assert main(["atlas", "list", "--release", "6.1.5", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    chosen = [row for row in listed["atlases"] if row["chosen"]]
    assert [row["whose"] for row in chosen] == ["own"]
    assert "same release" in listed["why"]

    assert main(["atlas", "show", "6.1.5", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["release"] == "6.1.5-rc2"
    assert shown["source_sha256"] == built["source_sha256"]
    assert any("missing_syscalls" in note for note in shown["notes"])

    assert main(["atlas", "list"]) == 0
    assert main(["atlas", "show", built["file"]]) == 0
    text = capsys.readouterr().out
    assert "6.1.5-rc2" in text
    assert "13 rows" in text


def test_building_twice_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert main(["atlas", "build", str(source), "-j", "2", "-o", str(tmp_path / name)]) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_differs_between_two(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = str(tmp_path / "1"), str(tmp_path / "2")
    assert main(["atlas", "build", str(source), "-j", "0", "-o", one]) == 0
    (source / "drivers/spi/a.c").unlink()
    (source / "drivers/spi/Kconfig").write_text('config SPI\n\tbool "SPI"\n')
    assert main(["atlas", "build", str(source), "-j", "0", "-o", two]) == 0
    capsys.readouterr()
    assert main(["atlas", "diff", one, one]) == 0
    assert "no table differs" in capsys.readouterr().out
    assert main(["atlas", "diff", one, two, "--json"]) == 1
    tables = {table["table"]: table for table in json.loads(capsys.readouterr().out)["tables"]}
    assert tables["files"]["removed"] == [["drivers/spi/a.c"]]
    assert tables["kconfig"]["removed"] == [["CONFIG_SPI_BIG"], ["CONFIG_SPI_DEV"]]
    changed = {key[0]: values for key, values in tables["kconfig"]["changed"]}
    assert changed["CONFIG_SPI"]["prompt"] == ["SPI support", "SPI"]
    assert main(["atlas", "diff", one, two]) == 1
    assert "- drivers/spi/a.c" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["build", "/no/such/tree"], "no such file or folder"),
        (["build", "/etc/hostname"], "cannot be unpacked"),
        (["show", "nonsense"], "neither a file nor a kernel release"),
        (["show", "/etc/hostname"], "expected an atlas file"),
    ],
)
def test_bad_words_are_named(
    words: list[str], says: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["atlas", *words]) == 2
    assert says in capsys.readouterr().err
    assert not home.exists()
