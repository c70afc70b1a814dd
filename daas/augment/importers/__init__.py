"""Published policies in their own formats, read as Policy or PolicySchedule."""

from __future__ import annotations

from daas.augment.importers.levels import from_fast_autoaugment
from daas.augment.importers.named import PREFIXES, import_policy
from daas.augment.importers.pba import from_pba, pba_policy
from daas.augment.importers.timm_strings import from_timm
from daas.augment.importers.torchvision_spaces import from_torchvision, randaugment, trivialaugment

__all__ = [
    "PREFIXES",
    "from_fast_autoaugment",
    "from_pba",
    "from_timm",
    "from_torchvision",
    "import_policy",
    "pba_policy",
    "randaugment",
    "trivialaugment",
]
