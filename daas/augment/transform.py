"""DAASPolicy: a policy as a batched transform, one sub-policy per image, on the CPU or the GPU."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from daas.augment.draw import Draw
from daas.augment.ops import apply
from daas.augment.policy import Policy
from daas.augment.space import INDEX
from daas.errors import BadInput

Granularity = Literal["image", "batch"]


class DAASPolicy(nn.Module):
    """Draws from a policy and applies the draw.

    Args:
        policy: The distribution over sub-policies.
        granularity: ``image``: every image gets a sub-policy of its own; ``batch``: one for the whole batch (random
            signs and Cutout's centres still differ between images).
        normalize: (mean, std) per channel, as shares of the full range: the output is then a normalised float batch.
        quantize: For float input: True gives what uint8 would give; False truncates nowhere and passes gradients.
    """

    def __init__(
        self,
        policy: Policy,
        granularity: Granularity = "image",
        normalize: tuple[Sequence[float], Sequence[float]] | None = None,
        quantize: bool = True,
    ) -> None:
        super().__init__()
        if granularity not in ("image", "batch"):
            raise BadInput(f"granularity is {granularity!r}; it is 'image' or 'batch'.")
        self.policy = policy
        self.granularity: Granularity = granularity
        self.quantize = quantize
        self.normalize = normalize
        rows = len(policy.sub_policies)
        op = torch.full((rows, policy.slots), -1, dtype=torch.int64)
        prob = torch.zeros(rows, policy.slots, dtype=torch.float64)
        value = torch.zeros(rows, policy.slots, dtype=torch.float64)
        for row, sub in enumerate(policy.sub_policies):
            for slot, chosen in enumerate(sub.ops):
                op[row, slot], prob[row, slot] = INDEX[chosen.op], chosen.prob
                value[row, slot] = 0.0 if chosen.value is None else chosen.value
        weight = torch.tensor([sub.weight for sub in policy.sub_policies], dtype=torch.float64)
        self._tables = (op, prob, value, (weight / weight.sum()).cumsum(0))

    def sample(self, batch_size: int, generator: torch.Generator | None = None) -> Draw:
        """Draws what happens to each image of a batch.

        Args:
            batch_size: Number of images.
            generator: A CPU generator; torch's default one if None.
        """
        op, prob, value, cumulative = self._tables
        draws = batch_size if self.granularity == "image" else 1
        uniform = torch.rand(draws, generator=generator, dtype=torch.float64)
        row = torch.searchsorted(cumulative, uniform, right=True).clamp_max(len(cumulative) - 1)
        applied = torch.rand(draws, op.shape[1], generator=generator, dtype=torch.float64) < prob[row]
        shape = (batch_size, op.shape[1])
        return Draw.from_choices(op[row].expand(shape), value[row].expand(shape), applied.expand(shape), generator)

    def apply(self, images: Tensor, draw: Draw) -> Tensor:  # type: ignore[override]  # nn.Module.apply is another verb
        """Applies a draw: a pure function.

        Args:
            images: [B, C, H, W] with 1 or 3 channels: uint8, or float in [0, 1].
            draw: From ``sample``, one row per image.

        Returns:
            The same shape and dtype; with ``normalize`` a normalised float batch.
        """
        images = apply(images, draw, self.policy.fill, self.quantize)
        if self.normalize is None:
            return images
        floats = images.float() / 255.0 if images.dtype == torch.uint8 else images
        mean, std = (torch.tensor(v, dtype=floats.dtype, device=floats.device).view(-1, 1, 1) for v in self.normalize)
        return (floats - mean) / std

    def forward(self, images: Tensor) -> Tensor:
        """``sample`` and ``apply``: [B, C, H, W] -> [B, C, H, W]."""
        return self.apply(images, self.sample(len(images)))

    @classmethod
    def load(cls, name: str | Path, **options: Any) -> DAASPolicy:
        """A transform from a shipped policy, a file or a repository on the Hugging Face Hub.

        Args:
            name: A name of ``list_policies()``, the path of a policy file, or ``hf-hub:user/repository``.
            **options: As for the constructor.

        Raises:
            BadInput: Nothing of that name.
        """
        return cls(find_policy(name), **options)

    def extra_repr(self) -> str:
        """Name, size and granularity, for print."""
        return f"{self.policy.name!r}, {len(self.policy.sub_policies)} sub-policies, granularity={self.granularity!r}"


def list_policies() -> list[str]:
    """Names of the policies that the package ships."""
    folder = files("daas.augment").joinpath("policies")
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(entry.name.removesuffix(".json") for entry in found if entry.name.endswith(".json"))


def find_policy(name: str | Path) -> Policy:
    """The policy of a shipped name, a path, or ``hf-hub:user/repository[@revision]`` (its policy.json).

    Raises:
        BadInput: Nothing of that name.
        daas.hub.HubFailure: The Hub cannot be reached.
    """
    text = str(name)
    if text.startswith("hf-hub:"):
        from daas.hub.remote import fetch_policy  # at need: the Hub's client is no part of augmenting

        return fetch_policy(text)
    if text in list_policies():
        with_path = files("daas.augment").joinpath("policies").joinpath(f"{text}.json")
        return Policy.load(Path(str(with_path)))
    if Path(text).is_file():
        return Policy.load(text)
    raise BadInput(
        f"policy {text!r} is neither shipped nor a file. Shipped are {', '.join(list_policies())}; a search writes its "
        "own to policy.json in its output folder; hf-hub:user/repository loads one from the Hub."
    )
