"""Estimators of the policies' gradient, one class each: ``daas.estimators``."""

from __future__ import annotations

from typing import Literal

from daas.search.algorithm.estimators.base import Credit, Estimator, Sampling, log_probabilities
from daas.search.algorithm.estimators.per_image import PerImage, RewardRule
from daas.search.algorithm.estimators.policy_gradient import PolicyGradient, PolicyPasses
from daas.search.algorithm.estimators.straight_through import StraightThrough
from daas.search.algorithm.estimators.uniform import Uniform
from daas.search.algorithm.estimators.warm_up import WARM_UP, WarmUp

__all__ = [
    "NAMED",
    "WARM_UP",
    "AugEstimator",
    "Credit",
    "Estimator",
    "PerImage",
    "PolicyGradient",
    "PolicyPasses",
    "RewardRule",
    "Sampling",
    "StraightThrough",
    "Uniform",
    "WarmUp",
    "log_probabilities",
]

NAMED: dict[str, type[Sampling]] = {kind.name: kind for kind in (PerImage, PolicyGradient, StraightThrough, Uniform)}
"""Those that the command line knows."""
AugEstimator = Literal["per-image", "policy-gradient", "straight-through", "uniform"]
"""Their names."""
