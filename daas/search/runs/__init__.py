"""Whole searches: epochs, checkpoints, resumption, several seeds, folders."""

from __future__ import annotations
