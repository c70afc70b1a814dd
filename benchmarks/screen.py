"""``python -m benchmarks.screen [--data-dir ARCHIVE]``: does the screen find what changes labels, and nothing else?

Tasks whose labels are made (``benchmarks/tasks.py``), so that it is known which operations change them. The plan is
``benchmarks/results/screen-plan.md``. Every finished run is a line of ``benchmarks/results/screen.jsonl``; a later call
does what is missing; ``--report`` only writes ``benchmarks/results/screen.md`` from the lines. Without ``--data-dir``
there are no photographs, and only the digits are screened.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import daas
from benchmarks.screen_networks import PRETRAINED, SCRATCH, SEARCHED, of_a_search, options_of
from benchmarks.tasks import TASKS, task
from daas.augment.space import OPERATION_NAMES
from daas.data import ImageData, load_images
from daas.screen import Screen
from daas.screen.verdicts import TOLERATED

RESULTS = Path(__file__).parent / "results" / "screen.jsonl"
REPORT = RESULTS.with_name("screen.md")
SIZES = (200, 500, 100)
EXCHANGES = {
    "tilted": {("left", "right")},
    "quarter": {("top left", "top right"), ("bottom left", "bottom right")},
    "mirrored": {("as written", "mirrored")},
}
"""Pairs of classes that a horizontal flip exchanges."""
_LARGE, _LARGE_TASKS = (1000, 2000), ("natural", "way up")
_DIGITS = 600
_BEYOND = {("quarter", "TranslateX"), ("quarter", "TranslateY"), ("quarter", "Crop")}
"""What changes the label only beyond some magnitude."""


def keys(sizes: Sequence[int], seeds: Sequence[int], names: Iterable[str]) -> list[tuple[str, int, int]]:
    """The runs in their order: task, images of either half, seed."""
    names = list(names)
    runs = [(name, n, seed) for n in sizes for seed in seeds for name in names if name != "digits" or n <= _DIGITS]
    large = [(name, n, seed) for n in _LARGE for seed in seeds[:1] for name in _LARGE_TASKS if name in names]
    return runs + [run for run in large if run not in runs]


def run(
    base: ImageData, name: str, n: int, seed: int, options: argparse.Namespace, start: dict[str, Any]
) -> dict[str, Any]:
    """One screen; its line of results."""
    made = task(name, base, n, n, 0, seed)
    started = time.monotonic()
    if options.network == SEARCHED:
        seen = of_a_search(made, seed, options.out)
    else:
        seen = daas.screen(made.train, val=made.val, seed=seed, epochs=options.epochs, **start)
    return {
        "task": name,
        "n": n,
        "seed": seed,
        "network": options.network,
        "epochs": options.epochs,
        "image_size": base.image_size,
        "seconds": round(time.monotonic() - started, 1),
        "clean": seen.clean,
        "null": seen.about["null"],
        "flip": seen.flip,
        "swaps": seen.swaps,
        "policy": _names(seen),
        "operations": {row.op: _line(row) for row in seen},
    }


def _names(seen: Screen) -> list[str]:
    try:
        return [name for name, share in seen.policy().operation_share().items() if share > 0]
    except daas.BadInput:
        return []


def _line(row: Any) -> dict[str, Any]:
    whole = row.safe_up_to is None or all(piece.safe for piece in row.by_magnitude)
    return {
        "verdict": row.verdict, "excess": round(row.excess, 2), "loss": round(row.loss, 2), "share": row.share,
        "share_error": row.share_error, "safe_up_to": row.safe_up_to, "whole": whole,
    }  # fmt: skip


def outcome(name: str, op: str, line: dict[str, Any]) -> str:
    """What a verdict is worth, knowing how the labels were made; empty where one can argue."""
    recipe = TASKS[name]
    if op in recipe.unsure:
        return ""
    flagged = line["verdict"] == "changes the label"
    if op not in recipe.changes:
        return "false alarm" if flagged else "unclear, harmless" if line["verdict"] == "unclear" else "cleared"
    if flagged:
        return "hit"
    if (name, op) in _BEYOND and not line["whole"]:
        return "limited"
    return "unclear, changes" if line["verdict"] == "unclear" else "miss"


def harm_left(line: dict[str, Any]) -> list[str]:
    """What changes the label and would be trained with all the same."""
    recipe, found = TASKS[line["task"]], []
    for op in recipe.changes:
        if op == "HFlip":
            found += [op] if line["flip"] else []
        elif op == "Crop":  # never in the policy: what is safe of it is the scale of random resized crops
            found += [op] if op in line["operations"] and _whole_scale(line["operations"][op]) else []
        elif op in line["policy"] and line["operations"][op]["whole"]:
            found.append(op)
    return sorted(found)


def _whole_scale(found: dict[str, Any]) -> bool:
    """Whether crops of every size that was tried would be trained with."""
    doubtful = found["verdict"] == "unclear" and (found["share"] is None or found["share"] >= TOLERATED)
    return found["whole"] and not doubtful and found["verdict"] != "changes the label"


def left_out(line: dict[str, Any]) -> list[str]:
    """Operations of the search space that leave the label alone and are not used."""
    recipe = TASKS[line["task"]]
    arguable = {*recipe.changes, *recipe.unsure}
    return [op for op in OPERATION_NAMES if op not in arguable and op not in line["policy"]]


def wilson(hits: int, total: int) -> str:
    """Share of ``hits`` in percent with Wilson's 95% interval."""
    if not total:
        return "-"
    share, z = hits / total, 1.96
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    reach = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return f"{100 * share:.1f}% ({100 * max(0.0, middle - reach):.1f} to {100 * min(1.0, middle + reach):.1f}; {total})"


