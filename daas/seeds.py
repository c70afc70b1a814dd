"""Random streams that are addressed, not advanced: the same key gives the same numbers in any process at any time.

A search step draws from ``generator(seed, step, purpose, index)``. Nothing about randomness has to be stored in a
checkpoint, and a resumed run repeats an uninterrupted one exactly.
"""

from __future__ import annotations

import numpy as np
import torch


def seed_of(*key: int) -> int:
    """Mixes a key of non-negative integers into one 63-bit seed (NumPy's SeedSequence)."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return int(state) >> 1


def generator(*key: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that depends on nothing but its key.

    Args:
        *key: Non-negative integers, for example ``(seed, step, index)``.
        device: Where the generator's numbers are wanted.

    Returns:
        A freshly seeded ``torch.Generator``.
    """
    return torch.Generator(device=device).manual_seed(seed_of(*key))
