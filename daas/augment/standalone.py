"""An augmentation policy as a transform for torchvision pipelines.

Needs torch, torchvision 0.21 or newer and Pillow, nothing else. Every image gets a sub-policy of its own, drawn with
torch's random numbers, so that torch.manual_seed and the workers of a DataLoader seed it:

    transform = AugmentationPolicy()
    image = transform(image)  # a PIL image, or a tensor [..., 1 or 3, H, W]: uint8, or float in [0, 1]

It works alone and in torchvision.transforms.v2.Compose.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

# The policy.
NAME = ""
SOURCE = ""
FILL = (0, 0, 0)
SUB_POLICIES: list[tuple[float, list[tuple[str, float, float | None]]]] = []
# End of the policy.

SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Rot90")
"""Operations that go to either side, at random."""

CUTOUT_FILL = (125, 123, 114)


class AugmentationPolicy(v2.Transform):  # type: ignore[misc]  # torchvision has no annotations
    """Draws a sub-policy for every image and applies it with Pillow."""

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Refuses boxes, masks and key points: the geometric operations would leave them behind."""
        for value in flat_inputs:
            if isinstance(value, tv_tensors.TVTensor) and not isinstance(value, (tv_tensors.Image, tv_tensors.Video)):
                raise TypeError(f"an augmentation policy changes images only; found {type(value).__name__}")

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Augments one input: a PIL image, or every image of a tensor."""
        if isinstance(inpt, Image.Image):
            return apply(inpt, draw())
        levels = inpt if inpt.dtype == torch.uint8 else (inpt.float() * 255.0).round().clamp(0, 255).to(torch.uint8)
        images = levels.cpu().reshape(-1, *levels.shape[-3:])
        done = [functional.pil_to_tensor(apply(functional.to_pil_image(image), draw())) for image in images]
        result = torch.stack(done).reshape(levels.shape).to(inpt.device) if done else levels.clone()
        if inpt.dtype != torch.uint8:
            result = (result.float() / 255.0).to(inpt.dtype)
        return tv_tensors.wrap(result, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else result

    def extra_repr(self) -> str:
        """Name and size, for print."""
        return f"{NAME!r}, {len(SUB_POLICIES)} sub-policies"


def draw() -> list[tuple[str, float, tuple[float, float]]]:
    """What happens to an image: (operation, signed value, where Cutout is centred and a crop lies) in order."""
    weights = torch.tensor([weight for weight, _ in SUB_POLICIES], dtype=torch.float64)
    _, ops = SUB_POLICIES[int(torch.multinomial(weights, 1))]
    chosen = []
    for name, probability, value in ops:
        applied, sign, x, y = torch.rand(4, dtype=torch.float64).tolist()
        if applied < probability:
            signed = -1.0 if name in SIGNED and sign < 0.5 else 1.0
            chosen.append((name, signed * (value or 0.0), (x, y)))
    return chosen


def apply(image: Image.Image, chosen: list[tuple[str, float, tuple[float, float]]]) -> Image.Image:
    """Applies operations to an RGB or grey image, one after the other."""
    for name, value, center in chosen:
        image = apply_one(image, name, value, center)
    return image


def apply_one(
    image: Image.Image,
    name: str,
    value: float,
    center: tuple[float, float],
    fill: tuple[int, int, int] = FILL,
    bilinear: bool = False,
) -> Image.Image:
    """Applies one operation."""
    width, height = image.size
    resample = Image.Resampling.BILINEAR if bilinear else Image.Resampling.NEAREST
    zoom = math.floor((1 - value) * 32768 + 0.5) / 32768  # of a crop; with such steps Pillow's sums are exact
    left, top = (
        math.floor(center[axis] * (1 - zoom) * size * 65536) / 65536 for axis, size in ((0, width), (1, height))
    )
    affine = {
        "ShearX": (1, value, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, value, 1, 0),
        "TranslateX": (1, 0, value * width, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, value * height),
        "Crop": (zoom, 0, left, 0, zoom, top),
    }
    if name in affine:
        return image.transform(
            image.size, Image.Transform.AFFINE, affine[name], resample, fillcolor=colour(image, fill)
        )
    if name in ("Rotate", "Rot90"):
        angle = value if name == "Rotate" else 90 * math.copysign(math.floor(abs(value) + 0.5), value)
        return image.rotate(angle, resample, fillcolor=colour(image, fill))
    if name == "HFlip":
        return ImageOps.mirror(image)
    if name == "VFlip":
        return ImageOps.flip(image)
    if name == "Grayscale":
        return image.convert("L").convert(image.mode)
    if name == "AutoContrast":
        return ImageOps.autocontrast(image)
    if name == "Invert":
        return ImageOps.invert(image)
    if name == "Equalize":
        return ImageOps.equalize(image)
    if name == "Solarize":
        return image.point([level if level < value else 255 - level for level in range(256)] * len(image.getbands()))
    if name == "Posterize":
        step = 2 ** (8 - int(value))
        return image.point([level // step * step for level in range(256)] * len(image.getbands()))
    if name == "Cutout":
        return cutout(image, value * width, center)
    enhance = {"Contrast": ImageEnhance.Contrast, "Color": ImageEnhance.Color, "Brightness": ImageEnhance.Brightness,
               "Sharpness": ImageEnhance.Sharpness}[name]  # fmt: skip
    return enhance(image).enhance(value)


def cutout(image: Image.Image, side: float, center: tuple[float, float]) -> Image.Image:
    """Fills a square; one that the left or top border would cut is moved inside."""
    if side <= 0:
        return image
    width, height = image.size
    left, top = int(max(0.0, center[0] * width - side / 2)), int(max(0.0, center[1] * height - side / 2))
    image = image.copy()
    box = (left, top, min(width, left + side), min(height, top + side))
    ImageDraw.Draw(image).rectangle(box, colour(image, CUTOUT_FILL))
    return image


def colour(image: Image.Image, rgb: tuple[int, int, int]) -> Any:
    """An RGB colour in the mode of an image."""
    return rgb if image.mode == "RGB" else Image.new("RGB", (1, 1), rgb).convert(image.mode).getpixel((0, 0))