def report(lines: Sequence[dict[str, Any]], command: str) -> str:
    """The page of results."""
    groups = list(dict.fromkeys(map(_group, lines)))
    parts = [
        "# The screen against how labels were made",
        f"`{command}`; plan: `screen-plan.md`. {len(lines)} runs: {'; '.join(groups)}; {lines[0]['epochs']} epochs, "
        f"{lines[0]['image_size']} px. "
        "n images to train on and n others to ask about. Percent, Wilson's 95% interval, and the number of operations; "
        "operations of one run are not independent, so that the intervals are too narrow.",
    ]
    for group in groups:
        parts += [f"## {group}", *_of_one_group([line for line in lines if _group(line) == group])]
    return "\n\n".join(parts) + "\n"


def _group(line: dict[str, Any]) -> str:
    """What the runs of one part of the page have in common; screens of before there were crops stand apart."""
    return str(line["network"]) + (", crops tried too" if "Crop" in line["operations"] else "")


def _of_one_group(lines: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"{len(lines)} runs, seeds {', '.join(str(s) for s in sorted({line['seed'] for line in lines}))}.",
        _rates(lines),
        f"Against the plan's goals, for n of at least 200: {'; '.join(_goals([x for x in lines if x['n'] >= 200]))}.",
        "### By task",
        _by_task(lines),
        "### Every run",
        _every_run(lines),
    ]


def _rates(lines: Sequence[dict[str, Any]]) -> str:
    rows = ["| n | runs | hits or limited | unclear | misses | false alarms | unclear though harmless | accuracy |"]
    rows.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for n in [*sorted({line["n"] for line in lines}), "200 and more"]:
        chosen = [line for line in lines if (line["n"] >= 200 if n == "200 and more" else line["n"] == n)]
        counted = Counter(
            outcome(line["task"], op, found) for line in chosen for op, found in line["operations"].items()
        )
        changes = sum(counted[k] for k in ("hit", "limited", "unclear, changes", "miss"))
        keeps = sum(counted[k] for k in ("false alarm", "unclear, harmless", "cleared"))
        accuracy = sum(line["clean"]["accuracy"] for line in chosen) / max(1, len(chosen))
        cells = [
            str(n), str(len(chosen)), wilson(counted["hit"] + counted["limited"], changes),
            wilson(counted["unclear, changes"], changes), wilson(counted["miss"], changes),
            wilson(counted["false alarm"], keeps), wilson(counted["unclear, harmless"], keeps), f"{accuracy:.0f}%",
        ]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _goals(lines: Sequence[dict[str, Any]]) -> list[str]:
    """What the plan calls success, beside what came out."""
    counted = Counter(outcome(line["task"], op, found) for line in lines for op, found in line["operations"].items())
    changes = sum(counted[k] for k in ("hit", "limited", "unclear, changes", "miss"))
    keeps = sum(counted[k] for k in ("false alarm", "unclear, harmless", "cleared"))
    flips = [line for line in lines if "HFlip" in TASKS[line["task"]].changes]
    natural = [line for line in lines if line["task"] == "natural" and line["n"] >= 500]
    exchanging = [line for line in lines if line["task"] in EXCHANGES]
    named = sum({tuple(pair) for pair in line["swaps"]} == EXCHANGES[line["task"]] for line in exchanging)
    harm = sum(len(harm_left(line)) for line in lines)
    return [
        f"false alarms at most 2%: {counted['false alarm']} of {keeps}",
        f"misses at most 10%: {counted['miss']} of {changes}",
        f"the flip never on where it changes the label: on in {sum(x['flip'] > 0 for x in flips)} of {len(flips)} runs",
        f"on for natural photographs from 500 on: {sum(x['flip'] > 0 for x in natural)} of {len(natural)}",
        f"the exchange named in 8 of 10: {named} of {len(exchanging)}",
        f"(harm left in the policy, missed or unclear: {harm} of {changes})",
    ]


