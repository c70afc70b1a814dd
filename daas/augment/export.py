"""A policy as a Python file for people who cannot install this package: torch, torchvision and Pillow are enough."""

from __future__ import annotations

from importlib.resources import files

from daas.augment.policy import Policy
from daas.augment.space import BASE, OPERATIONS, named
from daas.errors import BadInput

_BEGIN, _END = "# The policy.\n", "# End of the policy.\n"


def torchvision_source(policy: Policy) -> str:
    """The text of a Python file with a torchvision v2 transform, ``AugmentationPolicy``, that does what a policy does.

    Every image gets a sub-policy of its own, as with ``DAASPolicy``, and on uint8 the operations are Pillow's. It works
    one image at a time; ``DAASPolicy`` is many times faster.

    Raises:
        BadInput: The policy has operations that a program registered, which such a file does not have.
    """
    others = [op.op for sub in policy.sub_policies for op in sub.ops if named(op.op) not in (*OPERATIONS, *BASE)]
    if others:
        raise BadInput(
            f"policy {policy.name!r} has {', '.join(dict.fromkeys(others))}, registered by a program; a file that "
            "stands alone has only the package's own operations. daas.augment.SingleImage serves torchvision pipelines."
        )
    text = files("daas.augment").joinpath("standalone.py").read_text(encoding="utf-8")
    before, rest = text.split(_BEGIN)
    _, after = rest.split(_END)
    subs = "".join(
        f"    ({sub.weight!r}, {[(op.op, op.prob, op.value) for op in sub.ops]!r}),\n" for sub in policy.sub_policies
    )
    data = (
        f"NAME = {policy.name!r}\nSOURCE = {policy.source!r}\nFILL = {policy.fill!r}\n"
        "# (weight, [(operation, probability, value), ...]): shares of the size, degrees, thresholds, bits, factors.\n"
        f"SUB_POLICIES: list[tuple[float, list[tuple[str, float, float | None]]]] = [\n{subs}]\n"
    )
    return f"{before}{_BEGIN}{data}{_END}{after}".replace(
        '"""An augmentation policy as a transform',
        f'"""The augmentation policy {_plain(policy.name)} as a transform',
        1,
    )


def _plain(name: str) -> str:
    """A name that cannot end the docstring that it stands in."""
    return "".join(letter if letter.isalnum() or letter in " _-.:/" else "_" for letter in name)
