from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from daas.augment import DAASPolicy, Policy
from daas.augment.find import find_policy
from daas.errors import BadInput
from daas.models import find_genotype
from daas.race.candidates import Candidate, Network, network
from daas.race.result import Race, Setup
from daas.race.rules import Rules
from daas.race.sets import ALL, FURTHER, Setting, candidates, default
from daas.race.statistics import Score
from daas.race.variants import twice, without
from daas.train.fit import Recipe

NET = Network("resnet18", "resnet18")


@dataclass
class Screened:
    """What a race asks of a screen."""

    flip: float = 0.5
    swaps: tuple[tuple[str, str], ...] = ()
    verdicts: dict[str, str] = field(default_factory=lambda: {"HFlip": "harmless", "Cutout": "harmless"})
    share: float | None = 0.0

    def __getitem__(self, op: str) -> SimpleNamespace:
        return SimpleNamespace(verdict=self.verdicts[op], share=self.share)

    def __iter__(self) -> Iterator[SimpleNamespace]:
        return (self[op] for op in self.verdicts)

    def __contains__(self, op: str) -> bool:
        return op in self.verdicts

    def policy(self) -> Policy:
        return Policy.of_operations(["Rotate", "Equalize", "Color", "Brightness"])


def setting(screen: Screened | None = None, most: int = 100) -> Setting:
    return Setting(NET, 32, most, screen)  # type: ignore[arg-type]


def words(found: list[Candidate]) -> list[str]:
    return [candidate.policy_words for candidate in found]


def test_default_set_without_a_screen_has_every_candidate_with_and_without_the_flip():
    found = candidates(None, setting())
    flips, others = words(found)[::2], words(found)[1::2]
    assert [text.replace("no flip", "flip") for text in others] == flips
    assert flips == [
        "all operations, flip", "none, flip", "trivialaugment, flip", "all operations, half as strong, flip",
        "all operations, cutout 16, flip", "all operations, two per image, flip", "all operations, not geometric, flip",
        "all operations, not tone, flip", "all operations, not colour, flip", "randaugment, cutout 16, flip",
        "autoaugment_cifar10, cutout 16, flip", "trivialaugment, cutout 16, flip", "none, cutout 16, flip",
        "randaugment, flip", "autoaugment_cifar10, flip",
    ]  # fmt: skip


def test_the_shelf_is_what_everybody_has():
    shelf = words([one for one in candidates(None, setting()) if one.shelf])
    assert "none, flip" in shelf
    assert "autoaugment_cifar10, cutout 16, no flip" in shelf
    assert not any(text.startswith("all operations") for text in shelf)
    own = candidates(["daas_cifar10", None], setting(Screened()))
    assert [one.shelf for one in own] == [False, True]


def test_few_trainings_have_few_candidates_the_most_promising_first():
    assert words(candidates(None, setting(most=4))) == [
        "all operations, flip", "all operations, no flip", "none, flip", "none, no flip",
    ]  # fmt: skip


def test_a_screen_decides_flip_and_operations():
    found = default(setting(Screened(flip=0.0)))
    assert all(one.values["hflip"] == 0.0 for one in found)
    assert words(found)[0] == "screened, no flip"
    assert words(found)[-1].startswith("autoaugment_cifar10")
    policies = {one.policy_name: one.policy for one in found}
    share = policies["screened, not geometric"].operation_share()  # type: ignore[union-attr]
    assert share["Rotate"] == 0
    assert share["Color"] > 0
    assert ALL in policies


def test_a_screen_that_can_say_nothing_leaves_all_operations():
    """As a search after such a screen takes all."""
    blind = Screened(flip=0.0, verdicts={"HFlip": "unclear", "Cutout": "unclear"}, share=None)
    assert words(default(setting(blind))) == words(default(setting()))