def _by_task(lines: Sequence[dict[str, Any]]) -> str:
    rows = [
        "| task | n | runs | accuracy | changes the label: share of labels, verdicts | false alarms | flip | exchange |"
    ]
    rows.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in TASKS:
        for n in sorted({line["n"] for line in lines if line["task"] == name}):
            chosen = [line for line in lines if line["task"] == name and line["n"] == n]
            alarms = Counter(
                op for line in chosen for op, f in line["operations"].items() if outcome(name, op, f) == "false alarm"
            )
            right = sum({tuple(pair) for pair in line["swaps"]} == EXCHANGES.get(name, set()) for line in chosen)
            cells = [
                name, str(n), str(len(chosen)),
                " / ".join(f"{line['clean']['accuracy']:.0f}" for line in chosen),
                "; ".join(_told(op, chosen) for op in sorted(TASKS[name].changes)) or "-",
                ", ".join(f"{op} {count}x" for op, count in alarms.most_common()) or "-",
                " / ".join(f"{line['flip']:g}" for line in chosen),
                f"{right} of {len(chosen)}" if name in EXCHANGES else "-",
            ]  # fmt: skip
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _told(op: str, chosen: Sequence[dict[str, Any]]) -> str:
    marks = {"hit": "", "limited": " limited", "unclear, changes": " unclear", "miss": " missed"}
    told = []
    for line in chosen:
        if op not in line["operations"]:
            return f"{op} not tried"
        found = line["operations"][op]
        share = "?" if found["share"] is None else f"{100 * found['share']:.0f}"
        told.append(share + marks[outcome(line["task"], op, found)])
    return f"{op} {' / '.join(told)}"


def _every_run(lines: Sequence[dict[str, Any]]) -> str:
    rows = ["| task | n | seed | seconds | harm left in | harmless left out |", "| --- | --- | --- | --- | --- | --- |"]
    for line in lines:
        harm, out = ", ".join(harm_left(line)) or "-", ", ".join(left_out(line)) or "-"
        cells = [line["task"], str(line["n"]), str(line["seed"]), f"{line['seconds']:.0f}", harm, out]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    lines = [json.loads(text) for text in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    if not options.report:
        digits = load_images("digits", image_size=options.image_size)
        names = options.task or (list(TASKS) if options.data_dir else ["digits"])
        photographs = (
            load_images(data_dir=options.data_dir, image_size=options.image_size) if options.data_dir else None
        )
        start: dict[str, Any] = {}
        if photographs is not None:
            photographs, start = options_of(options.network, photographs, options.out)
        done = {
            (line["task"], line["n"], line["seed"])
            for line in lines
            if line["network"] == options.network and "Crop" in line["operations"]
        }
        deadline = time.monotonic() + 60 * options.minutes
        for name, n, seed in tqdm(keys(options.sizes, options.seeds, names), desc="screens", disable=None):
            if (name, n, seed) in done or time.monotonic() > deadline:
                continue
            base = digits if name == "digits" or photographs is None else photographs
            lines.append(run(base, name, n, seed, options, start))
            with RESULTS.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    if lines:
        REPORT.write_text(report(lines, "python -m benchmarks.screen --data-dir ARCHIVE_OF_PHOTOGRAPHS"))
        print(report(lines, "python -m benchmarks.screen"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", help="a folder or archive of at least 4,000 photographs")
    parser.add_argument("--task", nargs="+", choices=list(TASKS), help="by default all")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="images of either half")
    parser.add_argument("--seeds", type=int, nargs="+", default=[4, 5, 6])
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--network", default=SCRATCH, help=f"{SCRATCH!r}, {PRETRAINED!r}, {SEARCHED!r} or a timm model")
    parser.add_argument("--out", type=Path, default=Path("runs/screen"), help="keeps pretrained weights and searches")
    parser.add_argument("--minutes", type=float, default=math.inf, help="no run starts after these")
    parser.add_argument("--report", action="store_true", help="only write the page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
