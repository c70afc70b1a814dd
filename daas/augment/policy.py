"""Policy: weighted sub-policies in physical units; JSON both ways."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from daas.augment.files import (
    POLICY_FORMAT,
    SCHEDULE_FORMAT,
    check_keys,
    check_texts,
    load,
    shown,
    write_json,
)
from daas.augment.space import NUM_MAGNITUDES, OPERATION_NAMES, OPERATIONS, magnitude_table, operations
from daas.augment.sub_policy import (
    MAX_SUB_POLICIES,
    PolicyOp,
    SubPolicy,
    check_sub_policy,
    sub_policy_from,
)
from daas.augment.uniform import uniform
from daas.errors import BadInput
from daas.ranges import is_number, plain

__all__ = ["Policy", "PolicyOp", "SubPolicy"]

_KEYS = ("format", "name", "source", "fill", "sub_policies")


@dataclass(frozen=True)
class Policy:
    """A distribution over sub-policies.

    Attributes:
        name: What it is called.
        source: Where it comes from.
        sub_policies: One of them is drawn by weight, per image or per batch.
        fill: RGB in 0..255 for pixels that geometric operations bring in.

    Raises:
        BadInput: A value that cannot be, with the sub-policy, the slot, and what is allowed.
    """

    name: str
    source: str
    sub_policies: tuple[SubPolicy, ...]
    fill: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        check_texts("policy", self.name, self.source)
        object.__setattr__(self, "sub_policies", tuple(self.sub_policies))
        object.__setattr__(self, "fill", tuple(map(plain, self.fill)))
        if len(self.fill) != 3 or any(type(v) is not int or not 0 <= v <= 255 for v in self.fill):
            raise BadInput(
                f"policy: fill is {shown(self.fill[:4])}; it must be three whole numbers from 0 to 255 (RGB)."
            )
        if not self.sub_policies:
            raise BadInput("policy: there are no sub-policies; a policy needs at least one.")
        _check_count(len(self.sub_policies))
        for index, sub in enumerate(self.sub_policies):
            check_sub_policy(index, sub)
        total = sum(sub.weight for sub in self.sub_policies)
        if not is_number(total):
            raise BadInput(f"policy: the weights sum to {total}; they are relative: divide them all by the largest.")
        if not total > 0:
            raise BadInput("policy: all weights are 0; at least one sub-policy needs a positive weight.")

    @property
    def slots(self) -> int:
        """K, the most operations that a sub-policy has."""
        return max(len(sub.ops) for sub in self.sub_policies)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, with ``format``."""
        return {
            "format": POLICY_FORMAT,
            "name": self.name,
            "source": self.source,
            "fill": list(self.fill),
            "sub_policies": [
                {"weight": sub.weight, "ops": [{"op": o.op, "prob": o.prob, "value": o.value} for o in sub.ops]}
                for sub in self.sub_policies
            ],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Policy:
        """The inverse of ``to_dict``.

        Raises:
            BadInput: Another format, missing or unknown keys, or values out of range.
        """
        if not isinstance(values, Mapping):
            raise BadInput(f"a policy is a JSON object with the keys {', '.join(_KEYS)}; found {shown(values)}.")
        if values.get("format") == SCHEDULE_FORMAT:
            raise BadInput(
                "this is a schedule, a policy for every epoch: PolicySchedule.load(path).at(epoch) gives one of its "
                "policies, and daas augment convert FILE --epoch N OUT writes it to a policy file."
            )
        if values.get("format") != POLICY_FORMAT:
            raise BadInput(
                f"policy: format is {shown(values.get('format'))}; this version reads {POLICY_FORMAT!r}. Write the "
                "file with Policy.save, or add the format if you wrote it by hand."
            )
        check_keys("policy", values, _KEYS, optional=("fill",))
        if not isinstance(values["sub_policies"], (list, tuple)):
            raise BadInput("policy: sub_policies must be a list.")
        _check_count(len(values["sub_policies"]))
        fill = values.get("fill", (0, 0, 0))
        if not isinstance(fill, (list, tuple)):
            raise BadInput(f"policy: fill is {shown(fill)}; it is a list of three numbers from 0 to 255.")
        subs = tuple(sub_policy_from(index, sub) for index, sub in enumerate(values["sub_policies"]))
        return cls(values["name"], values["source"], subs, tuple(fill))

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Reads a policy file.

        Raises:
            BadInput: No such file, no JSON, or no policy; the message names the file.
        """
        return load(path, cls.from_dict)

    def save(self, path: str | Path) -> None:
        """Writes the policy file, one sub-policy per line."""
        write_json(path, self.to_dict())

    @classmethod
    def random(cls, generator: torch.Generator, name: str = "random") -> Policy:
        """A random policy of the search space, as a search could have found it.

        Every ordered pair of the 15 operations, with random weights (Dirichlet), application probabilities (uniform)
        and magnitudes (one of the ten).
        """
        table = magnitude_table()
        count = len(OPERATIONS) ** 2
        weights = -torch.rand(count, generator=generator, dtype=torch.float64, device="cpu").clamp_min(1e-12).log()
        weights = weights / weights.sum()
        probabilities = torch.rand(count, 2, generator=generator, dtype=torch.float64, device="cpu")
        levels = torch.randint(table.shape[1], (count, 2), generator=generator, device="cpu")
        subs = []
        for index, pair in enumerate(itertools.product(range(len(OPERATIONS)), repeat=2)):
            ops = tuple(
                PolicyOp(
                    OPERATIONS[op].name,
                    float(probabilities[index, slot]),
                    float(table[op, levels[index, slot]]) if OPERATIONS[op].has_magnitude else None,
                )
                for slot, op in enumerate(pair)
            )
            subs.append(SubPolicy(float(weights[index]), ops))
        return cls(name, "uniformly random in the search space", tuple(subs))

    @classmethod
    def of_operations(
        cls,
        names: Sequence[str] | None = None,
        slots: int = 1,
        limits: Mapping[str, float] | None = None,
        levels: int = NUM_MAGNITUDES,
    ) -> Policy:
        """All these operations, equally likely, some per image, at magnitudes up to full strength.

        Every ordered choice of operations occurs equally often, and in every slot all levels of an operation are
        equally likely. With two slots and more every choice of operations pairs their levels at another offset instead
        of having all pairs, so that there are O^slots ``levels`` sub-policies and not (O ``levels``)^slots.

        Args:
            names: O operations; the search space's by default.
            slots: Operations per image.
            limits: By name, a magnitude: none further from the operation's identity is used. Solarize up to 128 has
                thresholds from 256 to 128, a factor of 1.5 goes from 0.5 to 1.5.
            levels: Number of evenly spaced magnitudes.

        Raises:
            BadInput: Unknown names, limits of others or out of range, or more sub-policies than there may be.

        Example:
            >>> policy = Policy.of_operations(["Rotate", "HFlip"], limits={"Rotate": 15.0})
            >>> max(op.value for sub in policy.sub_policies for op in sub.ops if op.op == "Rotate")
            15.0
        """
        rows = operations(names)
        subs = uniform(rows, slots, limits or {}, levels)
        limited = "".join(f", {name} up to {value:g}" for name, value in (limits or {}).items())
        text = f"uniform over {len(rows)} operations, {slots} per image, {levels} magnitudes{limited}"
        return cls(f"uniform_{len(rows)}x{slots}", text, subs)

    def scaled(self, strength: float) -> Policy:
        """The policy at another strength: probabilities and magnitudes times it, magnitudes from their identity on.

        1 is the policy itself and 0 does nothing: shear, translate, rotate and Cutout go to 0, factors to 1, Solarize
        to 256, Posterize to 8 bits (whole ones, to the nearest); operations without a magnitude have only their
        probability. Above 1 it goes beyond the policy, up to probability 1 and each operation's largest magnitude.

        Raises:
            BadInput: Not a number that is at least 0.

        Example:
            >>> policy = Policy("one", "by hand", (SubPolicy(1.0, (PolicyOp("Contrast", 0.8, 1.5),)),))
            >>> policy.scaled(0.5).sub_policies[0].ops[0]
            PolicyOp(op='Contrast', prob=0.4, value=1.25)
        """
        if not is_number(strength) or strength < 0:
            raise BadInput(f"strength is {shown(strength)}; it is a number that is at least 0, and 1 changes nothing.")
        if strength == 1:
            return self
        subs = tuple(SubPolicy(sub.weight, tuple(op.scaled(strength) for op in sub.ops)) for sub in self.sub_policies)
        return replace(
            self,
            name=f"{self.name[:180]}_x{strength:g}",
            source=f"{self.source[:3900]}; at strength {strength:g}",
            sub_policies=subs,
        )

    def operation_share(self) -> dict[str, float]:
        """Expected number of times that each operation is applied to an image: the search space's, and what it has."""
        total = sum(sub.weight for sub in self.sub_policies)
        share = dict.fromkeys(OPERATION_NAMES, 0.0)
        for sub in self.sub_policies:
            for op in sub.ops:
                share[op.op] = share.get(op.op, 0.0) + sub.weight / total * op.prob
        return share


def _check_count(count: int) -> None:
    if count > MAX_SUB_POLICIES:
        raise BadInput(f"policy: there are {count:,} sub-policies; at most {MAX_SUB_POLICIES:,}.")
