"""From options to a search that can start: images, networks, distributions, optimisers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from daas.augment import DAASPolicy, Policy, find_policy
from daas.data import BatchStream, ImageData, channel_stats, images_from, load_images, stratified_halves
from daas.data.batches import rank_in_class
from daas.data.facts import facts_of
from daas.data.layout import HELD_OUT
from daas.data.overlap import copies, refuse_training_images
from daas.data.sources import refuse_among_images
from daas.errors import BadInput
from daas.files import digest
from daas.models import CellNet, Genotype
from daas.models.logits import fault
from daas.models.start import Channels, Start, create, own_size, used_to
from daas.search.algorithm.estimators import PolicyGradient, PolicyPasses, Sampling
from daas.search.algorithm.history import History
from daas.search.algorithm.method import candidates, estimator_of, model_arguments
from daas.search.algorithm.parts import why_not_joined
from daas.search.algorithm.state import Preparation, State
from daas.search.given import Given
from daas.search.graphs.passes import Passes, recorders_on, why_launched
from daas.search.options import SearchConfig
from daas.search.spaces.cells import ArchitectureDistribution
from daas.search.spaces.policies import RATE, AugmentationDistribution
from daas.search.spaces.policy_space import PolicySpace
from daas.search.spaces.supernet import FixedNetwork, SuperNet
from daas.seeds import generator, seed_of
from daas.surroundings import refuse_without_gradients

_SUBSET, _INITIAL, _ALPHA, _GAMMA = range(101, 105)  # what a random stream is for


@dataclass(frozen=True)
class SearchData:
    """The two halves of the images, as streams of batches that are addressed by step.

    Attributes:
        train: D_train.
        val: D_val.
        class_names: Of the labels that the batches carry.
        mean: Per channel, over the training images, as a share of the full range.
        std: The same.
        facts: What the summary says about the images.
    """

    train: BatchStream
    val: BatchStream
    train_labels: Tensor
    val_labels: Tensor
    class_names: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    facts: dict[str, Any]

    def train_batch(self, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """The training batch of a step: uint8 images [B, 3, S, S] and labels [B]."""
        images, labels = self.train.batch(step)
        return images.to(device), self.train_labels[labels].to(device)

    def val_batch(self, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """The validation batch of a step, the same."""
        images, labels = self.val.batch(step)
        return images.to(device), self.val_labels[labels].to(device)


def read_images(config: SearchConfig, given: Given) -> tuple[ImageData, tuple[str, ...]]:
    """Reads the images and chooses among them: all that is not for validation alone, and the classes in use."""
    return _choose(all_images(config, given), config)


def all_images(config: SearchConfig, given: Given) -> ImageData:
    """The images that are not for validation alone: read, or those that were read already, where they have the size."""
    size = config.image_size or own_size(config.model, Start.of(config))
    if given.read is not None and size in (None, given.read.image_size):
        return given.read
    if given.data is None:
        return load_images(config.dataset, config.data_dir, image_size=size, **_reading(config))
    return images_from(given.data, image_size=size, **_reading(config))


def _reading(config: SearchConfig) -> dict[str, Any]:
    return {"skip_bad_images": config.skip_bad_images, "workers": config.workers}


def check_batch(images: ImageData, config: SearchConfig, given: Given) -> None:
    """Raises BadInput where the images that are trained on, all or a half of them, do not fill a batch."""
    count, what = len(images), f"{images.name} has {len(images)} images"
    if config.mode != "one-level" and config.val_dir is None and given.val is None:
        count = min(map(len, stratified_halves(images.labels, config.seed)))
        what += f", of which a half is for validation: the other has {count}"
    if count < config.batch_size:
        fits = max(2, count // 4)
        raise BadInput(f"{what}, fewer than one batch of {config.batch_size}. Use --batch-size {fits}, or more images.")


def build_data(config: SearchConfig, given: Given | None = None) -> SearchData:
    """Reads the images, chooses classes and images, splits them in two halves (or reads the validation images)."""
    given = Given() if given is None else given
    images, classes = read_images(config, given)
    check_batch(images, config, given)
    own_val = config.val_dir if given.val is None else given.val
    if config.mode == "one-level":
        train = val = images
    elif own_val is None:
        first, second = stratified_halves(images.labels, config.seed)
        train, val = images.subset(first), images.subset(second)
    else:
        train = images
        read_val = images_from(own_val, split=HELD_OUT, image_size=images.image_size, **_reading(config))
        if isinstance(own_val, str | Path):
            refuse_training_images(images, read_val)
        val = _own_validation(read_val, train, classes)
    refuse_among_images(config.out, images, val)
    mean, std = _statistics(config, train)
    train_labels, val_labels = (_relabel(_numbers(half), classes) for half in (train, val))
    return SearchData(
        train=BatchStream(train, config.batch_size, seed_of(config.seed, 1)),
        val=BatchStream(val, config.batch_size, seed_of(config.seed, 1 if config.mode == "one-level" else 2)),
        train_labels=train_labels,
        val_labels=val_labels,
        class_names=classes,
        mean=mean,
        std=std,
        facts={
            "name": images.name,
            "class_names": list(classes),
            "class_counts": torch.bincount(train_labels[train.labels], minlength=len(classes)).tolist(),
            "val_class_counts": torch.bincount(val_labels[val.labels], minlength=len(classes)).tolist(),
            "train_images": len(train),
            "val_images": len(val),
            "image_size": images.image_size,
            "mean": list(mean),
            "std": list(std),
            **(facts_of(images) if own_val is None else facts_of(images, val, also=copies(images, val))),
            "originals": images.originals,
            "held_out": images.held_out,
        },
    )


def _statistics(config: SearchConfig, train: ImageData) -> tuple[Channels, Channels]:
    """Mean and standard deviation of the training images, or those that a network's weights are used to."""
    return used_to(config.model, Start.of(config)) or channel_stats(train)


