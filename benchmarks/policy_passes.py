"""``python -m benchmarks.policy_passes``: what an iteration costs with its M policies one by one, and in one batch.

An iteration of the search with ``policy-gradient`` and N = 1, on a supernet and on a small fixed network. The two forms
take turns; ratios are taken turn by turn. Memory is measured in a process of each one's own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from functools import partial
from typing import Any

import torch

from benchmarks.planted import convnet
from benchmarks.search_cost import ETA, Ours, alone, batches, peak
from benchmarks.timing import ratio_text, table, take_turns, write
from daas.search.algorithm.estimators import PolicyGradient
from daas.search.spaces.supernet import FixedNetwork

SIZES = {"supernet": 8, "convnet": 16}
"""Images per batch: of a supernet of 5 cells and 8 channels, and of the convnet of ``benchmarks.planted``."""
FORMS = ("sequential", "batched")
POLICIES = (2, 4, 8, 16)


def contestant(network: str, policies: int, form: str) -> Ours:
    """An iteration of one network, M and form."""
    run = Ours(8, 5, PolicyGradient(policies, batched=form == "batched"), architectures=1)
    if network == "convnet":
        torch.manual_seed(0)
        fixed = FixedNetwork(convnet(10)).to(memory_format=torch.channels_last)
        run.search.network, run.search.architecture, run.search.architecture_optimizer = fixed, None, None
        run.search.weights = torch.optim.SGD(fixed.parameters(), ETA, momentum=0.9)
    return run


def megabytes(name: str) -> float:
    """What an iteration adds to a process that has run one on two images.

    Args:
        name: Network, M and form.
    """
    torch.set_num_threads(1)
    network, policies, form = name.split()
    run = contestant(network, int(policies), form)
    run(*batches(2))
    before = peak()
    run(*batches(SIZES[network]))
    return (peak() - before) / 1024


def timed(threads: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of every contestant in each round, by network: of the processor on one thread, of the clock on more."""
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    found = {}
    for network, size in SIZES.items():
        runs = {
            f"{policies} {form}": partial(contestant(network, policies, form), *batches(size))
            for policies in POLICIES
            for form in FORMS
        }
        found[network] = take_turns(runs, rounds, warmup=1, clock=clock)
    return found


def main() -> None:
    options = _options()
    torch.manual_seed(0)
    if options.memory:
        names = [f"{network} {policies} {form}" for network in SIZES for policies in POLICIES for form in FORMS]
        with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as own:  # each in a process of its own
            print(json.dumps(dict(zip(names, own.map(megabytes, names, chunksize=1), strict=True))))
        return
    times = {threads: timed(threads, options.rounds) for threads in options.threads}
    used: dict[str, float] = alone("benchmarks.policy_passes", "--memory")
    rows = []
    for network in SIZES:
        for policies in POLICIES:
            row = [network, str(policies)]
            for threads in options.threads:
                apart, joined = (times[threads][network][f"{policies} {form}"] for form in FORMS)
                row += [f"{statistics.median(apart):.2f}", ratio_text(joined, apart)]
            row += [f"{used[f'{network} {policies} {form}']:.0f}" for form in FORMS]
            rows.append(row)
    head = ["network", "M"]
    for threads in options.threads:
        head += [f"{threads} thread{'s' if threads > 1 else ''}, s", "batched / sequential"]
    text = (
        "Seconds of an iteration with N = 1, sequential, and the ratio of the batched form to it (median and "
        f"quartiles, {options.rounds} rounds): processor time on one thread, wall clock on more. MB that an iteration "
        "adds, measured once. Supernet of 5 cells and 8 channels, batch 8; convnet of benchmarks.planted, batch 16; "
        "32 x 32 pixels.\n\n" + table([*head, "MB sequential", "MB batched"], rows)
    )
    figures: dict[str, Any] = {"seconds": times, "megabytes": used}
    given = " ".join(sys.argv[1:])
    write("policy_passes", f"python -m benchmarks.policy_passes {given}".strip(), text, figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
