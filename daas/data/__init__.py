"""Images as uint8 batches: data sets by name, folders and archives, streams of batches that are addressed by step."""

from __future__ import annotations

from daas.data.batches import BatchStream, Moves, channel_stats, crop_flip, stratified_halves
from daas.data.given import images_from
from daas.data.images import DiskImages, ImageData, MemoryImages
from daas.data.sources import load_images

__all__ = [
    "BatchStream",
    "DiskImages",
    "ImageData",
    "MemoryImages",
    "Moves",
    "channel_stats",
    "crop_flip",
    "images_from",
    "load_images",
    "stratified_halves",
]