def _own_validation(val: ImageData, train: ImageData, classes: tuple[str, ...]) -> ImageData:
    """Validation images that were named or given by themselves, of the chosen classes."""
    unknown = sorted(set(val.class_names) - set(train.class_names))
    if unknown:
        raise BadInput(
            f"The validation images {val.name} have classes that the training images do not have: "
            f"{', '.join(unknown[:5])}. Known: {', '.join(train.class_names[:10])}. Rename or remove them."
        )
    if val.image_size != train.image_size:
        raise BadInput(
            f"The validation images are {val.image_size} pixels wide and the training images {train.image_size}; "
            "bring them to one size."
        )
    number = _numbers(val)
    keep = torch.isin(val.labels, torch.tensor([number[name] for name in classes if name in number]))
    return val.subset(keep.nonzero().flatten())


def _numbers(images: ImageData) -> dict[str, int]:
    return {name: index for index, name in enumerate(images.class_names)}


def _choose(images: ImageData, config: SearchConfig) -> tuple[ImageData, tuple[str, ...]]:
    """Keeps --max-classes classes and --max-images images, evenly over the classes, at random by the seed."""
    random = generator(config.seed, _SUBSET)
    classes = torch.arange(len(images.class_names))
    if config.max_classes is not None:
        if config.max_classes < 2:
            raise BadInput(f"--max-classes is {config.max_classes}; a search needs at least 2.")
        classes = torch.randperm(len(classes), generator=random)[: config.max_classes].sort().values
        images = images.subset(torch.isin(images.labels, classes).nonzero().flatten())
    if config.max_images is not None and config.max_images < len(images):
        order = torch.randperm(len(images), generator=random)
        rank = torch.empty(len(images), dtype=torch.int64)
        rank[order] = rank_in_class(images.labels[order])
        kept = rank.mul(len(images.class_names)).add(images.labels).argsort()[: config.max_images]
        images = images.subset(kept.sort().values)
    return images, tuple(images.class_names[int(index)] for index in classes)


def _relabel(index_of: dict[str, int], classes: tuple[str, ...]) -> Tensor:
    """[original classes] -> index among the chosen classes, -1 where not chosen."""
    table = torch.full((max(index_of.values()) + 1,), -1, dtype=torch.int64)
    for new, name in enumerate(classes):
        if name in index_of:
            table[index_of[name]] = new
    return table


@dataclass(frozen=True)
class Kind:
    """What a network has to know of the images.

    Attributes:
        size: Side in pixels.
        classes: Their number.
        mean: Per channel, as a share of the full range.
        std: The same.
        class_names: What the classes are called, where that is known.
    """

    size: int
    classes: int
    mean: Channels
    std: Channels
    class_names: tuple[str, ...] | None = None


def build_search(config: SearchConfig, data: SearchData, device: torch.device, given: Given | None = None) -> State:
    """Networks, distributions and optimisers at their start, for the images of a search."""
    kind = Kind(int(data.facts["image_size"]), len(data.class_names), data.mean, data.std, data.class_names)
    return build_state(config, kind, device, Given() if given is None else given)


