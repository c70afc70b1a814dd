"""The joint search: images in, a genotype and an augmentation policy out."""

from __future__ import annotations
