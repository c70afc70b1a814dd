"""Which candidates race: the default set, and what people name themselves."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from daas.augment import DAASPolicy, Policy, list_policies
from daas.augment.find import find_policy
from daas.augment.space import named
from daas.errors import BadInput
from daas.models import find_genotype, list_genotypes
from daas.options import name_values
from daas.race.candidates import GENOTYPE, NONE, Candidate, Network, network
from daas.race.naming import told_apart
from daas.race.ranges import drawn
from daas.race.result import Race
from daas.race.sizes import folder_size, searched_size
from daas.race.training import RACED, recipe_values
from daas.race.variants import twice, without
from daas.train.fit import Recipe as Training

DEFAULT, ALL, STRENGTH = "default", "all operations", "strength"
FURTHER: dict[str, dict[str, Any]] = {
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
    "erasing": {"reprob": 0.25},
    "smoothing": {"smoothing": 0.1},
}
"""What timm's recipes offer, with their usual values: raced by name, on top of the first candidate's policy."""
FAMILIES = {
    "geometric": ("geometric",),
    "tone": ("histogram", "point"),
    "colour": ("color", "sharpness"),
}
"""Families that the default set leaves out one at a time."""
_OWN = ("daas_cifar10",)  # shipped, but found by a search
_RECIPE_OF_SHELF = {"hflip", "cutout"}
Recipe = dict[str, Any]


class Screen(Protocol):
    """What a race asks of a ``daas.screen.Screen``."""

    @property
    def flip(self) -> float:
        """Probability of a horizontal flip to train with."""

    @property
    def swaps(self) -> tuple[tuple[str, str], ...]:
        """Pairs of classes that a horizontal flip exchanges."""

    def __getitem__(self, op: str) -> Any:
        """What was seen of an operation; it has a ``verdict``."""

    def __contains__(self, op: object) -> bool:
        """Whether an operation was screened."""

    def __iter__(self) -> Iterator[Any]:
        """What was seen of each operation; its ``share`` is None where the network could read no label."""

    def policy(self) -> Policy:
        """All operations that leave the label alone."""


@dataclass(frozen=True)
class Setting:
    """What all candidates are made from.

    Attributes:
        network: For candidates that name none; None where each must.
        image_size: Side in pixels; cutout takes half of it.
        most: Candidates of the default set that the trainings pay for.
        screen: What is known of the images, or None.
        seed: Of the race, for values that are drawn from ranges.
    """

    network: Network | None
    image_size: int
    most: int
    screen: Screen | None = None
    seed: int = 0

    def flips(self) -> list[Recipe]:
        """The flip that the screen allows; both where it is unclear, or nothing was screened."""
        both: list[Recipe] = [{"hflip": 0.5}, {"hflip": 0.0}]
        if self.screen is None or "HFlip" not in self.screen or self.screen["HFlip"].verdict == "unclear":
            return both
        swaps = self.screen.swaps
        exchanged: list[Recipe] = [{"hflip": 0.5, "hflip_swap": swaps}] if swaps else []
        return [{"hflip": self.screen.flip}, *exchanged]

    def cutout(self) -> Recipe:
        """Cutout of half the side."""
        return {"cutout": self.image_size // 2}

    def cutout_allowed(self) -> bool:
        """Whether nothing speaks against cutout."""
        seen = self.screen
        return seen is None or "Cutout" not in seen or seen["Cutout"].verdict != "changes the label"


def can_say(screen: Screen) -> bool:
    """Whether the screen's network reads the images well enough for any verdict."""
    return any(one.share is not None for one in screen)