def build_state(config: SearchConfig, kind: Kind, device: torch.device, given: Given) -> State:
    """Networks, distributions and optimisers at their start; everything random comes from the seed."""
    refuse_without_gradients("A search")
    launched = why_launched(config, device)
    size, classes = kind.size, kind.classes
    network = _network(config, kind, given).to(device).to(memory_format=torch.channels_last)
    network.train()
    if isinstance(network, FixedNetwork):
        name = f"--model {config.model}" if given.network is None else f"The network {type(given.network).__name__}"
        _try(network, name, (2, 3, size, size), classes, device)
    architecture = augmentation = None
    architecture_optimizer = augmentation_optimizer = None
    if config.mode != "aug":
        architecture = ArchitectureDistribution(
            config.nodes, candidates(config.primitives), generator(config.seed, _ALPHA), config.arch_estimator
        )
        architecture_optimizer = torch.optim.Adam(
            architecture.parameters(), config.arch_lr, betas=(0.5, 0.999), weight_decay=config.arch_weight_decay
        )
    if config.mode != "arch":
        augmentation = given.space.distribution(
            generator(config.seed, _GAMMA),
            shared=config.policy_parameters == "shared",
            rate=RATE if config.apply_rate == "learned" else None,
        )
        augmentation_optimizer = torch.optim.Adam(augmentation.parameters(), config.aug_lr, betas=(0.5, 0.999))
    fixed = given.policy or (find_policy(config.policy) if config.policy else None)
    estimator = estimator_of(config) if given.estimator is None or config.mode == "arch" else given.estimator
    padding = size // 8 if config.crop_padding is None else config.crop_padding
    flip = (0.0 if config.dataset == "digits" else 0.5) if config.hflip is None else config.hflip
    state = State(
        network=network,
        preparation=Preparation(kind.mean, kind.std, padding, flip),
        weights=torch.optim.SGD(
            network.parameters(), config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        ),
        architecture=architecture,
        architecture_optimizer=architecture_optimizer,
        augmentation=augmentation,
        augmentation_optimizer=augmentation_optimizer,
        architectures=config.architectures if architecture is not None else 1,
        estimator=_fitting(estimator, config.policy_passes, network, size),
        clip_grad=config.clip_grad,
        seed=config.seed,
        given_policy=None if fixed is None else DAASPolicy(fixed),
        amp=config.amp,
        history=_history(config, augmentation),
    )
    if launched is None:
        state.passes = Passes(state, recorders_on(device), required=config.graph == "on")
    return state


def _fitting(estimator: Sampling, passes: PolicyPasses, network: SuperNet | FixedNetwork, side: int) -> Sampling:
    """The estimator, with its policies in one batch where that is wanted.

    Raises:
        BadInput: It is wanted, and the network cannot.
    """
    if not isinstance(estimator, PolicyGradient) or not (estimator.batched or passes == "batched"):
        return estimator
    if obstacle := why_not_joined(network, side):
        raise BadInput(
            f"The policies of an architecture cannot run as one batch: {obstacle}. Use --policy-passes sequential."
        )
    return replace(estimator, batched=True)


def _history(config: SearchConfig, augmentation: AugmentationDistribution | None) -> History | None:
    if augmentation is None or config.derive == "printed":
        return None
    return History(augmentation.operations, augmentation.levels)


def inputs(data: SearchData, search: State) -> dict[str, str]:
    """Hashes of what the options only name, by what it is: the images, and the content of files."""
    found = {"training images": data.train.data.digest(), "validation images": data.val.data.digest()}
    files: dict[str, Policy | Genotype] = {}
    if search.given_policy is not None:
        files["policy"] = search.given_policy.policy
    if isinstance(search.network, FixedNetwork) and isinstance(search.network.model, CellNet):
        files["genotype"] = search.network.model.genotype
    contents = {name: content.to_dict() for name, content in files.items()}
    space = search.augmentation
    if space is not None and (space.slots, space.names) != (PolicySpace().slots, PolicySpace().operations):
        contents["policy space"] = {"slots": space.slots, "operations": space.names}
    if space is not None and not torch.equal(space.table.cpu(), PolicySpace(space.slots, space.names).table()):
        contents["magnitudes"] = {"table": space.table.tolist()}
    return found | {name: digest(content) for name, content in contents.items()}


def _network(config: SearchConfig, kind: Kind, given: Given) -> SuperNet | FixedNetwork:
    if given.network is not None:
        return FixedNetwork(given.network)
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(config.seed, _INITIAL))
        if config.mode != "aug":
            return SuperNet(kind.classes, config.channels, config.layers, config.nodes, candidates(config.primitives))
        start, arguments = Start.of(config), model_arguments(config.model_kwargs)
        return FixedNetwork(create(config.model, kind.classes, start, kind.class_names, **arguments))


def _said(error: Exception) -> str:
    return (str(error) or repr(error)).rstrip(".")


def _try(network: FixedNetwork, name: str, shape: tuple[int, ...], classes: int, device: torch.device) -> None:
    """One training pass on empty images, before anything is written.

    Raises:
        BadInput: The network cannot do it, or does not answer with one row of logits per image.
    """
    wanted = f"{name} on images of {shape[-1]} x {shape[-1]} pixels"
    with torch.random.fork_rng():
        try:
            found = network(torch.zeros(shape, device=device).contiguous(memory_format=torch.channels_last))
        except Exception as error:  # so does what they do with images of a size that they were not made for
            kinds = {str(p.dtype).removeprefix("torch.") for p in network.parameters() if p.is_floating_point()}
            advice = "Choose another --image-size, or a model that takes it (some need --model-kwargs img_size=...)."
            if kinds != {"float32"}:
                advice = f"Its weights are {', '.join(sorted(kinds))} and images float32; model.float() makes them one."
            raise BadInput(f"{wanted}: {_said(error)}. {advice}") from error
    wrong = fault(found, shape[0], classes)
    if wrong:
        raise BadInput(f"{wanted} answers in training with {wrong}")
    if not found.requires_grad:
        raise BadInput(
            f"{wanted} answers with logits that have no gradient: they are detached, or under torch.no_grad()."
        )
