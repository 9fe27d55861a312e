"""Named presets of a training: what `--recipe NAME` sets where the command line says nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.foundation.wording import shorten

ROBUST = "robust"
RECIPES: Mapping[str, Mapping[str, Any]] = {
    ROBUST: {
        "epochs": 6,
        "checkpoint_every": 1,
        "learning_rate": 1e-5,
        "lr_schedule": "constant",
        "nll_weight": 1.0,
        "anchor_weight": 1.0,
        "gradient_accumulation": 5,
        "warmup_steps": 3,
    },
}
"""Name -> fields of TrainSettings. `robust` moved Qwen2.5-Coder-0.5B-Instruct furthest for what it broke, in
thirty steps; docs/recipes.md has what else was tried."""


def with_recipe(settings: TrainSettings, given: Collection[str]) -> TrainSettings:
    """The settings with those of their recipe in place of defaults; fields that were `given` stay.

    Raises InputError for a recipe that there is not.
    """
    if not settings.recipe:
        return settings
    recipe = RECIPES.get(settings.recipe)
    if recipe is None:
        what = f"there is no recipe {shorten(settings.recipe)!r}"
        raise InputError([Problem("--recipe", what, hint=f"there is {', '.join(RECIPES)}")])
    return replace(settings, **{name: value for name, value in recipe.items() if name not in given})


def recipe_line(settings: TrainSettings) -> str:
    """The recipe and what was set otherwise beside it, for the header of a run."""
    changed = [
        f"{name.replace('_', ' ')} {getattr(settings, name)} (recipe: {value})"
        for name, value in RECIPES[settings.recipe].items()
        if getattr(settings, name) != value
    ]
    return f"{settings.recipe}{', but ' if changed else ''}{', '.join(changed)}"
