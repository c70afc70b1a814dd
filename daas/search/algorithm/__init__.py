"""Algorithm 1: one iteration of the search, and the estimators of its gradients."""

from __future__ import annotations
