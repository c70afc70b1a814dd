"""What is searched: cells, policies, the network that holds all cells."""

from __future__ import annotations
