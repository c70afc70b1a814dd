"""What the cells that are searched will cost once they are trained, and limits of it."""

from __future__ import annotations