def default(setting: Setting) -> list[Candidate]:
    """The default set, the most promising first, as many as the trainings pay for.

    The screened policy (all operations, where nothing was screened), none, TrivialAugment; the first half as strong,
    with cutout, with two operations per image, without each family; all operations; RandAugment, AutoAugment and
    TrivialAugment with cutout; cutout alone; RandAugment and AutoAugment. Each with the flip that the screen allows,
    and with both where that is unclear or nothing was screened.
    """
    if setting.network is None:
        raise BadInput("the default candidates need a network: name one with network= (--model or --genotype).")
    own, cutout = _own_policies(setting), [setting.cutout()] if setting.cutout_allowed() else []
    shipped = {name: find_policy(name) for name in ("trivialaugment", "randaugment", "autoaugment_cifar10")}
    kinds: list[tuple[str, Policy | None, Recipe]] = [(*one, {}) for one in own[:1]]
    kinds += [(NONE, None, {}), ("trivialaugment", shipped["trivialaugment"], {})]
    kinds += [(*one, {}) for one in own[1:2]]
    kinds += [(*one, recipe) for one in own[:1] for recipe in cutout]
    kinds += [(*one, {}) for one in own[2:]]
    for recipe in cutout:
        kinds += [(name, shipped[name], recipe) for name in ("randaugment", "autoaugment_cifar10", "trivialaugment")]
        kinds.append((NONE, None, recipe))
    kinds += [(name, shipped[name], {}) for name in ("randaugment", "autoaugment_cifar10")]
    found = [
        Candidate(setting.network, policy, name, tuple({**recipe, **flip}.items()))
        for name, policy, recipe in kinds
        for flip in setting.flips()
    ]
    return found[: setting.most]


def _own_policies(setting: Setting) -> list[tuple[str, Policy]]:
    """Made from the operations that are left: as it is, half as strong, two per image, without each family, and all.

    A screen whose network cannot read the images knows nothing: then all are left, as where nothing was screened.
    """
    everything = Policy.of_operations()
    if setting.screen is None or not can_say(setting.screen):
        return _around(everything, ALL)
    try:
        screened = setting.screen.policy()
    except BadInput:  # no operation leaves the labels alone
        return []
    return [*_around(screened, "screened"), (ALL, everything)]


def _around(base: Policy, title: str) -> list[tuple[str, Policy]]:
    found = [(title, base), (f"{title}, half as strong", base.scaled(0.5)), (f"{title}, two per image", twice(base))]
    for called, members in FAMILIES.items():
        rest = without(base, [name for name in base.operation_share() if named(name).family in members], called)
        found += [] if rest is None else [(f"{title}, not {called}", rest)]
    return found


def candidates(given: Iterable[Any] | None, setting: Setting) -> list[Candidate]:
    """All that race, without repetitions.

    Args:
        given: None for the default set; or ``Candidate``, ``"default"``, names of ``FURTHER``, texts
            (``POLICY,NAME=VALUE,...``), policies, results of searches and of races (the winner, as it was trained),
            None (no policy), and tuples (network, policy)
            or (network, policy, recipe). A value of a recipe may be a range, ``"0.03..0.3"`` (``ranges.drawn``), and
            ``strength`` scales the policy.
        setting: What they are made from.

    Raises:
        BadInput: Something else, or fewer than two.
    """
    wanted = [DEFAULT] if given is None else [given] if isinstance(given, str) else list(given)
    found: list[Candidate] = []
    for one in wanted:
        found += default(setting) if isinstance(one, str) and one == DEFAULT else _read(one, setting)
    several = len({(candidate.network.name, candidate.network.genotype) for candidate in found}) > 1
    different: list[Candidate] = []
    for candidate in told_apart(found):
        candidate = replace(candidate, shelf=on_shelf(candidate, several))
        if candidate not in different:
            different.append(_of_its_own_name(candidate, {other.name for other in different}))
    if len(different) < 2:
        raise BadInput(
            f"a race needs at least 2 candidates; found {len(different)}. Name more with --candidates, for example "
            f"{DEFAULT}."
        )
    return different


def _of_its_own_name(candidate: Candidate, taken: set[str]) -> Candidate:
    other, number = candidate, 2
    while other.name in taken:
        other = replace(candidate, policy_name=f"{candidate.policy_name} ({number})")
        number += 1
    return other


def on_shelf(candidate: Candidate, several: bool = False) -> bool:
    """Whether it can be had without a search; where several networks race, cells must be published ones."""
    name = candidate.policy_name
    published = candidate.policy is None or (name in list_policies() and name not in _OWN)
    cells = candidate.network.genotype
    known = cells is None or not several or (cells.name in list_genotypes() and find_genotype(cells.name) == cells)
    return published and known and set(candidate.values) <= _RECIPE_OF_SHELF


