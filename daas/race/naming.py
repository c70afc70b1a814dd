"""Words that tell networks of one name apart where several of them race."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from daas.race.candidates import Candidate, Network


def told_apart(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Gives networks that have one name what differs in their arguments and weights, or else a number.

    Args:
        candidates: In their order.

    >>> small = Candidate(Network("wrn", "wrn", (("depth", 10), ("widen", 1))), None, "none")
    >>> wide = Candidate(Network("wrn", "wrn", (("depth", 10), ("widen", 2))), None, "none")
    >>> [one.name for one in told_apart([small, wide])]
    ['wrn (widen 1): none, flip', 'wrn (widen 2): none, flip']
    """
    networks: list[Network] = []
    for candidate in candidates:
        if candidate.network not in networks:
            networks.append(candidate.network)
    words: list[str] = []
    for net in networks:
        same = [other for other in networks if other.name == net.name]
        said, number = _differing(net, same), 1
        taken = {word for other, word in zip(networks, words, strict=False) if other.name == net.name}
        while (apart := said if number == 1 else f"{said}, {number}".removeprefix(", ")) in taken:
            number += 1
        words.append(apart)
    return [replace(one, network=replace(one.network, apart=words[networks.index(one.network)])) for one in candidates]


def _differing(net: Network, same: Sequence[Network]) -> str:
    """What a network is made with that not all of its name are."""
    values = [dict(other.kwargs) for other in same]
    own = [f"{name} {value}" for name, value in net.kwargs if any(other.get(name) != value for other in values)]
    if any(other.start != net.start for other in same):
        given = net.start.named()
        own += [name if value is True else f"{name} {Path(value).name}" for name, value in given.items()]
        own += [] if given else ["random weights"]
    return ", ".join(own)
