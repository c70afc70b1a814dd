"""DAASPolicy as a Kornia augmentation: what is marked on an image goes where its content goes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import kornia.augmentation as K
import numpy as np
import numpy.typing as npt
import pytest
import torch
from kornia.constants import DataKey
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.pillow_policy import reference
from daas import DAASPolicy, Policy, list_policies
from daas.augment import Draw, PolicyOp, SubPolicy
from daas.augment.operation import Operation
from daas.augment.ops import Statistics
from daas.augment.register import register_operation
from daas.augment.space import INDEX
from daas.errors import BadInput
from tests.augment.inputs import pictures

GEOMETRIC = {"ShearX": 0.25, "ShearY": 0.2, "TranslateX": 0.21, "TranslateY": 0.13, "Rotate": 25.0, "Rot90": 1.0}
SIZE = (61, 75)  # height, width


def policy_of(*names: str) -> Policy:
    """All of these, always, one after the other."""
    return Policy("marks", "a test", (SubPolicy(1.0, tuple(PolicyOp(n, 1.0, GEOMETRIC.get(n)) for n in names)),))


MOVING = [policy_of(name) for name in (*GEOMETRIC, "HFlip", "VFlip")]
MOVING += [policy_of("Rotate", "Invert", "ShearX"), policy_of("TranslateX", "Rotate")]


def points() -> Tensor:
    """Five key points, whole pixels and none near a border: [1, 5, 2], x then y."""
    return torch.tensor([[[37.0, 30.0], [26.0, 24.0], [47.0, 38.0], [28.0, 36.0], [44.0, 24.0]]])


def spots(where: Tensor) -> Tensor:
    """A picture of each key point, 5 x 5 pixels of white: [B, N, H, W] float."""
    y, x = torch.arange(SIZE[0]).view(-1, 1), torch.arange(SIZE[1])
    near = where.view(*where.shape[:2], 2, 1, 1)
    return (((x - near[:, :, 0]).abs() <= 2) & ((y - near[:, :, 1]).abs() <= 2)).float()


def centroids(pictures_: Tensor) -> Tensor:
    """[B, N, H, W] -> [B, N, 2]."""
    y, x = torch.arange(SIZE[0]).view(-1, 1), torch.arange(SIZE[1])
    total = pictures_.sum((2, 3))
    return torch.stack([(pictures_ * x).sum((2, 3)) / total, (pictures_ * y).sum((2, 3)) / total], -1)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("policy", MOVING, ids=lambda p: "+".join(o.op for o in p.sub_policies[0].ops))
def test_key_points_and_masks_land_where_the_content_lands(policy: Policy, interpolation: str) -> None:
    transform = DAASPolicy(policy, quantize=False, interpolation=interpolation)  # type: ignore[arg-type]  # a parameter
    augment = K.AugmentationSequential(transform, data_keys=["input", "mask", "keypoints"])
    torch.manual_seed(0)
    for _ in range(4):  # both signs
        masks = spots(points())
        seen, moved, landed = augment(masks[:, :1].expand(-1, 3, -1, -1), masks, points())
        assert (centroids(moved) - landed).norm(dim=-1).max() < 0.5
        if "Invert" not in str(policy):
            assert (centroids(seen)[:, 0] - landed[:, 0]).norm() < 0.5
            assert interpolation == "bilinear" or torch.equal(seen[:, :1], moved[:, :1])
        assert (landed - points()).norm(dim=-1).max() > 1.0


@pytest.mark.parametrize("policy", MOVING, ids=lambda p: "+".join(o.op for o in p.sub_policies[0].ops))
def test_boxes_contain_what_they_contained(policy: Policy) -> None:
    boxes = torch.tensor([[[24.0, 22.0, 34.0, 29.0], [36.0, 30.0, 49.0, 39.0]]]).expand(3, -1, -1)  # inclusive
    inside = torch.zeros(3, 2, *SIZE)
    for n, (left, top, right, bottom) in enumerate(boxes[0].int().tolist()):
        inside[:, n, top : bottom + 1, left : right + 1] = 1.0
    vertices = torch.stack([boxes[..., i] for i in (0, 1, 2, 1, 2, 3, 0, 3)], -1).view(3, 2, 4, 2)
    size = torch.cat([boxes[..., :2], boxes[..., 2:] - boxes[..., :2] + 1], -1)
    augment = K.AugmentationSequential(
        DAASPolicy(policy), data_keys=["input", "mask", "bbox", "bbox_xyxy", "bbox_xywh"]
    )
    torch.manual_seed(1)
    _, moved, corners, plus, sized = augment(torch.rand(3, 3, *SIZE), inside, vertices, boxes, size)
    y, x = torch.arange(SIZE[0]).view(-1, 1), torch.arange(SIZE[1])
    left, top, right, bottom = plus.view(3, 2, 4, 1, 1).unbind(2)
    warps = sum(op.op != "Invert" for op in policy.sub_policies[0].ops)
    edge = 0.75 * warps  # a box goes through the centres of its pixels; half the diagonal of a pixel sticks out
    covered = (x >= left - edge) & (x <= right + edge) & (y >= top - edge) & (y <= bottom + edge)
    assert moved.sum() > 300
    assert not (moved.bool() & ~covered).any()
    torch.testing.assert_close(torch.cat([corners.amin(2), corners.amax(2)], -1), plus)
    torch.testing.assert_close(torch.cat([sized[..., :2], sized[..., :2] + sized[..., 2:] - 1], -1), plus)


def test_what_changes_pixels_where_they_are_leaves_marks_alone() -> None:
    policy = Policy(
        "point", "a test", (SubPolicy(1.0, (PolicyOp("Solarize", 1.0, 90.0), PolicyOp("Cutout", 1.0, 0.2))),)
    )
    augment = K.AugmentationSequential(DAASPolicy(policy), data_keys=["input", "mask", "bbox_xyxy", "keypoints"])
    image = pictures(2, *SIZE)
    mask = torch.randint(7, (2, 1, *SIZE))
    boxes, marks = torch.tensor([[[3.0, 4.0, 20.0, 30.0]]]).expand(2, -1, -1), points().expand(2, -1, -1)
    seen, *others = augment(image, mask, boxes, marks)
    assert not torch.equal(seen, image)
    for before, after in zip((mask, boxes, marks), others, strict=True):
        assert torch.equal(before, after)
        assert before.dtype == after.dtype


@pytest.mark.usefixtures("own_operations")
def test_marks_follow_an_operation_of_ones_own() -> None:
    """Twice as large, about the corner."""

    def look(value: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.float64]:
        return np.tile([0.5, 0.0, 0.0, 0.0, 0.5, 0.0], (len(value), 1))

    register_operation(Operation("Twice", matrix=look))
    augment = K.AugmentationSequential(DAASPolicy(policy_of("Twice")), data_keys=["input", "mask", "keypoints"])
    marks = torch.tensor([[[20.0, 14.0], [31.0, 25.0]]])
    masks = spots(marks)
    seen, moved, landed = augment(masks[:, :1].expand(-1, 3, -1, -1), masks, marks)
    assert torch.equal(landed, 2 * marks + 0.5)
    assert (centroids(moved) - landed).norm(dim=-1).max() < 0.5
    assert torch.equal(seen[:, :1], moved[:, :1])


@pytest.mark.parametrize("name", list_policies())
def test_bytes_go_through_the_container_as_pillow_has_them(name: str) -> None:
    images = pictures(40, 24, 31, seed=5)
    augment = K.AugmentationSequential(DAASPolicy.load(name), data_keys=["input"])
    torch.manual_seed(2)
    result = augment(images)
    params = augment._params[0].data
    assert torch.equal(result, reference(images, Draw(params["op"], params["value"], params["center"])))


def test_replay_is_exact_for_images_and_marks() -> None:
    policy = DAASPolicy.load("autoaugment_imagenet")
    augment = K.AugmentationSequential(
        policy, K.RandomHorizontalFlip(), data_keys=["input", "mask", "bbox_xyxy", "keypoints"]
    )
    image, mask = torch.rand(8, 3, *SIZE), torch.randint(9, (8, 1, *SIZE))
    boxes, marks = torch.tensor([[[3.0, 4.0, 20.0, 30.0]]]).expand(8, -1, -1), points().expand(8, -1, -1)
    first = augment(image, mask, boxes, marks)
    params = augment._params
    other = augment(image, mask, boxes, marks)
    again = augment(image, mask, boxes, marks, params=params)
    assert not torch.equal(first[0], other[0])
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
    augment(image, mask, boxes, marks)  # a newer draw; then marks alone follow the older one
    alone = augment(mask, boxes, marks, params=params, data_keys=["mask", "bbox_xyxy", "keypoints"])
    for a, b in zip(first[1:], alone, strict=True):
        assert torch.equal(a, b)
    fresh = K.AugmentationSequential(DAASPolicy(policy.policy), K.RandomHorizontalFlip(), data_keys=["input"])
    assert torch.equal(fresh(image, params=params), first[0])


def test_a_list_of_masks_and_single_masks() -> None:
    augment = K.AugmentationSequential(DAASPolicy(policy_of("Rotate")), data_keys=["input", "mask"])
    image, masks = torch.rand(3, 3, *SIZE), torch.randint(5, (3, 2, *SIZE)).float()
    _, together = augment(image, masks)
    _, listed = augment(image, list(masks), params=augment._params)
    assert torch.equal(torch.cat(listed), together)
    _, single = augment(image, masks[0, 0], params=augment._params)
    assert torch.equal(single[0], together[0, :1])


def test_geometry_is_undone() -> None:
    whole = policy_of("TranslateX")
    augment = K.AugmentationSequential(DAASPolicy(whole), data_keys=["input", "mask", "bbox_xyxy", "keypoints"])
    image, mask = pictures(4, *SIZE), torch.randint(1, 9, (4, 1, *SIZE))
    boxes, marks = torch.tensor([[[31.0, 24.0, 40.0, 30.0]]]).expand(4, -1, -1), points().expand(4, -1, -1)
    seen = augment(image, mask, boxes, marks)
    back, mask_back, boxes_back, marks_back = augment.inverse(*seen)
    kept = (slice(None), slice(None), slice(None), slice(16, -16))  # 0.21 * 75 is 16 whole pixels
    assert torch.equal(back[kept], image[kept])
    assert torch.equal(mask_back[kept], mask[kept])
    torch.testing.assert_close(boxes_back, boxes)
    torch.testing.assert_close(marks_back, marks)
    assert (mask_back[..., :15] == 0).any() or (mask_back[..., -15:] == 0).any()
    turned = DAASPolicy(policy_of("Rotate"), interpolation="bilinear", quantize=False)
    smooth = torch.nn.functional.interpolate(torch.rand(4, 3, 5, 6), SIZE, mode="bicubic").clamp(0, 1)
    again = turned.inverse(turned(smooth))
    assert (again - smooth)[..., 15:-15, 20:-20].abs().mean() < 0.01
    assert (turned(smooth) - smooth)[..., 15:-15, 20:-20].abs().mean() > 0.03


def test_the_inverse_fills_with_the_policys_colour_and_masks_with_nothing() -> None:
    policy = Policy("blue", "a test", policy_of("TranslateY").sub_policies, fill=(0, 51, 255))
    for statistics in (None, ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))):
        transform = DAASPolicy(policy, normalize=statistics)
        back = transform.inverse(transform(torch.full((1, 3, *SIZE), 200, dtype=torch.uint8)))
        expected = [0, 51, 255] if statistics is None else [-1.0, -0.6, 1.0]
        rows = back[0, :, :, 30].T.tolist()
        assert rows[0] == pytest.approx(expected) or rows[-1] == pytest.approx(expected)


def test_what_comes_in_on_masks_can_be_said() -> None:
    image, mask = torch.rand(2, 3, *SIZE), torch.zeros(2, 1, *SIZE, dtype=torch.int64)
    for fill, extra in ((0, None), (255, {DataKey.MASK: {"fill": 255}})):
        augment = K.AugmentationSequential(
            DAASPolicy(policy_of("Rotate")), data_keys=["input", "mask"], extra_args=extra
        )
        _, moved = augment(image, mask)
        assert moved.dtype == torch.int64
        assert moved.unique().tolist() == sorted({0, fill})


def test_same_on_batch_is_one_draw_signs_and_centres_too() -> None:
    policy = DAASPolicy.load("autoaugment_imagenet", same_on_batch=True)
    draw = policy.sample(16)
    for values in (draw.op, draw.value, draw.center):
        assert (values == values[:1]).all()
    image = torch.rand(1, 3, 16, 16).expand(16, -1, -1, -1)
    augment = K.AugmentationSequential(DAASPolicy.load("randaugment"), data_keys=["input"], same_on_batch=True)
    assert len(augment(image).flatten(1).unique(dim=0)) == 1
    halves = DAASPolicy.load("randaugment", same_on_batch=True, p=0.5)
    assert {len((halves.sample(8).op < 0).all(1).unique()) for _ in range(20)} == {1}
    assert len(policy.sample(0)) == 0


def test_keepdim_and_single_images() -> None:
    image = pictures(1, 20, 24)[0]
    policy = DAASPolicy.load("autoaugment_svhn")
    torch.manual_seed(3)
    expected = policy(image.unsqueeze(0))
    for keepdim, shape in ((False, (1, 3, 20, 24)), (True, (3, 20, 24))):
        torch.manual_seed(3)
        result = DAASPolicy.load("autoaugment_svhn", keepdim=keepdim)(image)
        assert result.shape == shape
        assert torch.equal(result.view(1, 3, 20, 24), expected)
    assert K.AugmentationSequential(policy, data_keys=["input"], keepdim=True)(image).shape == (3, 20, 24)
    with pytest.raises(BadInput, match=r"images are \[B, C, H, W\], or one"):
        policy(torch.zeros(1, 2, 3, 8, 8))


@pytest.mark.parametrize("statistics", [None, ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_p_is_the_share_of_images_that_are_augmented(dtype: torch.dtype, statistics: Statistics | None) -> None:
    image = pictures(200, 12, 14) if dtype == torch.uint8 else torch.rand(200, 3, 12, 14)
    untouched = image
    if statistics is not None:
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in statistics)
        untouched = ((image / 255 if dtype == torch.uint8 else image) - mean) / std
    never = DAASPolicy(policy_of("Rotate"), normalize=statistics, p=0.0)
    torch.testing.assert_close(never(image), untouched, rtol=0, atol=2e-6 if statistics else 0)
    assert (never.sample(9).op == -1).all()
    augment = K.AugmentationSequential(
        DAASPolicy(policy_of("Rotate"), normalize=statistics, p=0.3),
        data_keys=["input", "mask", "keypoints"],
    )
    mask, marks = torch.randint(9, (200, 1, 12, 14)), torch.full((200, 1, 2), 2.0)
    seen, moved, landed = augment(image, mask, marks)
    same = (seen.float() - untouched.float()).abs().flatten(1).amax(1) < 2e-6
    gate = augment._params[0].data["batch_prob"] < 0.5
    assert 0.55 < gate.float().mean() < 0.85
    assert torch.equal(same & gate, gate)
    assert torch.equal((landed == marks).flatten(1).all(1), gate)
    assert torch.equal((moved == mask).flatten(1).all(1), gate)
    with pytest.raises(BadInput, match=r"p is 1\.5"):
        DAASPolicy(policy_of("Rotate"), p=1.5)


def test_p_of_one_does_not_change_what_is_drawn() -> None:
    always, draw = (
        DAASPolicy.load("autoaugment_imagenet", p=p).sample(50, torch.Generator().manual_seed(1)) for p in (1.0, 0.4)
    )
    kept = (draw.op >= 0).any(1)
    assert 5 < kept.sum() < 40
    assert torch.equal(draw.op[kept], always.op[kept])


def test_policies_that_are_alike_have_one_pickle() -> None:
    """What Hugging Face's data sets know a transform by, from one run of a program to the next."""
    one, other = (pickle.dumps(DAASPolicy.load("randaugment")) for _ in range(2))
    assert one == other


