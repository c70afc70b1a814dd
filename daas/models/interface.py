"""What timm expects of a network, once for all networks of the package, and how they become timm entry points."""

# No postponed annotations here: FX writes those of ``forward`` into the code that TorchScript reads.
import inspect
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from timm.layers import ClassifierHead, DropPath
from timm.models import build_model_with_cfg, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from daas.errors import BadInput, unknown_name

Entry = Callable[..., nn.Module]
register: Callable[[Entry], Entry] = register_model
"""timm's decorator, with a type."""

CIFAR_CFG: dict[str, Any] = {
    "num_classes": 10,
    "input_size": (3, 32, 32),
    "pool_size": (8, 8),
    "crop_pct": 1.0,
    "interpolation": "bicubic",
    "mean": (0.4914, 0.4822, 0.4465),
    "std": (0.2470, 0.2435, 0.2616),
    "classifier": "head.fc",
    "license": "apache-2.0",
}
"""timm's description of a network for CIFAR images, but for the name of its first convolution."""


def create(cls: "type[TimmNetwork]", variant: str, pretrained: bool, levels: int, **kwargs: Any) -> nn.Module:
    """Builds a registered model as timm's own entry points do.

    Args:
        cls: The network.
        variant: Its registered name.
        pretrained: Load the weights that ``pretrained_cfg`` names.
        levels: Feature levels that ``features_only`` gives.
        **kwargs: Of the constructor and of timm's builder.

    Raises:
        BadInput: An argument that neither takes.
    """
    features = {"feature_cls": "getter", "out_indices": tuple(range(levels))}
    try:
        model: nn.Module = build_model_with_cfg(cls, variant, pretrained, feature_cfg=features, **kwargs)
    except TypeError as error:
        found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if found is None or found[1] not in kwargs:
            raise
        raise BadInput(f"{variant}: {unknown_name(found[1], cls.keywords(variant))}") from error
    return model


class TimmNetwork(nn.Module):
    """A network with a classifier and feature levels.

    A subclass adds its levels with ``_add_level``, builds ``head`` with ``_set_head``, and says how to run and prune.

    Attributes:
        num_classes: Size of the classifier; 0 for pooled features.
        in_chans: Input channels.
        num_features: Channels of the last feature map.
        head_hidden_size: Channels after pooling.
        feature_info: Per level, ``num_chs``, ``reduction`` (input size / size) and ``module`` (whose output it is).
        grad_checkpointing: Whether activations are computed again in the backward pass.
    """

    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.num_features = 0
        self.head_hidden_size = 0
        self.feature_info: list[dict[str, Any]] = []
        self.grad_checkpointing = False
        self.norm: nn.Module = nn.Identity()
        self.head: ClassifierHead

    @classmethod
    def keywords(cls, variant: str) -> set[str]:
        """What the entry point of a model of this name takes, but for timm's own."""
        return set(inspect.signature(cls).parameters)

    def _set_head(self, channels: int, global_pool: str, drop_rate: float) -> None:
        self.num_features = channels
        self.head = ClassifierHead(channels, self.num_classes, pool_type=global_pool, drop_rate=drop_rate)
        self.head_hidden_size = channels * int(self.head.global_pool.feat_mult())

    def _add_level(self, channels: int, reduction: int, module: str) -> None:
        self.feature_info.append({"num_chs": channels, "reduction": reduction, "module": module})

    @abstractmethod
    def forward_features(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> [B, num_features, H', W']."""

    @abstractmethod
    def _levels(self, x: Tensor) -> Iterator[Tensor]:
        """The outputs of the feature levels, each computed when it is asked for."""

    @abstractmethod
    def _prune(self, last: int) -> None:
        """Removes what comes after a feature level, but for ``norm`` and ``head``."""

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """[B, num_features, H', W'] -> [B, num_classes], or pooled features with ``pre_logits``."""
        logits: Tensor = self.head(x, pre_logits=pre_logits)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> [B, num_classes]."""
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The feature levels, as timm's other networks give them.

        Args:
            x: [B, in_chans, H, W].
            indices: Which levels: all, the last n, or a list.
            norm: Whether the last level is followed by the network's last norm.
            stop_early: Do not run what follows the last level asked for.
            output_fmt: ``NCHW``; there is no other.
            intermediates_only: Return the list alone.

        Returns:
            The last feature map and the list, or the list alone.

        Raises:
            ValueError: Another ``output_fmt``.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt is {output_fmt!r}; these networks give 'NCHW'.")
        take, last = feature_take_indices(len(self.feature_info), indices)
        found = []
        final, output = len(self.feature_info) - 1, x
        for level, output in enumerate(self._levels(x)):
            if level in take:
                found.append(self.norm(output) if norm and level == final else output)
            if stop_early and level == last:
                break
        if intermediates_only:
            return found
        return (self.norm(output) if last == final or not stop_early else output), found

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Removes everything after the last feature level asked for.

        Args:
            indices: The last n levels, or a list.
            prune_norm: Remove the last norm too.
            prune_head: Remove the classifier too, which happens anyway where the network becomes shorter.

        Returns:
            The levels asked for, counted from 0.
        """
        take, last = feature_take_indices(len(self.feature_info), indices)
        shorter = last < len(self.feature_info) - 1
        if shorter:
            self._prune(last)
            self.num_features = self.feature_info[last]["num_chs"]
        if shorter or prune_norm:
            self.norm = nn.Identity()
        if shorter or prune_head:
            self._drop_classifier()
        return list(take)

    def _drop_classifier(self) -> None:
        self.num_classes = 0
        self._set_head(self.num_features, "", self.head.drop.p)

    def get_classifier(self) -> nn.Module:
        """The last linear layer."""
        classifier: nn.Module = self.head.fc
        return classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replaces the classifier.

        Args:
            num_classes: New size; 0 for none.
            global_pool: New pooling, empty for none; None keeps it.
        """
        self.num_classes = num_classes
        like = next(self.parameters())
        self.head.reset(num_classes, global_pool, device=like.device, dtype=like.dtype)
        self.head.train(self.training)
        self.head_hidden_size = self.num_features * int(self.head.global_pool.feat_mult())

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that decay never applies to: none beyond timm's own rule for biases and norms."""
        return set()

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether activations are computed again in the backward pass instead of kept."""
        self.grad_checkpointing = enable

    def set_drop_path(self, rate: float) -> None:
        """Sets the drop-path probability everywhere: the hook for a schedule (DARTS ramps it over the epochs).

        Args:
            rate: From 0 to 1.
        """
        for module in self.modules():
            if isinstance(module, DropPath):
                module.drop_prob = rate


def placement(device: torch.device | str | None) -> torch.device:
    """The context in which a constructor makes its parameters: ``device``, or where PyTorch makes them anyway."""
    return torch.device(device) if device is not None else torch.get_default_device()
