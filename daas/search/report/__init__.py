"""What a search says about itself: metrics, measures, warnings, pictures, the page."""

from __future__ import annotations
