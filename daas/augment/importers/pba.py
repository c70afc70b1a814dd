"""PBA's schedules: the log of a population-based search, a policy of 30 operations for every epoch."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from daas.augment.importers.expansion import Alternative, expand
from daas.augment.policy import Policy, PolicyOp
from daas.augment.schedule import PolicySchedule, Segment
from daas.errors import BadInput

_OPERATIONS = ("Rotate", "TranslateX", "TranslateY", "Brightness", "Color", "Invert", "Sharpness", "Posterize",
               "ShearX", "Solarize", "ShearY", "Equalize", "AutoContrast", "Cutout", "Contrast")  # fmt: skip
"""The order of PBA's logs. (Its first code listed another one, and then ordered it by the hashes of Python 2.)"""

_COUNTS = (0.2, 0.3, 0.5)
"""Probabilities that none, one and two operations are applied."""

_SIZE = 32.0
"""PBA states translations and Cutout in pixels of images of this size."""

_FILL = (125, 123, 114)
"""PBA fills with the mean of the data set; this is CIFAR-10's."""


def from_pba(
    log: str, epochs: int, name: str = "pba", source: str = "a schedule of PBA (Ho et al., ICML 2019)"
) -> PolicySchedule:
    """The schedule of a PBA log.

    Each line is a list: trial that was overwritten, trial that was copied, their epochs, the policy copied from and
    the policy copied to. Following the copies backwards from the last line gives the policy of every epoch.

    Args:
        log: The text of the log, such as ``rcifar10_16_wrn.txt``.
        epochs: Length of the search (200 for PBA's CIFAR-10 schedule, 160 for SVHN's); ``stretched`` fits the
            schedule to a training of another length.
        name: Of the schedule.
        source: Of the schedule.

    Raises:
        BadInput: Not such a log; it says which line.
    """
    lines = [_line(number, text) for number, text in enumerate(log.splitlines(), start=1) if text.strip()]
    if not lines:
        raise BadInput(f"{name}: the log is empty; it has one list per line.")
    broken = [index for index in range(len(lines) - 1) if lines[index][0] != lines[index + 1][1]]
    lines = lines[broken[-1] + 1 :] if broken else lines  # a log may begin with lines of trials that died out
    starts = [0, *(line[3] for line in lines)]
    if starts != sorted(starts) or starts[-1] >= epochs:
        raise BadInput(f"{name}: policies begin at the epochs {starts} of {epochs}; they must increase, and the search "
                       "must be longer than the last.")  # fmt: skip
    embeddings = [lines[0][4], *(line[5] for line in lines)]
    by_start = dict(zip(starts, embeddings, strict=True))  # of two policies that begin together the later counts
    segments = tuple(
        Segment(start, pba_policy(embedding, f"{name}, from epoch {start}", source))
        for start, embedding in by_start.items()
    )
    return PolicySchedule(name, source, epochs, segments)


def pba_policy(embedding: Sequence[int], name: str = "pba", source: str = "PBA (Ho et al., ICML 2019)") -> Policy:
    """One policy of PBA: 30 operations (each of the 15 twice), tried in random order until enough were applied.

    PBA draws how many operations to apply (none, one or two with probabilities 0.2, 0.3 and 0.5), shuffles the 30, and
    tries each with its probability until that many were applied. The policy has every sequence of applied operations
    as a sub-policy, weighted by its exact probability: with arrival times uniform in [0, 1], operation i is the first
    to be applied with probability ``int p_i prod_j (1 - p_j u) du``, and i before j are the first two with probability
    ``int p_i p_j v prod_k (1 - p_k v) dv``.

    Args:
        embedding: Probability (0 to 10, in tenths) and level (0 to 10) of each operation in PBA's order, once or twice.
        name: Of the policy.
        source: Of the policy.

    Raises:
        BadInput: Another length, or numbers beyond 0 and 10.
    """
    size = 2 * len(_OPERATIONS)
    if not isinstance(embedding, (list, tuple)) or len(embedding) not in (size, 2 * size):
        raise BadInput(f"{name}: a policy of PBA is a list of {size} or {2 * size} numbers; found {embedding!r:.80}.")
    wrong = [value for value in embedding if not isinstance(value, int) or not 0 <= value <= 10]
    if wrong:
        raise BadInput(f"{name}: found {wrong[0]!r}; probabilities and levels are whole numbers from 0 to 10.")
    names = _OPERATIONS * (len(embedding) // size)
    ops: list[list[Alternative]] = [
        [(1.0, PolicyOp(op, 1.0, _value(op, level)))] for op, level in zip(names, embedding[1::2], strict=True)
    ]
    weighted = ((weight, [ops[index] for index in order]) for weight, order in sequences(embedding[::2]))
    return expand(name, source, weighted, _FILL)


def sequences(tenths: Sequence[int]) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Exact probability of every sequence of applied operations, by Gauss-Legendre quadrature of a polynomial.

    Args:
        tenths: Probability of each operation, 0 to 10.
    """
    p = np.asarray(tenths, dtype=np.float64) / 10.0
    nodes, weights = np.polynomial.legendre.leggauss(len(p) // 2 + 2)  # exact up to the polynomials' degree
    time, weights = (nodes + 1.0) / 2.0, weights / 2.0
    misses = 1.0 - p[:, None] * time  # [operations, nodes], positive: times lie inside (0, 1)
    all_miss = misses.prod(0)
    never = float((1.0 - p).prod())
    first = p * ((weights * all_miss) / misses).sum(1)
    pairs = p[:, None] * p * np.einsum("n,in,jn->ij", weights * time * all_miss, 1.0 / misses, 1.0 / misses)
    yield _COUNTS[0] + (_COUNTS[1] + _COUNTS[2]) * never, ()
    for i in np.flatnonzero(p):
        only = float(p[i] * np.delete(1.0 - p, i).prod())
        yield _COUNTS[1] * float(first[i]) + _COUNTS[2] * only, (int(i),)
        for j in np.flatnonzero(p):
            if i != j:
                yield _COUNTS[2] * float(pairs[i, j]), (int(i), int(j))


def _value(op: str, level: int) -> float | None:
    """The physical value of a level; PBA cuts off to whole degrees, thresholds, bits and pixels."""
    if op in ("AutoContrast", "Equalize", "Invert"):
        return None
    if op in ("ShearX", "ShearY"):
        return level * 3 / 100
    if op in ("TranslateX", "TranslateY"):
        return level / _SIZE
    if op == "Cutout":  # 2 * level pixels wide; ours counts the pixels of both edges
        return max(0, 2 * level - 1) / _SIZE
    whole = {"Rotate": 3 * level, "Posterize": 4 - level * 4 // 10, "Solarize": 256 - level * 256 // 10}
    return float(whole[op]) if op in whole else (level * 18 + 10) / 100


def _line(number: int, text: str) -> list[Any]:
    """A line of a log: JSON, as a search writes it, or a list of Python."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = _python(number, text)
    if not isinstance(values, list) or len(values) != 6 or not isinstance(values[3], int):
        raise BadInput(f"PBA log, line {number}: expected [trial, trial, epochs, epochs, policy, policy]; found "
                       f"{text[:60]}.")  # fmt: skip
    return [value["hp_policy"] if isinstance(value, dict) and "hp_policy" in value else value for value in values]


def _python(number: int, text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:  # the last: nested too deeply
        raise BadInput(f"PBA log, line {number}: no list ({str(text)[:60]}).") from error
