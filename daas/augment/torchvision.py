"""SingleImage: a policy inside torchvision.transforms.v2 pipelines, sample by sample, marks on the image too."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from daas.augment import moves
from daas.augment.draw import Draw
from daas.augment.pictures import is_picture, like_picture, to_batch
from daas.augment.transform import DAASPolicy
from daas.errors import BadInput

_KEY_POINTS: tuple[type, ...] = (tv_tensors.KeyPoints,) if hasattr(tv_tensors, "KeyPoints") else ()  # since 0.23
_MARKS = (tv_tensors.Mask, tv_tensors.BoundingBoxes, *_KEY_POINTS)


class SingleImage(v2.Transform):  # type: ignore[misc]  # torchvision has no annotations
    """A ``DAASPolicy`` as a torchvision v2 transform of single samples.

    For PIL images, uint8 arrays [H, W, 3], tensors, ``tv_tensors.Image`` and ``Video``, alone or with their labels, and
    for ``tv_tensors.Mask``, ``BoundingBoxes`` and ``KeyPoints`` beside them, which go where the image goes: one draw
    for the whole sample. Boxes are clamped as their ``clamping_mode`` says; key points are not, as in torchvision.
    A batch of tensors without marks gets a draw for each image. ``DAASPolicy`` itself takes whole batches, which is
    faster; this is for pipelines that see one sample at a time.

    Args:
        policy: The transform. With ``normalize`` PIL images come out as normalised tensors.
        mask_fill: What geometric operations bring in on masks; 255 is what many losses ignore.

    Raises:
        BadInput: Not a ``DAASPolicy``; when called, images that are none, masks or boxes of another size.

    >>> import daas, torch
    >>> from torchvision import tv_tensors
    >>> augment = daas.augment.SingleImage(daas.DAASPolicy.load("autoaugment_imagenet"))
    >>> image = tv_tensors.Image(torch.randint(256, (3, 40, 50), dtype=torch.uint8))
    >>> boxes = tv_tensors.BoundingBoxes([[4, 5, 20, 30]], format="XYXY", canvas_size=(40, 50))
    >>> image, boxes = augment(image, boxes)
    >>> boxes.shape
    torch.Size([1, 4])
    """

    _transformed_types = (Tensor, Image.Image, is_picture)

    def __init__(self, policy: DAASPolicy, mask_fill: float = 0.0) -> None:
        super().__init__()
        if not isinstance(policy, DAASPolicy):
            raise BadInput(f"SingleImage takes a DAASPolicy; found {type(policy).__name__}. DAASPolicy.load finds one.")
        self.policy = policy
        self.mask_fill = mask_fill

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draws once for a sample: for all that is in it, or for each image of a batch without marks."""
        together = any(isinstance(value, (tv_tensors.Video, *_MARKS)) for value in flat_inputs)
        images = [value for value in flat_inputs if not isinstance(value, _MARKS)]
        sizes = {_side(value): value for value in flat_inputs}
        if together and len(sizes) > 1:
            said = ", ".join(f"{type(value).__name__} {h} x {w}" for (h, w), value in sizes.items())
            raise BadInput(f"The parts of one sample have different sizes ({said}); resize them to one before.")
        return {"draw": self.policy.sample(1 if together or not images else len(to_batch(images[0])))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Augments one part of a sample.

        Args:
            inpt: An image, a mask [..., H, W], boxes or key points.
            params: From ``make_params``.

        Returns:
            The same type and shape.
        """
        draw: Draw = params["draw"]
        if isinstance(inpt, tv_tensors.Mask):
            return self._mask(inpt, draw)
        if isinstance(inpt, _MARKS):
            height, width = inpt.canvas_size
            matrix = moves.moves(draw, height, width, self.policy.interpolation == "nearest")[0]
            if torch.equal(matrix, torch.eye(3, dtype=torch.float64, device="cpu")):
                return inpt
            return _boxes(inpt, matrix) if isinstance(inpt, tv_tensors.BoundingBoxes) else _points(inpt, matrix)
        batch = to_batch(inpt)
        if len(draw) == 1:
            draw = draw[torch.zeros(len(batch), dtype=torch.int64, device="cpu")]
        return like_picture(self.policy.apply(batch, draw), inpt)

    def _mask(self, mask: Any, draw: Draw) -> Any:
        plain = mask.as_subclass(Tensor)
        result = moves.move(plain.reshape(1, -1, *plain.shape[-2:]), draw, self.mask_fill, bilinear=False)
        return tv_tensors.wrap(result.view(plain.shape), like=mask)


def _side(value: Any) -> tuple[int, int]:
    """Height and width of an image, of a mask, or of what boxes and key points lie on."""
    if isinstance(value, Image.Image):
        return value.height, value.width
    height, width = getattr(value, "canvas_size", None) or (
        value.shape[-2:] if isinstance(value, Tensor) else value.shape[:2]
    )
    return int(height), int(width)


def _points(points: Any, matrix: Tensor) -> Any:
    """Whole numbers are the centres of pixels, as in torchvision's flips."""
    plain = points.as_subclass(Tensor)
    return tv_tensors.wrap(_at(plain, matrix).to(plain.dtype), like=points)


def _boxes(boxes: Any, matrix: Tensor) -> Any:
    """Whole numbers are the corners of pixels: the upright box around the moved one, or torchvision's turned one."""
    half = torch.eye(3, dtype=torch.float64, device="cpu")
    half[:2, 2] = 0.5
    matrix = half @ matrix @ torch.linalg.inv(half)
    plain = boxes.as_subclass(Tensor)
    wide = plain if plain.is_floating_point() else plain.float()
    rotated = boxes.format.name in ("XYWHR", "CXCYWHR", "XYXYXYXY")
    name = "XYXYXYXY" if rotated else "XYXY"
    corners = functional.convert_bounding_box_format(wide, boxes.format, tv_tensors.BoundingBoxFormat[name])
    if rotated:
        from torchvision.transforms.v2.functional._geometry import _parallelogram_to_bounding_boxes

        moved = _at(corners.reshape(-1, 4, 2), matrix).to(wide.dtype)
        if torch.linalg.det(matrix) < 0:
            moved = moved[:, [1, 0, 3, 2]]  # a mirrored box goes around its corners the other way
        around = _parallelogram_to_bounding_boxes(moved.reshape(-1, 8))
    else:
        moved = _at(corners.reshape(-1, 4)[:, [[0, 1], [2, 1], [2, 3], [0, 3]]], matrix)
        around = torch.cat([moved.amin(1), moved.amax(1)], 1).to(wide.dtype)
    clamped = functional.clamp_bounding_boxes(tv_tensors.wrap(around, like=boxes, format=name))
    back = functional.convert_bounding_box_format(clamped, new_format=boxes.format).as_subclass(Tensor)
    return tv_tensors.wrap(back.to(plain.dtype), like=boxes)


def _at(points: Tensor, matrix: Tensor) -> Tensor:
    """Where points, [..., 2], go: float64."""
    matrix = matrix.to(points.device)
    return points.double() @ matrix[:2, :2].T + matrix[:2, 2]