def _read(one: Any, setting: Setting) -> list[Candidate]:
    """What one entry of a list names, once for every flip where it names none."""
    if isinstance(one, Candidate):
        return [one]
    if isinstance(one, str) and one in FURTHER:
        first = default(setting)[0]
        return _flips(first.network, first.policy, first.policy_name, FURTHER[one], setting)
    if isinstance(one, str):
        return _from_text(one, setting)
    if isinstance(one, tuple) and len(one) in (2, 3):
        return _with_values(network(one[0]), one[1], one[2] if len(one) == 3 else {}, str(one[1]), setting)
    if isinstance(one, Race):
        return [_winner(one)]
    if hasattr(one, "genotype") and hasattr(one, "policy"):
        return _from_search(one, setting)
    if one is None or isinstance(one, (Policy, Path, DAASPolicy)):
        return _flips(_network(setting), *_policy(one), {}, setting)
    raise BadInput(
        f"a candidate is {one!r}; it is the result of a search, (network, policy), (network, policy, recipe), the name "
        f"or file of a policy, None for none, {DEFAULT}, or one of {', '.join(FURTHER)}."
    )


def _winner(race: Race) -> Candidate:
    """The winner of another race, with its network, its flip, and what its trainings did otherwise than usual."""
    usual, recipe = Training(), race.recipe
    values = {name: getattr(recipe, name) for name in RACED if getattr(recipe, name) != getattr(usual, name)}
    values |= {**race.chosen.values, "hflip": race.hflip}
    return replace(race.chosen, network=replace(race.chosen.network, apart=""), recipe=tuple(values.items()))


def _from_search(found: Any, setting: Setting) -> list[Candidate]:
    """A result as it is and half as strong."""
    size = searched_size(getattr(found, "summary", {}))
    net = _network(setting) if found.genotype is None else network(found.genotype, size)
    as_it_is = _flips(net, found.policy, "found" if found.policy else NONE, {}, setting)
    if found.policy is None:
        return as_it_is
    return as_it_is + _flips(net, found.policy.scaled(0.5), "found, half as strong", {}, setting)


def _from_text(text: str, setting: Setting) -> list[Candidate]:
    """``POLICY,NAME=VALUE,...``; ``network=NAME`` names the network; the folder of a search names both."""
    name, *pairs = text.split(",")
    values = name_values(pairs, f"candidate {text}:")
    if os.path.isfile(Path(name) / GENOTYPE) and "network" not in values:
        values["network"] = name
    named = values.pop("network", None)
    if named is None:
        net = _network(setting)
    else:
        in_folder = isinstance(named, str) and os.path.isfile(Path(named) / GENOTYPE)
        net = network(named, folder_size(Path(named)) if in_folder else {})
    return _with_values(net, name, values, text, setting)


def _with_values(net: Network, policy: Any, values: Mapping[str, Any], where: str, setting: Setting) -> list[Candidate]:
    """A network and a policy with the values of a recipe: a candidate for every draw from their ranges."""
    found, (base, name) = [], _policy(policy)
    for one in drawn(values, where, setting.seed):
        strength = one.pop(STRENGTH, None)
        recipe = recipe_values(one, where)
        if strength is None:
            found += _flips(net, base, name, recipe, setting)
            continue
        if base is None or isinstance(strength, bool) or not isinstance(strength, (int, float)):
            raise BadInput(f"candidate {where}: {STRENGTH} is {strength}; it is a number, and needs a policy to scale.")
        found += _flips(net, base.scaled(float(strength)), f"{name}, strength {strength:g}", recipe, setting)
    return found


def _network(setting: Setting) -> Network:
    if setting.network is None:
        raise BadInput("a candidate names no network: give one with network= (--model or --genotype).")
    return setting.network


def _policy(given: Any) -> tuple[Policy | None, str]:
    """A policy and what it is called; only what is shipped bears a shipped name."""
    if given is None or given == NONE:
        return None, NONE
    policy = getattr(given, "policy", given)  # a DAASPolicy has one
    if isinstance(policy, Policy):
        name = policy.name or "yours"
    elif str(given) in list_policies():
        return find_policy(str(given)), str(given)
    else:
        policy, name = find_policy(str(given)), Path(str(given)).stem
    taken = name == NONE or (name in list_policies() and find_policy(name) != policy)
    return policy, f"{name} (yours)" if taken else name


def _flips(
    net: Network, policy: Policy | None, name: str, recipe: Mapping[str, Any], setting: Setting
) -> list[Candidate]:
    flips: Sequence[Recipe] = [{}] if "hflip" in recipe else setting.flips()
    return [Candidate(net, policy, name, tuple({**recipe, **flip}.items())) for flip in flips]
