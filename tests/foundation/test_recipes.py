"""Named presets: what they set, what the command line keeps, and what is said of both."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from epistemic_stance.foundation.errors import InputError
from epistemic_stance.foundation.recipes import RECIPES, recipe_line, with_recipe
from epistemic_stance.foundation.settings import TrainSettings

ROBUST = RECIPES["robust"]


def test_without_a_recipe_nothing_changes() -> None:
    settings = TrainSettings(epochs=7)
    assert with_recipe(settings, {"epochs"}) is settings


def test_a_recipe_sets_what_was_not_given() -> None:
    settings = with_recipe(TrainSettings(recipe="robust", seed=1), {"recipe", "seed"})
    assert settings == replace(TrainSettings(), recipe="robust", seed=1, **ROBUST)
    assert recipe_line(settings) == "robust"


def test_what_was_given_stays_also_if_it_is_the_default() -> None:
    given = TrainSettings(recipe="robust", nll_weight=0.0, epochs=9)
    settings = with_recipe(given, {"recipe", "nll_weight", "epochs"})
    assert (settings.nll_weight, settings.epochs) == (0.0, 9)
    assert settings.learning_rate == ROBUST["learning_rate"]
    assert recipe_line(settings) == "robust, but epochs 9 (recipe: 6), nll weight 0.0 (recipe: 1.0)"


def test_an_unknown_recipe_is_refused_with_the_names() -> None:
    with pytest.raises(InputError, match=r"there is no recipe 'gentle'(.|\n)*there is robust") as refused:
        with_recipe(TrainSettings(recipe="gentle"), {"recipe"})
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_of_settings_that_make_a_run_what_it_is(name: str) -> None:
    own = {field.name: type(field.default) for field in fields(TrainSettings)}
    assert {setting: type(value) for setting, value in RECIPES[name].items()}.items() <= own.items()
    assert name in next(field.metadata["help"] for field in fields(TrainSettings) if field.name == "recipe")