def test_the_winner_of_another_race_is_a_candidate_as_it_was_trained():
    own, other = Network("resnet34", "resnet34", apart="random weights"), find_policy("autoaugment_svhn")
    won = Candidate(own, other, "screened", (("hflip", 0.0), ("cutout", 8)))
    plain = Candidate(NET, None, "none", (("hflip", 0.5),))
    recipe = Recipe(lr=0.02, epochs=7, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    results = {(0, 0): Score(90.0, 0.1, 1.0), (1, 0): Score(50.0, 1.0, 1.0)}
    race = Race([won, plain], results, [[0, 1]], Rules(4, frozenset()), [1, 1],
                Setup("x", ("a", "b"), 10, 32, (), recipe, 0), 1.0)  # fmt: skip
    found = candidates([race, None], setting(Screened()))
    assert [one.name for one in found] == [
        "resnet34: screened, cutout 8, lr 0.02, no flip", "resnet18: none, flip",
    ]  # fmt: skip
    assert (found[0].network.model, found[0].policy) == ("resnet34", other)


def test_an_unclear_flip_races_both_ways_and_an_exchange_too():
    unclear = Screened(flip=0.0, verdicts={"HFlip": "unclear", "Cutout": "harmless"})
    assert words(candidates([None], setting(unclear))) == ["none, flip", "none, no flip"]
    exchanged = Screened(flip=0.0, swaps=(("left", "right"),), verdicts={"HFlip": "changes the label"})
    assert [one.values for one in candidates([None], setting(exchanged))] == [
        {"hflip": 0.0},
        {"hflip": 0.5, "hflip_swap": (("left", "right"),)},
    ]


def test_cutout_does_not_race_where_it_changes_the_label():
    seen = Screened(verdicts={"HFlip": "harmless", "Cutout": "changes the label"})
    assert not any("cutout" in one.values for one in default(setting(seen)))


def test_what_people_name(tmp_path: Path):
    policy = find_policy("autoaugment_svhn")
    policy.save(tmp_path / "mine.json")
    found = candidates(
        [
            ("darts_v2_cifar", "autoaugment_cifar10"),
            ("darts_v2_cifar", None, {"hflip": 0, "cutout": 8}),
            "none,hflip=0.25,network=resnet34",
            str(tmp_path / "mine.json"),
            DAASPolicy(find_policy("randaugment")),
            Candidate(NET, None, "none", (("mixup", 0.5),)),
            "cutmix",
        ],
        setting(Screened()),
    )
    assert [one.name for one in found] == [
        "darts_v2_cifar: autoaugment_cifar10, flip",
        "darts_v2_cifar: none, cutout 8, no flip",
        "resnet34: none, flip 0.25",
        "resnet18: mine, flip",
        "resnet18: randaugment, flip",
        "resnet18: none, mixup 0.5, flip",
        "resnet18: screened, cutmix 1, flip",
    ]


def test_a_search_races_as_it_is_and_half_as_strong():
    found = SimpleNamespace(genotype=find_genotype("gdas_v1"), policy=find_policy("autoaugment_svhn"))
    named = candidates([found, ("darts_v2_cifar", None)], setting(Screened()))
    assert [one.policy_name for one in named] == ["found", "found, half as strong", "none"]
    assert named[0].network.genotype == found.genotype
    assert [one.shelf for one in named] == [False, False, True]


def test_the_folder_of_a_search_names_both_and_a_published_genotype_its_cells(tmp_path: Path):
    mine = replace(find_genotype("gdas_v1"), name="mine")
    mine.save(tmp_path / "genotype.json")
    find_policy("autoaugment_svhn").save(tmp_path / "policy.json")
    found = candidates(
        [f"{tmp_path},hflip=0", "none,hflip=0,network=gdas_v1", f"none,hflip=0,network={tmp_path / 'genotype.json'}"],
        setting(),
    )
    assert [one.network.genotype for one in found] == [mine, find_genotype("gdas_v1"), mine]
    assert found[0].policy == find_policy("autoaugment_svhn")
    assert [one.shelf for one in found] == [False, True, False]


def test_repetitions_race_once_and_names_differ():
    other = Policy.of_operations(["Rotate"])
    mine = Policy("none", "by hand", other.sub_policies)
    found = candidates([None, None, mine, Policy("none", "again", mine.sub_policies)], setting(Screened()))
    assert words(found) == ["none, flip", "none (yours), flip", "none (yours) (2), flip"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([None], "at least 2 candidates; found 1"),
        (["none", "nothing"], "neither shipped nor a file"),
        (["none,epochs=3"], "epochs cannot be raced"),
        (["none,cutout"], "NAME=VALUE"),
        (["none,cutout=big"], "cutout is 'big'; expected int"),
        ([("nonet", None)], "no model nonet"),
        ([3], "a candidate is 3"),
    ],
)
def test_bad_candidates_are_named(given: list[object], says: str):
    with pytest.raises(BadInput, match=says):
        candidates(given, setting(Screened()))


def test_candidates_without_a_network_say_how_to_name_one():
    for given in (None, [None, "randaugment"]):
        with pytest.raises(BadInput, match="--model"):
            candidates(given, Setting(None, 32, 10))


def test_order_among_equals():
    broad, narrow = Policy.of_operations(["Rotate", "Color"]), Policy.of_operations(["Rotate"])
    flip, still = (("hflip", 0.5),), (("hflip", 0.0),)
    ordered = [
        Candidate(NET, broad, "broad", flip),
        Candidate(NET, twice(broad), "two per image", flip),
        Candidate(NET, broad, "broad", still),
        Candidate(NET, narrow, "narrow", flip),
        Candidate(NET, narrow, "narrow", (("hflip", 0.0), ("cutout", 4))),
        Candidate(NET, None, "none", still),
    ]
    assert sorted(ordered, key=lambda one: one.breadth(10)) == [
        ordered[0], ordered[1], ordered[2], ordered[3], ordered[4], ordered[5],
    ]  # fmt: skip
    assert ordered[5].breadth(9) < ordered[0].breadth(10)  # a smaller network goes before


def test_without_and_twice():
    policy = Policy.of_operations(["Rotate", "Equalize", "Color"])
    rest = without(policy, ["Rotate"], "geometric")
    assert rest is not None
    assert {name for name, share in rest.operation_share().items() if share} == {"Equalize", "Color"}
    assert without(policy, ["Invert"], "point") is None
    assert without(policy, ["Rotate", "Equalize", "Color"], "all") is None
    double = twice(policy)
    for name, share in policy.operation_share().items():
        assert double.operation_share()[name] == pytest.approx(2 * share)
    assert {len(sub.ops) for sub in double.sub_policies} == {2}
    seen = {sub.ops[1].value for sub in double.sub_policies if sub.ops[1].op == "Rotate"}
    assert len(seen) == len({op.value for sub in policy.sub_policies for op in sub.ops if op.op == "Rotate"})


def test_networks():
    module = torch.nn.Flatten()
    assert network(module).create(3) is module
    two = candidates([(torch.nn.Flatten(), None), (torch.nn.Flatten(), None)], setting(Screened()))
    assert len({one.name for one in two}) == 2  # modules of one class are different networks
    cells = network(find_genotype("darts_v2"), {"channels": 4, "layers": 3})
    assert cells.create(3).num_classes == 3
    with pytest.raises(BadInput, match=r"resnet18 could not be made: .*no_such_argument"):
        network("resnet18", {"no_such_argument": 1}).create(3)
    with pytest.raises(BadInput, match="name of a timm model"):
        network(None)


def test_further_candidates_have_recipes_of_a_training():
    for name in FURTHER:
        assert candidates([name, None], setting(Screened()))[0].values.items() >= FURTHER[name].items()
