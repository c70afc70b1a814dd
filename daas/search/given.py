"""What a program hands a search as objects, where the command line has only names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from daas.augment import Policy
from daas.data import ImageData
from daas.search.algorithm.estimators import Sampling
from daas.search.spaces.policy_space import PolicySpace

Callback = Callable[[dict[str, Any]], Any]
"""Is called with every epoch's line of metrics; the search stops where it returns True."""


@dataclass(frozen=True)
class Given:
    """Objects beside the options; each takes the place of the option of the same meaning.

    Attributes:
        data: Images in any form of ``daas.data.images_from``, instead of ``dataset`` and ``data_dir``.
        val: Validation images, instead of ``val_dir``.
        network: A fixed network, instead of ``model``.
        space: The policies that are searched.
        estimator: Of gamma's gradient, instead of ``aug_estimator`` and what belongs to it.
        policy: A fixed policy, instead of the option ``policy``.
        callbacks: Called with every epoch's line.
        read: All images that the options or ``data`` say, where they were read already: for the stages of one search.
    """

    data: Any = None
    val: Any = None
    network: nn.Module | None = None
    space: PolicySpace = field(default_factory=PolicySpace)
    estimator: Sampling | None = None
    policy: Policy | None = None
    callbacks: tuple[Callback, ...] = ()
    read: ImageData | None = field(default=None, repr=False)

    @property
    def names(self) -> dict[str, str]:
        """What was given, for the summary: empty where the options say everything."""
        found = {}
        if self.data is not None:
            found["data"] = type(self.data).__name__
        if self.val is not None:
            found["val"] = type(self.val).__name__
        if self.network is not None:
            found["network"] = type(self.network).__name__
        if self.estimator is not None and not self.estimator.name:
            found["estimator"] = type(self.estimator).__name__
        if self.policy is not None:
            found["policy"] = self.policy.name
        return found
