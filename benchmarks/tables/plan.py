"""What each table compares: which searches, which trainings, for one seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.tables.scale import Scale

ESTIMATORS = {"DADA-style": "straight-through", "eq. 9": "policy-gradient", "per-image": "per-image"}
"""Names of the columns of Tables 5 and 6, and ``--aug-estimator``."""

SHARED = "eq. 9, shared"
"""A row of Table 5: eq. 9 with one p and delta per slot and operation instead of one per policy."""
FIXED = ("randaugment", "trivialaugment_32px", "autoaugment_cifar10")
"""Shipped policies that Table 5 compares with."""

NO_AUGMENTATION = ("--hflip", "0", "--crop-padding", "0")
CUTOUT = ("--cutout", "8")


@dataclass(frozen=True)
class Search:
    """A search whose result trainings use.

    Attributes:
        name: Of its folder, one per seed.
        options: Beyond the scale's.
        network: For ``--mode aug``: the network that the policy is for, as in ``Training.network``.
    """

    name: str
    options: tuple[str, ...]
    network: str = ""


@dataclass(frozen=True)
class Training:
    """A network trained from scratch on all training photographs.

    Attributes:
        row: What the table calls it.
        network: ``search:NAME`` (its genotype), ``random`` (from the same space) or a key of ``Scale.models``.
        policy: Empty for none, ``search:NAME``, ``random`` (from the same space) or a shipped policy.
        options: Further options of the training.
        seed_of: Seed of the search that ``search:`` means, where it is not the training's own: network, policy.
    """

    row: str
    network: str
    policy: str = ""
    options: tuple[str, ...] = ()
    seed_of: tuple[int, int] | None = None


JOINT = Search("joint", ("--mode", "joint"))
ARCH = Search("arch", ("--mode", "arch"))


def policy_search(network: str, estimator: str, label: str) -> Search:
    """A policy for a fixed network."""
    return Search(f"aug-{label}-{estimator}", ("--mode", "aug", "--aug-estimator", estimator), network)


def shared_search(network: str, label: str) -> Search:
    """The same by eq. 9 with shared p and delta."""
    found = policy_search(network, "policy-gradient", label)
    return Search(f"{found.name}-shared", (*found.options, "--policy-parameters", "shared"), network)


def searches(scale: Scale) -> dict[str, Search]:
    """All searches by name."""
    found = [JOINT, ARCH]
    found += [policy_search("search:arch", estimator, "arch") for estimator in ESTIMATORS.values()]
    for number, network in enumerate(scale.models):
        found += [policy_search(network, estimator, f"model{number}") for estimator in ESTIMATORS.values()]
        found.append(shared_search(network, f"model{number}"))
    return {search.name: search for search in found}


def table4(scale: Scale) -> list[Training]:
    """Found networks under the default augmentation of architecture search, and under the found policy."""
    return [
        Training("crop, flip, cutout", "search:joint", "", CUTOUT),
        Training("crop, flip, found policy", "search:joint", "search:joint"),
    ]


def table5(scale: Scale) -> list[Training]:
    """Policies for fixed networks: none, published ones, random ones, found ones."""
    rows = []
    for number, network in enumerate(scale.models):
        rows += [
            Training(f"{network}: nothing", network, "", NO_AUGMENTATION),
            Training(f"{network}: crop, flip", network),
            Training(f"{network}: crop, flip, cutout", network, "", CUTOUT),
            *(Training(f"{network}: {name}", network, name) for name in FIXED),
            Training(f"{network}: random policy", network, "random"),
        ]
        for label, estimator in ESTIMATORS.items():
            rows.append(Training(f"{network}: {label}", network, f"search:aug-model{number}-{estimator}"))
        rows.append(Training(f"{network}: {SHARED}", network, f"search:aug-model{number}-policy-gradient-shared"))
    return rows


def table6(scale: Scale) -> list[Training]:
    """Joint against independent search, and against a random pair of the same spaces."""
    return [
        Training("joint", "search:joint", "search:joint"),
        *(
            Training(f"architecture, then policy ({label})", "search:arch", f"search:aug-arch-{estimator}")
            for label, estimator in ESTIMATORS.items()
        ),
        Training("random network, random policy", "random", "random"),
    ]


def table7(scale: Scale) -> list[Training]:
    """Networks and policies of three joint searches, mixed; the training's seed is the same for all."""
    return [
        Training(f"network {a}, policy {b}", "search:joint", "search:joint", seed_of=(a, b))
        for a in range(3)
        for b in range(3)
    ]


def regime(scale: Scale) -> list[Training]:
    """Whether the scale is a regime in which augmentation pays, and whether the found pair beats a random one."""
    return [
        Training("found network: nothing", "search:joint", "", NO_AUGMENTATION),
        Training("found network: crop, flip", "search:joint"),
        Training("found network: found policy", "search:joint", "search:joint"),
        Training("found network: random policy", "search:joint", "random"),
        Training("random network: crop, flip", "random"),
        Training("random network: found policy", "random", "search:joint"),
        Training("random network: random policy", "random", "random"),
    ]


TABLES: dict[str, Callable[[Scale], list[Training]]] = {
    "4": table4, "5": table5, "6": table6, "7": table7, "regime": regime,
}  # fmt: skip
"""The paper's tables by number, and ``regime``, which it does not have."""


def needed(training: Training, scale: Scale) -> list[Search]:
    """Searches that a training needs, in the order in which they must run."""
    known, found = searches(scale), []
    for wanted in (training.network, training.policy):
        if wanted.startswith("search:"):
            search = known[wanted.removeprefix("search:")]
            if search.network.startswith("search:"):
                found.append(known[search.network.removeprefix("search:")])
            found.append(search)
    return list(dict.fromkeys(found))