def test_in_a_model_copied_pickled_and_under_autocast() -> None:
    policy = DAASPolicy.load("randaugment", normalize=((0.5,) * 3, (0.5,) * 3))
    image = pictures(4, 16, 16)
    policy(image)
    for twin in (copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):  # our own bytes
        assert torch.equal(twin(image, params=policy._params), policy(image, params=policy._params))
    model = nn.Sequential(policy, nn.Conv2d(3, 2, 1))
    assert model(image).shape == (4, 2, 16, 16)
    assert not policy.state_dict()
    assert len(list(policy.parameters())) == 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = policy(image, params=policy._params)
    assert torch.equal(inside, policy(image, params=policy._params))
    augment = K.AugmentationSequential(policy, K.RandomHorizontalFlip(), data_keys=["input", "keypoints"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen, _ = augment(image, torch.ones(4, 1, 2))
    assert seen.dtype == torch.float32


class _Augmented(Dataset[Tensor]):
    def __init__(self) -> None:
        self.images = pictures(12, 16, 16)
        self.augment = K.AugmentationSequential(
            DAASPolicy.load("autoaugment_cifar10", backend="torch"), data_keys=["input"], keepdim=True
        )

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Tensor:
        result: Tensor = self.augment(self.images[index])
        return result


def batches(workers: int) -> Iterator[Tensor]:
    return iter(DataLoader(_Augmented(), 4, num_workers=workers, generator=torch.Generator().manual_seed(0)))


def test_in_workers() -> None:
    first, again = torch.cat(list(batches(2))), torch.cat(list(batches(2)))
    assert first.shape == (12, 3, 16, 16)
    assert torch.equal(first, again)
    assert not torch.equal(first, _Augmented().images)


def test_the_matrix_is_made_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    compute = DAASPolicy.compute_transformation

    def counted(self: DAASPolicy, *arguments: object) -> Tensor:
        made.append(1)
        return compute(self, *arguments)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(DAASPolicy, "compute_transformation", counted)
    policy = DAASPolicy(policy_of("Rotate"))
    policy(torch.rand(3, 3, *SIZE))
    assert made == []
    matrix = policy.transform_matrix
    assert matrix is not None
    assert matrix.shape == (3, 3, 3)
    assert made == [1]


def test_the_matrix_is_the_operations_own() -> None:
    """A shear of 0.25 about the top left corner, and a translation by whole pixels, in Kornia's coordinates."""
    draw = Draw(
        torch.tensor([[INDEX["ShearX"]], [INDEX["TranslateX"]], [-1]]),
        torch.tensor([[0.25], [0.21], [0.0]]).double(),
        torch.zeros(3, 1, 2).double(),
    )
    policy = DAASPolicy.load("randaugment")
    params = policy.forward_parameters((3, 3, *SIZE)) | {"op": draw.op, "value": draw.value, "center": draw.center}
    expected = torch.eye(3).repeat(3, 1, 1)
    expected[0, 0, 1:] = torch.tensor([-0.25, -0.125])  # x' + 1/2 = x + 1/2 - (y + 1/2) / 4
    expected[1, 0, 2] = -16.0
    for dtype in (torch.float32, torch.float64):
        matrix = policy.compute_transformation(torch.zeros(3, 3, *SIZE, dtype=dtype), params, {})
        torch.testing.assert_close(matrix, expected.to(dtype))
    assert policy.compute_transformation(torch.zeros(3, 3, *SIZE, dtype=torch.uint8), params, {}).dtype == torch.float32
