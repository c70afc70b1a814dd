"""Single images of other libraries as batches, and back: PIL images, NumPy arrays, tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from daas.errors import BadInput


def is_picture(value: Any) -> bool:
    """Whether a value is a NumPy array that can only be an image: [H, W, 3] or [H, W, 1] uint8."""
    return isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] in (1, 3)


def to_batch(image: Any) -> Tensor:
    """An image as a batch.

    Args:
        image: A PIL image (RGB or L), an array [H, W] or [..., H, W, C], or a tensor [..., C, H, W].

    Returns:
        [B, C, H, W], of the image's type.

    Raises:
        BadInput: Something else.

    >>> to_batch(Image.new("RGB", (20, 10))).shape
    torch.Size([1, 3, 10, 20])
    """
    if isinstance(image, Tensor):
        plain = image.as_subclass(Tensor)
        return plain.reshape(-1, *plain.shape[-3:])
    if isinstance(image, Image.Image):
        if image.mode not in ("RGB", "L"):
            raise BadInput(f"PIL images are RGB or L; found {image.mode}. image.convert('RGB') makes it one.")
        if not min(image.size):
            raise BadInput(f"a PIL image has pixels; found one of {image.width} x {image.height}.")
        image = np.array(image)
    if not isinstance(image, np.ndarray) or image.ndim < 2:
        raise BadInput(
            "an image is a tensor [C, H, W], a batch [B, C, H, W], a PIL image, or an array [H, W, C]; found "
            f"{type(image).__name__}."
        )
    array = image[..., None] if image.ndim == 2 else image
    if array.shape[-1] not in (1, 3) and array.shape[-3] in (1, 3):
        raise BadInput(
            f"arrays are [..., H, W, C], channels last; found {array.shape}. torch.from_numpy(image) is [C, H, W]."
        )
    batch = torch.from_numpy(np.ascontiguousarray(array)).reshape(-1, *array.shape[-3:])
    return batch.permute(0, 3, 1, 2)


def like_picture(batch: Tensor, image: Any) -> Any:
    """The inverse of ``to_batch``; normalised floats of a PIL image stay a tensor [C, H, W].

    Args:
        batch: [B, C, H, W].
        image: What ``to_batch`` was given.

    Returns:
        The image's type and shape.
    """
    if isinstance(image, Tensor):
        result = batch.view(image.shape)
        if type(image) is Tensor:
            return result
        from torchvision import tv_tensors

        return tv_tensors.wrap(result, like=image) if isinstance(image, tv_tensors.TVTensor) else result
    if isinstance(image, Image.Image) and batch.dtype != torch.uint8:
        return batch[0]
    array = batch.permute(0, 2, 3, 1).numpy()
    if isinstance(image, Image.Image):
        return Image.fromarray(array[0] if image.mode == "RGB" else array[0, :, :, 0])
    return np.ascontiguousarray(array.reshape(image.shape))
