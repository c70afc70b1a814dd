"""DAASPolicy: a policy as a Kornia augmentation, one sub-policy per image, on images and what is marked on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch
from kornia.augmentation import GeometricAugmentationBase2D
from kornia.augmentation._2d.base import _input_metadata_only, _InputMetadata
from kornia.augmentation.utils import _transform_input, _transform_input_by_shape
from kornia.constants import Resample
from torch import Tensor, nn

from daas.augment import counter, gpu, moves, opaque
from daas.augment.draw import Draw
from daas.augment.find import find_policy
from daas.augment.ops import (
    Backend,
    ChosenBackend,
    Form,
    Interpolation,
    Statistics,
    apply,
    build,
    choose_backend,
    fill_colors,
    normalized,
    shift_and_factor,
)
from daas.augment.pictures import like_picture, to_batch
from daas.augment.policy import Policy
from daas.augment.space import INDEX, named
from daas.errors import BadInput
from daas.ranges import is_number, plain

Granularity = Literal["image", "batch"]
Parameters = dict[str, Tensor]
_Doubles = npt.NDArray[np.float64]


class DAASPolicy(GeometricAugmentationBase2D):
    """Draws from a policy and applies the draw.

    Alone it takes batches; within ``kornia.augmentation.AugmentationSequential`` masks, boxes and key points go where
    operations with an affine map take the image. The other operations, Cutout among them, leave them as they are.

    It augments whenever it is called: as with Kornia's and torchvision's transforms, ``eval()`` does not switch it off.
    Give it training images only; within a model, call it where ``self.training`` is true.

    Args:
        policy: The distribution over sub-policies.
        granularity: ``image``: every image gets a sub-policy of its own; ``batch``: one for the whole batch (random
            signs and places of Cutout and crops still differ between images).
        backend: ``auto``, for uint8 and quantised floats: numba on the CPU if it is installed, Triton on CUDA devices
            that pass a comparison with the CPU (seconds, once); torch for all others. ``torch``, ``numba`` and
            ``triton`` force. ``backend_for`` says which runs.
        normalize: (mean, std) per channel, as shares of the full range: the output is then a normalised float batch.
        quantize: For float input: True gives what uint8 would give; False truncates nowhere and passes gradients.
        interpolation: Of operations that move pixels: ``nearest`` or ``bilinear``. Masks: always the nearest.
        dtype: Of normalised output: float32 (for bytes), float16, bfloat16; what floats came with by default.
        channels_last: Whether the output's memory has the channels last.
        p: Probability that an image is augmented at all; the others come out as they are.
        same_on_batch: Every image of a batch gets the same draw, signs and centres too.
        keepdim: A single image [C, H, W] comes out as [C, H, W] and not as a batch of one.

    Raises:
        BadInput: An option that is not among these, or a forced backend where it cannot work.

    >>> import daas, torch
    >>> policy = daas.DAASPolicy.load("randaugment")
    >>> images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    >>> augmented = policy(images)
    >>> torch.equal(policy(images, params=policy._params), augmented)
    True
    """

    _compute_matrix_lazily = True  # images and masks do not need it, boxes and key points ask

    def __init__(
        self,
        policy: Policy,
        granularity: Granularity = "image",
        backend: Backend = "auto",
        normalize: Statistics | None = None,
        quantize: bool = True,
        interpolation: Interpolation = "nearest",
        *,
        dtype: torch.dtype | None = None,
        channels_last: bool = False,
        p: float = 1.0,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        p = plain(p)
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        if not isinstance(policy, Policy):
            raise BadInput(
                f"DAASPolicy takes a Policy; found {type(policy).__name__}. DAASPolicy.load takes names and files."
            )
        if granularity not in ("image", "batch"):
            raise BadInput(f"granularity is {granularity!r}; it is 'image' or 'batch'.")
        if interpolation not in ("nearest", "bilinear"):
            raise BadInput(f"interpolation is {interpolation!r}; it is 'nearest' or 'bilinear'.")
        if not is_number(p) or not 0.0 <= p <= 1.0:
            raise BadInput(f"p is {p!r}; it is the probability, from 0 to 1, that an image is augmented.")
        if normalize is not None:
            _check_statistics(normalize)
        if dtype is not None and (normalize is None or not dtype.is_floating_point):
            raise BadInput(f"dtype is {dtype}; it is a float type of normalised output: give normalize= too.")
        if backend in ("numba", "triton") and not quantize:
            raise BadInput(f"backend={backend!r} works on 256 levels and quantize=False asks for float arithmetic.")
        self.backend: ChosenBackend = choose_backend(backend)
        self.policy, self.quantize, self.normalize = policy, quantize, normalize
        self.granularity: Granularity = granularity
        self.form = Form(dtype, channels_last)
        self.interpolation: Interpolation = interpolation
        self.requested: Backend = backend
        self._tables = _tables(policy)
        self._number = opaque.register(self)
        self._there: dict[torch.device, counter.Tables] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without what this process alone has."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_tables", "_number", "_there")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In another process, which may have registered operations in another order: their indices are looked up."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch has no annotations there
        self._tables = _tables(self.policy)
        self._number = opaque.register(self)
        self._there = {}

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

    def backend_for(self, images: Tensor) -> ChosenBackend:
        """Which implementation runs on these images; the attribute ``backend`` is that of uint8 batches on the CPU.

        Raises:
            BadInput: The constructor's ``backend`` cannot work on them.
        """
        wanted = build(images, self.policy.slots, self.normalize, self.form, self.interpolation)
        return choose_backend(self.requested, images, self.quantize, wanted)

    def sample(
        self,
        batch_size: int,
        generator: torch.Generator | None = None,
        *,
        device: torch.device | str | None = None,
        seed: int = 0,
        step: int | Tensor = 0,
        first: int = 0,
    ) -> Draw:
        """Draws what happens to each image of a batch.

        Args:
            batch_size: Number of images.
            generator: A CPU generator; torch's default one if None.
            device: Draws there, from a counter instead of a stream (``daas.augment.counter``): the other three say
                which draw. It is another one than a generator's, the same on every device, and nothing waits. With
                ``backend="triton"`` it is one launch.
            seed: From 0 to 2 ** 64 - 1.
            step: From 0 on; a whole number in a tensor on the device, for a captured graph.
            first: Number of the first image, where a batch is drawn in parts; below 2 ** 32.

        Returns:
            The draw; without ``device`` on the CPU. It does not depend on what ``apply`` will run on.

        Raises:
            BadInput: A generator and a device, an address without a device, or one that cannot be.
        """
        if device is not None:
            if generator is not None:
                raise BadInput("a generator is for draws on the CPU's stream; draws on a device have seed and step.")
            return self._count(batch_size, torch.device(device), seed, step, first)
        if seed or first or not isinstance(step, int) or step:
            raise BadInput("seed, step and first are of draws on a device: give device=, or a generator alone.")
        draw, chosen = self._choose(batch_size, generator)
        return draw if chosen is None else _only(draw, chosen)

    def _count(self, batch_size: int, device: torch.device, seed: int, step: int | Tensor, first: int) -> Draw:
        """A draw of ``daas.augment.counter``; the policy's tables are sent to each device once."""
        if not 0 <= seed < 1 << 64 or (isinstance(step, int) and not 0 <= step < 1 << 63):
            raise BadInput(f"seed is {seed} and step {step}; whole numbers from 0 on, below 2 ** 64 and 2 ** 63.")
        if first < 0 or first + batch_size > 1 << 32:
            raise BadInput(f"first is {first}; the numbers of the images are from 0 on, below 2 ** 32.")
        if device not in self._there:
            self._there[device] = counter.Tables.on(device, self._tables, self.p)
        address = counter.Address(seed, step, first, self.granularity == "batch", self.same_on_batch)
        if self.requested == "triton" and gpu.reason_against(device) is None:
            from daas.augment.gpu.draws import sample  # needs Triton

            return sample(self._there[device], batch_size, address)
        return counter.sample(self._there[device], batch_size, address)

    def _choose(self, batch_size: int, generator: torch.Generator | None) -> tuple[Draw, Tensor | None]:
        """A draw, and which images it is for ([B] bool; None: all)."""
        op, prob, value, cumulative = self._tables
        rows = min(batch_size, 1) if self.same_on_batch else batch_size
        draws = rows if self.granularity == "image" else 1
        uniform = torch.rand(draws, 1 + op.shape[1], generator=generator, dtype=torch.float64, device="cpu").numpy()
        row = np.searchsorted(cumulative, uniform[:, 0], side="right")
        shape = (rows, op.shape[1])
        draw = Draw.from_arrays(
            np.broadcast_to(op[row], shape),
            np.broadcast_to(value[row], shape),
            np.broadcast_to(uniform[:, 1:] < prob[row], shape),
            generator,
        )
        chosen = torch.rand(rows, generator=generator, device="cpu") < self.p if self.p < 1.0 else None
        if rows < batch_size:
            draw = draw[torch.zeros(batch_size, dtype=torch.int64, device="cpu")]
            chosen = None if chosen is None else chosen.expand(batch_size)
        return draw, chosen

    @overload
    def apply(self, images: Tensor, draw: Draw) -> Tensor: ...

    @overload
    def apply(self, images: Callable[[nn.Module], None]) -> DAASPolicy: ...

    def apply(self, images: Tensor | Callable[[nn.Module], None], draw: Draw | None = None) -> Tensor | DAASPolicy:
        """Applies a draw: a pure function.

        Within a model, ``model.apply(function)`` also comes here, as to any ``nn.Module``.

        Args:
            images: [B, C, H, W] with 1 or 3 channels: uint8, or float in [0, 1].
            draw: From ``sample``, one row per image.

        Returns:
            The same shape and dtype, contiguous; with ``normalize`` a normalised float batch.

        Raises:
            BadInput: As ``daas.augment.ops.apply``.
        """
        if not isinstance(images, Tensor):
            return super().apply(images)
        if draw is None:
            raise TypeError("apply(images, draw) needs a draw: policy.sample(len(images)), or call policy(images)")
        fill, way = self.policy.fill, (self.requested, self.interpolation)
        return apply(images, draw, fill, self.quantize, *way, self.normalize, self.form)

    def forward(
        self,
        input: Tensor,
        params: Parameters | torch.Generator | None = None,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Draws and applies.

        Args:
            input: [B, C, H, W] or [C, H, W] with 1 or 3 channels: uint8, or float in [0, 1]. A PIL image (RGB or L) and
                a NumPy array ([H, W], [H, W, C] or [B, H, W, C]) come out as they came.
            params: A draw as Kornia keeps it (``policy._params`` after a call), to do the same again. A generator may
                stand in its place.
            generator: Source of a new draw; torch's default one if None.
            **kwargs: Kornia's: ``save_kwargs`` and overrides of parameters.

        Returns:
            [B, C, H, W], contiguous; of the input's dtype, or float with ``normalize``. Within ``torch.compile`` the
            call is one operator (``daas.augment.opaque``), and the draw is not kept in ``_params``.

        Raises:
            BadInput: As ``daas.augment.ops.apply``.
        """
        if isinstance(params, torch.Generator):
            params, generator = None, params
        if torch.compiler.is_compiling() and opaque.takes(input, params, generator, kwargs):
            augmented: Tensor = opaque.policy(input, self._number)
            return augmented
        if not isinstance(input, Tensor):
            image: Any = input
            return like_picture(self.forward(to_batch(image), params, generator, **kwargs), image)
        images = self.transform_tensor(input)
        if params is None:
            params = self.forward_parameters(images.shape, generator)
        if kwargs:
            return super().forward(input, params, **kwargs)
        # As there, without the copies that guard parameters against changes and nn.Module's look at every attribute,
        # which at 32 pixels cost a tenth of the whole call.
        seen = _InputMetadata(tuple(images.shape), images.dtype, images.device)
        self.__dict__.update(
            _params=params,
            _transform_matrix=None,
            _lazy_matrix_args=(seen, params, self.flags),
            _transform_matrix_params=None,
        )
        result = self.transform_inputs(images, params, self.flags)
        return self.transform_output_tensor(result, input.shape)

    def forward_parameters(self, batch_shape: tuple[int, ...], generator: torch.Generator | None = None) -> Parameters:
        """A draw as Kornia keeps it: ``op``, ``value`` and ``center`` of ``Draw``, and which images it is for."""
        draw, chosen = self._choose(batch_shape[0], generator)
        always, shape = _constants(tuple(batch_shape))
        return {
            "op": draw.op,
            "value": draw.value,
            "center": draw.center,
            "batch_prob": always if chosen is None else chosen.float(),
            "forward_input_shape": shape,
        }

    def draw_of(self, params: Parameters) -> Draw:
        """The draw in parameters that Kornia keeps, of a call (``policy._params``) or of a container's child.

        >>> import daas, torch
        >>> policy = daas.DAASPolicy.load("randaugment")
        >>> images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
        >>> augmented = policy(images)
        >>> torch.equal(policy.apply(images, policy.draw_of(policy._params)), augmented)
        True
        """
        draw = Draw(*(params[name].cpu() for name in ("op", "value", "center")))
        return draw if self.p == 1.0 else _only(draw, self._gate(params))

    # Images

    def validate_tensor(self, input: Tensor) -> None:
        """Bytes are let through; ``daas.augment.ops.apply`` says what images are."""

    @_input_metadata_only
    def transform_tensor(self, input: Tensor, *, shape: Tensor | None = None, match_channel: bool = True) -> Tensor:
        """[H, W], [C, H, W] or [B, C, H, W] -> [B, C, H, W]."""
        if not 2 <= input.ndim <= 4:
            raise BadInput(f"images are [B, C, H, W], or one [C, H, W]; found {tuple(input.shape)}.")
        return _transform_input(input) if shape is None else _transform_input_by_shape(input, shape, match_channel)

    def transform_inputs(
        self,
        input: Tensor,
        params: Parameters,
        flags: dict[str, Any],
        transform: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Applies the draw; images that it is not for come out as they are (normalised, if ``normalize`` is given)."""
        images = self.transform_tensor(input)
        result = self.apply_transform(images, params, flags, transform)
        if self.p == 1.0:
            return result
        others = self.apply_non_transform(images, params, flags)
        return self.form.of(self._blend_by_prob(result, others, self._gate(params)))

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """The images augmented: [B, C, H, W]."""
        return self.apply(input, self.draw_of(params))

    def apply_non_transform(
        self, input: Tensor, params: Parameters, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """The images as they are, in the form of the others: [B, C, H, W]."""
        if self.normalize is None:
            return input
        floats = input.is_floating_point()
        kind = self.form.dtype or (input.dtype if floats else torch.float32)
        return normalized(input * 255.0 if floats else input, self.normalize).to(kind)

    # What is marked on them

    @_input_metadata_only
    def generate_transformation_matrix(self, input: Tensor, params: Parameters, flags: dict[str, Any]) -> Tensor:
        """Where the pixels go: ``compute_transformation``, the identity for images that the draw is not for."""
        return self.compute_transformation(self.transform_tensor(input), params, flags)

    @_input_metadata_only
    def compute_transformation(self, input: Tensor, params: Parameters, flags: dict[str, Any]) -> Tensor:
        """Where the pixels go, in Kornia's coordinates: [B, 3, 3], of the input's dtype (float32 for bytes)."""
        draw = self.draw_of(params)
        height, width = input.shape[-2:]
        matrix = moves.moves(draw, height, width, whole_pixels=self.interpolation == "nearest")
        return matrix.to(input.device, input.dtype if input.is_floating_point() else torch.float32)

    def get_transformation_matrix(
        self, input: Tensor, params: Parameters | None = None, flags: dict[str, Any] | None = None
    ) -> Tensor:
        """The matrix of these parameters, or of the last call: [B, 3, 3]."""
        if params is None and self.transform_matrix is not None:
            return self.transform_matrix.to(input.device)
        images = self.transform_tensor(input)
        params = self.forward_parameters(images.shape) if params is None else params
        return self.compute_transformation(images, params, self.flags if flags is None else flags)

    def apply_transform_mask(
        self, input: Tensor, params: Parameters, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Masks, [B, ..., H, W]: moved as the image, pixel for pixel.

        What comes in is 0, or ``fill`` of the container's ``extra_args[DataKey.MASK]``.
        """
        bilinear = flags.get("resample", Resample.NEAREST) == Resample.BILINEAR
        return moves.move(input, self.draw_of(params), float(flags.get("fill", 0.0)), bilinear)

    def inverse_transform(
        self,
        input: Tensor,
        flags: dict[str, Any],
        transform: Tensor | None = None,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Undoes everything that moved pixels by one warp; all other operations stay applied."""
        if transform is None:
            raise BadInput("the inverse needs a matrix: call policy.inverse(images) after policy(images).")
        colors = input.new_zeros(input.shape[1]) if "mask" in flags else self._border(input)
        bilinear = flags.get("resample", Resample.get(self.interpolation)) == Resample.BILINEAR
        return moves.warp_back(input, transform, colors.to(input.device, input.dtype), bilinear)

    def inverse_masks(
        self,
        input: Tensor,
        params: Parameters,
        flags: dict[str, Any],
        transform: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Undoes everything that moved pixels on masks; 0 comes in."""
        flags = {"resample": Resample.NEAREST, **flags, "mask": True}
        return super().inverse_masks(input, params, flags, transform, **kwargs)

    def _border(self, images: Tensor) -> Tensor:
        """The policy's fill in the form of these images, [C]."""
        fill = fill_colors(tuple(self.policy.fill), images.shape[1])[:1]
        if images.is_floating_point() and self.normalize is not None:
            return normalized(fill.view(1, -1, 1, 1), self.normalize).flatten()
        return fill[0] / 255.0 if images.is_floating_point() else fill[0]

    def extra_repr(self) -> str:
        """Name, size and options, for print."""
        kornias = "".join(
            f", {name}={value}"
            for name, value, default in (
                ("p", self.p, 1.0),
                ("same_on_batch", self.same_on_batch, False),
                ("keepdim", self.keepdim, False),
            )
            if value != default
        )
        return (
            f"{self.policy.name!r}, {len(self.policy.sub_policies)} sub-policies, granularity={self.granularity!r}, "
            f"backend={self.backend!r}, interpolation={self.interpolation!r}{kornias}"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


def _check_statistics(normalize: Statistics) -> None:
    try:
        channels = len(normalize[0])
        shift_and_factor(normalize, channels)
    except BadInput:
        raise
    except (TypeError, ValueError, IndexError) as error:
        raise BadInput(
            f"normalize is {normalize!r}; it is a pair (mean, std) with a number per channel each, as shares of the "
            "full range: ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))."
        ) from error


@lru_cache(maxsize=64)
def _constants(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """What parameters say of every batch of a shape: each image is chosen, [B]; the shape."""
    return torch.ones(shape[0], device="cpu"), torch.tensor(shape, device="cpu")


def _only(draw: Draw, chosen: Tensor) -> Draw:
    """The draw with nothing for the images that are not chosen ([B] bool)."""
    return Draw(draw.op.where(chosen.cpu().unsqueeze(1), -1), draw.value, draw.center)


def _tables(policy: Policy) -> tuple[npt.NDArray[np.int64], _Doubles, _Doubles, _Doubles]:
    """A policy as tables: op, probability and magnitude, [N, K]; where the weights' intervals end, [N - 1]."""
    shape = (len(policy.sub_policies), policy.slots)
    op, prob, value = np.full(shape, -1), np.zeros(shape), np.zeros(shape)
    for row, sub in enumerate(policy.sub_policies):
        for slot, chosen in enumerate(sub.ops):
            op[row, slot], prob[row, slot] = INDEX[named(chosen.op).name], chosen.prob
            value[row, slot] = 0.0 if chosen.value is None else chosen.value
    weight = torch.tensor([sub.weight for sub in policy.sub_policies], dtype=torch.float64, device="cpu")
    return op, prob, value, (weight / weight.sum()).cumsum(0)[:-1].numpy()
