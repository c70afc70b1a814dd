"""SingleImage: a policy inside torchvision.transforms.v2 pipelines, sample by sample."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from daas.augment.transform import DAASPolicy
from daas.errors import BadInput


class SingleImage(v2.Transform):  # type: ignore[misc]  # torchvision has no annotations
    """A ``DAASPolicy`` as a torchvision v2 transform of single samples.

    For PIL images, tensors and ``tv_tensors.Image``, alone or with their labels. ``DAASPolicy`` itself takes whole
    batches, which is faster; this is for pipelines that see one sample at a time.

    Args:
        policy: The transform. With ``normalize`` PIL images come out as normalised tensors.

    Raises:
        TypeError: When called on a sample with boxes, masks or key points, which geometric operations would leave
            behind.
    """

    def __init__(self, policy: DAASPolicy) -> None:
        super().__init__()
        if not isinstance(policy, DAASPolicy):
            raise BadInput(f"SingleImage takes a DAASPolicy; found {type(policy).__name__}. DAASPolicy.load finds one.")
        self.policy = policy

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Refuses what the policy cannot keep aligned with the image."""
        for value in flat_inputs:
            if isinstance(value, tv_tensors.TVTensor) and not isinstance(value, (tv_tensors.Image, tv_tensors.Video)):
                raise TypeError(f"an augmentation policy changes images only; found {type(value).__name__}")

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Augments one input.

        Args:
            inpt: A PIL image (RGB or L), or a tensor [..., C, H, W]: uint8, or float in [0, 1].
            params: None are drawn here: the policy draws its own.

        Returns:
            The same type and shape.
        """
        if isinstance(inpt, Image.Image):
            if inpt.mode not in ("RGB", "L"):
                raise TypeError(f"PIL images are RGB or L; found {inpt.mode}. image.convert('RGB') makes it one.")
            result = self.policy(functional.pil_to_tensor(inpt).unsqueeze(0))[0]
            return functional.to_pil_image(result) if result.dtype == torch.uint8 else result
        images = inpt.as_subclass(torch.Tensor)
        result = self.policy(images.reshape(-1, *images.shape[-3:])).reshape(images.shape)
        return tv_tensors.wrap(result, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else result
