"""The fixed input and the file that is compared with."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from daas.hub.verification import Verification, checksums, reference_input


def test_the_reference_input_is_the_same_everywhere() -> None:
    images = reference_input((3, 8, 8), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert (images.shape, images.dtype) == ((2, 3, 8, 8), torch.float32)
    pixels = (images * 0.25 + 0.5).mul(255).round().to(torch.uint8)
    expected = hashlib.shake_256(b"daas-hub/1 reference input").digest(2 * 3 * 8 * 8)
    assert bytes(pixels.flatten().tolist()) == expected
    assert expected[:4].hex() == "e0943aad"


def test_it_is_normalised_per_channel() -> None:
    plain = reference_input((2, 4, 4), (0.0, 0.0), (1.0, 1.0))
    other = reference_input((2, 4, 4), (0.25, 0.5), (0.5, 2.0))
    torch.testing.assert_close(other[:, 0], (plain[:, 0] - 0.25) / 0.5)
    torch.testing.assert_close(other[:, 1], (plain[:, 1] - 0.5) / 2.0)


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    logits = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    written = Verification("2026-01-01T00:00:00+00:00", "2.6.0", checksums(tmp_path), logits.tolist())
    written.save(tmp_path)
    assert Verification.load(tmp_path) == written
    assert torch.equal(torch.tensor(Verification.load(tmp_path).logits), logits)
    assert set(checksums(tmp_path)) == {"a.txt"}
