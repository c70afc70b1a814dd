"""From options to a search that can start: images, networks, distributions, optimisers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import Tensor, nn

from daas.augment import DAASPolicy, Policy
from daas.data import BatchStream, ImageData, channel_stats, load_images, stratified_halves
from daas.data.files import HELD_OUT
from daas.errors import BadInput
from daas.models import CellNet, Genotype
from daas.search.algorithm.method import augmentation_method, candidates, model_arguments
from daas.search.algorithm.state import Preparation, Search
from daas.search.options import SearchConfig
from daas.search.spaces.cells import ArchitectureDistribution
from daas.search.spaces.policies import AugmentationDistribution
from daas.search.spaces.supernet import FixedNetwork, SuperNet
from daas.seeds import generator, seed_of

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


def build_data(config: SearchConfig) -> SearchData:
    """Loads the images, chooses classes and images, splits them in two halves (or reads --val-dir)."""
    images = load_images(
        config.dataset,
        config.data_dir,
        image_size=config.image_size,
        skip_bad_images=config.skip_bad_images,
        workers=config.workers,
    )
    images, classes = _choose(images, config)
    if config.mode == "one-level":
        train = val = images
        val_classes = {name: index for index, name in enumerate(images.class_names)}
    elif config.val_dir is None:
        first, second = stratified_halves(images.labels, config.seed)
        train, val = images.subset(first), images.subset(second)
        val_classes = {name: index for index, name in enumerate(images.class_names)}
    else:
        train = images
        val = load_images(
            data_dir=config.val_dir,
            split=HELD_OUT,
            image_size=images.image_size,
            skip_bad_images=config.skip_bad_images,
            workers=config.workers,
        )
        val_classes = {name: index for index, name in enumerate(val.class_names)}
        unknown = sorted(set(val.class_names) - set(images.class_names))
        if unknown:
            raise BadInput(
                f"--val-dir {config.val_dir} has class folders that the training images do not have: "
                f"{', '.join(unknown[:5])}. Known: {', '.join(images.class_names[:10])}. Rename or remove them."
            )
        keep = torch.isin(val.labels, torch.tensor([val_classes[name] for name in classes if name in val_classes]))
        val = val.subset(keep.nonzero().flatten())
    train_classes = {name: index for index, name in enumerate(images.class_names)}
    mean, std = channel_stats(train)
    train_labels = _relabel(train_classes, classes)
    val_labels = _relabel(val_classes, classes)
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
            "skipped": images.skipped + (0 if config.val_dir is None else val.skipped),
            "originals": images.originals,
            "held_out": images.held_out,
        },
    )


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
        rank = torch.empty(len(images), dtype=torch.int64)  # position of each image within its class
        for label in classes:
            members = order[images.labels[order] == label]
            rank[members] = torch.arange(len(members))
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


def build_search(config: SearchConfig, data: SearchData, device: torch.device) -> Search:
    """Networks, distributions and optimisers at their start; everything random comes from the seed."""
    size, classes = int(data.facts["image_size"]), len(data.class_names)
    network = _network(config, classes).to(device).to(memory_format=torch.channels_last)
    network.train()
    if isinstance(network, FixedNetwork):
        _try(network, config.model, (2, 3, size, size), classes, device)
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
        augmentation = AugmentationDistribution(
            generator=generator(config.seed, _GAMMA), shared=config.policy_parameters == "shared"
        )
        augmentation_optimizer = torch.optim.Adam(augmentation.parameters(), config.aug_lr, betas=(0.5, 0.999))
    padding = size // 8 if config.crop_padding is None else config.crop_padding
    flip = (0.0 if config.dataset == "digits" else 0.5) if config.hflip is None else config.hflip
    return Search(
        network=network,
        preparation=Preparation(data.mean, data.std, padding, flip),
        weights=torch.optim.SGD(
            network.parameters(), config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        ),
        architecture=architecture,
        architecture_optimizer=architecture_optimizer,
        augmentation=augmentation,
        augmentation_optimizer=augmentation_optimizer,
        architectures=config.architectures if architecture is not None else 1,
        policies=config.policies,
        method=augmentation_method(config),
        clip_grad=config.clip_grad,
        seed=config.seed,
        given_policy=DAASPolicy.load(config.policy) if config.policy else None,
        amp=config.amp,
    )


def inputs(data: SearchData, search: Search) -> dict[str, str]:
    """Hashes of what the options only name, by what it is: the images, and the content of files."""
    found = {"training images": data.train.data.digest(), "validation images": data.val.data.digest()}
    files: dict[str, Policy | Genotype] = {}
    if search.given_policy is not None:
        files["policy"] = search.given_policy.policy
    if isinstance(search.network, FixedNetwork) and isinstance(search.network.model, CellNet):
        files["genotype"] = search.network.model.genotype
    for name, content in files.items():
        text = json.dumps(content.to_dict(), sort_keys=True)
        found[name] = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return found


def _network(config: SearchConfig, num_classes: int) -> SuperNet | FixedNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(config.seed, _INITIAL))
        if config.mode != "aug":
            return SuperNet(num_classes, config.channels, config.layers, config.nodes, candidates(config.primitives))
        try:
            model: nn.Module = timm.create_model(
                config.model, num_classes=num_classes, **model_arguments(config.model_kwargs)
            )
        except Exception as error:  # constructors of all of timm's models, and what reads their files, raise anything
            raise BadInput(
                f"--model {config.model}: {_said(error)}. timm.list_models() names what there is."
            ) from error
        return FixedNetwork(model)


def _said(error: Exception) -> str:
    return (str(error) or repr(error)).rstrip(".")


@torch.no_grad()
def _try(network: FixedNetwork, name: str, shape: tuple[int, ...], classes: int, device: torch.device) -> None:
    """One training pass on empty images, before anything is written.

    Raises:
        BadInput: The network cannot do it, or does not answer with one row of logits per image.
    """
    wanted = f"--model {name} on images of {shape[-1]} x {shape[-1]} pixels"
    with torch.random.fork_rng():
        try:
            found = network(torch.zeros(shape, device=device).contiguous(memory_format=torch.channels_last))
        except Exception as error:  # so does what they do with images of a size that they were not made for
            raise BadInput(
                f"{wanted}: {_said(error)}. Choose another --image-size, or a model that takes it (some "
                "need --model-kwargs img_size=...)."
            ) from error
    if not isinstance(found, torch.Tensor) or found.shape != (shape[0], classes):
        got = list(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise BadInput(
            f"{wanted} answers with {got} in training, not with logits [{shape[0]}, {classes}]; a search needs one "
            "classifier."
        )
