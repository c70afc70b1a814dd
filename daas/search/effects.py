"""Options of a search that are given and change nothing, since its mode has no use for them."""

from __future__ import annotations

from dataclasses import fields

from daas.search.options import MAX_SKIPS, PRESETS, SearchConfig

_OF_CELLS = (
    "channels", "layers", "nodes", "architectures", "arch_lr", "arch_weight_decay", "tau_max", "tau_min", "max_skips",
)  # fmt: skip
_OF_POLICIES = ("policies", "aug_lr")


def without_effect(config: SearchConfig) -> list[str]:
    """Sentences about options that are neither the default nor the preset's, and change nothing.

    >>> without_effect(SearchConfig(mode="arch", policies=3, aug_lr=0.5))
    ['--policies and --aug-lr have no effect with --mode arch.']
    """
    why, names = {"aug": ("with --mode aug", _OF_CELLS), "arch": ("with --mode arch", _OF_POLICIES)}.get(
        config.mode, ("with --aug-estimator uniform", ("aug_lr",) if config.aug_estimator == "uniform" else ())
    )
    usual = {field.name: {field.default} for field in fields(config) if field.name in names}
    for name, values in usual.items():
        values.add(PRESETS.get(config.preset, {}).get(name))
        if name == "max_skips":
            values.add(MAX_SKIPS.get(config.preset))
    told = {text.partition("=")[0] for text in config.model_kwargs}  # the size of a genotype's network
    flags = [
        "--" + name.replace("_", "-") for name in names if getattr(config, name) not in usual[name] and name not in told
    ]
    if not flags:
        return []
    several = f"{', '.join(flags[:-1])} and {flags[-1]} have" if len(flags) > 1 else f"{flags[0]} has"
    return [f"{several} no effect {why}."]
