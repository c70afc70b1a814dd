"""The one error that bad input raises."""

from __future__ import annotations


class BadInput(ValueError):
    """Input that cannot be used: a file, an option, a genotype, a policy.

    The message names the value that was found, the values that are allowed, and what to do. Command lines print it
    and leave with exit code 2.
    """
