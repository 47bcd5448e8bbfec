"""The search for better recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.train import INCIDENT, ROUNDS, Recipe
from ml.tune import SEARCH, SHIPPED, search_here

Tried = list[Recipe]


def search(store: Path, trials: int, *, tried: Tried, breaks_at: int | None = None) -> None:
    def worth_of(recipe: Recipe) -> float:
        if breaks_at == len(tried):
            raise KeyboardInterrupt
        tried.append(recipe)
        return float(recipe.parameters["eta"])

    search_here(worth_of, trials, store, seed=0)


def eta(recipe: Recipe) -> float:
    return float(recipe.parameters["eta"])


def test_the_recipe_that_ships_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tried: Tried = []
    search(tmp_path / "new/journal", 3, tried=tried)
    assert (dict(tried[0].parameters), tried[0].rounds) == (dict(INCIDENT), ROUNDS)
    assert len(tried) == 3
    assert "best of 3:" in capsys.readouterr().out


def test_trials_of_earlier_runs_count_and_are_not_drawn_again(tmp_path: Path) -> None:
    first: Tried = []
    second: Tried = []
    search(tmp_path / "journal", 4, tried=first)
    search(tmp_path / "journal", 7, tried=second)
    search(tmp_path / "journal", 7, tried=second)
    assert len(second) == 3
    assert not {eta(recipe) for recipe in first} & {eta(recipe) for recipe in second}


def test_a_trial_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    tried: Tried = []
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "journal", 2, tried=tried, breaks_at=0)
    search(tmp_path / "journal", 2, tried=tried)
    assert len(tried) == 2
    assert eta(tried[0]) == INCIDENT["eta"]


def test_every_recipe_lies_within_the_bounds(tmp_path: Path) -> None:
    tried: Tried = []
    search(tmp_path / "journal", 12, tried=tried)
    for recipe in tried:
        for name, (low, high, _, is_whole) in SEARCH.items():
            value = recipe.rounds if name == "rounds" else recipe.parameters[name]
            assert low <= value <= high
            assert not is_whole or isinstance(value, int)


def test_the_recipe_that_ships_can_be_searched() -> None:
    assert set(SHIPPED) == set(SEARCH)
    assert all(low <= SHIPPED[name] <= high for name, (low, high, _, _) in SEARCH.items())
