"""Which atlas serves a release."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfoot.atlas.open import Found, choose, open_atlas, user_folder, version
from kfoot.errors import InputError


def found(*releases: str, shipped: bool = True) -> list[Found]:
    return [Found(Path(f"{release}.atlas"), release, shipped) for release in releases]


@pytest.mark.parametrize(
    ("release", "chosen"),
    [
        ("6.1.0-26-amd64", "6.1.192"),
        ("6.1.55", "6.1.192"),
        ("6.12.117", "6.12.117"),
        ("6.18.3-cloud", "6.12.117"),
        ("5.19.0", "6.1.192"),
        ("6.7.1", "6.12.117"),
        ("6.6.1", "6.1.192"),
        ("4.19.0", "5.10.3"),
        ("7.0.1", "6.12.117"),
    ],
)
def test_the_nearest_release_wins(release: str, chosen: str) -> None:
    choice = choose(release, found("5.10.3", "6.1.192", "6.12.117"))
    assert choice.found.release == chosen
    assert (choice.note is None) == (release == chosen)


def test_a_users_own_atlas_of_the_same_release_wins() -> None:
    both = found("6.1.192") + found("6.1.192", shipped=False)
    assert not choose("6.1.192", both).found.shipped


def test_without_a_release_the_newest_shipped_one_is_taken_and_said() -> None:
    choice = choose(None, found("6.1.1", "6.12.1") + found("6.18.0", shipped=False))
    assert choice.found.release == "6.12.1"
    assert choice.note
    assert "no kernel release" in choice.note


def test_release_words() -> None:
    assert version("6.1.0-26-amd64") == (6, 1, 0)
    assert version("6.12") == (6, 12, 0)
    assert version("raspberry") is None


def test_the_users_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert user_folder() == tmp_path / "kfoot" / "atlas"


def test_a_file_that_is_no_atlas_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.atlas"
    path.write_text("nothing of the kind")
    with pytest.raises(InputError, match="expected an atlas file"):
        open_atlas(path=path)
