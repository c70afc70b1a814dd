"""Which passes of a search are captured as CUDA graphs, and how."""

from __future__ import annotations

import weakref
from functools import partial

import torch
from torch import Tensor, nn

from daas.errors import BadInput
from daas.recording import CUDAGraph, Eager, Shared, Uncapturable, say_eager, why_not_tried
from daas.search.algorithm.model import Model
from daas.search.algorithm.state import Batch, Differentiated, State
from daas.search.graphs.piece import Recorders
from daas.search.graphs.sampled import SampledPasses
from daas.search.graphs.whole import Run, WholePass
from daas.search.options import SearchConfig
from daas.search.spaces.cells import Architecture, Mixture
from daas.search.spaces.supernet import SuperNet
from daas.sending import sent

_SHAPES = 2  # of batches that graphs are kept for: training and validation may differ


def why_launched(config: SearchConfig, device: torch.device) -> str | None:
    """Why the passes of a search are not captured; None: they are.

    Raises:
        BadInput: ``--graph on``, and they cannot be.
    """
    if config.graph == "off":
        return "--graph off"
    reason = None if device.type == "cuda" else f"CUDA graphs are for CUDA, and the device is {device}"
    reason = reason or _against(config)
    if reason is not None and config.graph == "on":
        raise BadInput(f"--graph on: {reason}. Leave --graph out, or change that.")
    if reason is None and config.graph == "auto" and config.mode != "aug":
        return "--graph auto does so with fixed networks alone (--graph on also with cells)"
    if reason is None and config.graph == "auto" and (trace := why_not_tried()) is not None:
        return f"{trace} (--graph on tries it all the same, and ends there)"
    return reason


def _against(config: SearchConfig) -> str | None:
    """The first option with which training passes are not the plain ones that graphs are made of."""
    if config.mode == "arch":
        return None
    if config.policy_passes == "batched":
        return "--policy-passes batched runs training passes in a way of its own"
    if config.aug_estimator == "per-image" and config.reward == "influence":
        return "--reward influence differentiates training passes in a way of its own"
    return None


def recorders_on(device: torch.device) -> Recorders:
    """What makes the recorders of a search on a device."""
    if device.type != "cuda":
        return Eager
    return partial(CUDAGraph, device, shared=Shared(device))


class Passes:
    """The captured passes of a search; what they do not know is launched operation by operation.

    Args:
        search: The state.
        recorders: Make what keeps the graphs.
        required: Whether a network that cannot be captured is an error.
    """

    def __init__(self, search: State, recorders: Recorders, required: bool = False) -> None:
        self.search: State = weakref.proxy(search)  # which has this
        self.recorders, self.required = recorders, required
        self._sampled: dict[torch.Size, SampledPasses] = {}
        self._whole: dict[tuple[torch.Size, str], WholePass] = {}
        self._shapes: set[torch.Size] = set()
        self._works = True

    def of_weights(self, model: Model, batch: Batch, training: bool) -> Differentiated | None:
        """The gradient of the mean loss in theta_z.

        Args:
            model: The network on a path.
            batch: Normalised images [B, 3, H, W] and labels [B].
            training: Whether dropout and the like of a fixed network are active.

        Returns:
            None where the pass is not captured.

        Raises:
            BadInput: It cannot be, and has to.
        """
        search = self.search

        def run(given: Batch, gates: Tensor | None) -> Differentiated:
            return _model(search, gates).through_weights(given, training)

        kind = "training" if training else "validation"
        return self._kept(model, batch, kind, list(model.theta.values()), run)

    def of_gates(self, model: Model, batch: Batch) -> Differentiated | None:
        """The same in the gates of z."""
        search = self.search

        def run(given: Batch, gates: Tensor | None) -> Differentiated:
            assert gates is not None
            return _model(search, gates).through_gates(given, gates)

        return self._kept(model, batch, "gates", None, run)

    def _kept(
        self, model: Model, batch: Batch, kind: str, weights: list[nn.Parameter] | None, run: Run
    ) -> Differentiated | None:
        """A captured pass, if batches of this shape are captured, and the network can be."""
        shape, z = batch[0].shape, model.z
        if not self._works or (shape not in self._shapes and len(self._shapes) == _SHAPES):
            return None
        self._shapes.add(shape)
        try:
            if isinstance(z, Architecture):
                return self._pieces(batch, z)(batch, z, weights)
            gates = None if z is None else sent(z.gates.detach(), batch[0].device)
            if (shape, kind) not in self._whole:
                buffers = list(self.search.network.buffers())
                self._whole[shape, kind] = WholePass(run, batch, gates, buffers, self.recorders())
            return self._whole[shape, kind](batch, gates)
        except Uncapturable as error:
            if self.required:
                raise BadInput(f"--graph on: the network cannot be captured: {error}. Leave --graph out.") from error
            self._works = False
            self._sampled.clear()
            self._whole.clear()
            say_eager(str(error), "Passes of the search")
            return None

    def _pieces(self, batch: Batch, z: Architecture) -> SampledPasses:
        shape, network = batch[0].shape, self.search.network
        if shape not in self._sampled:
            assert isinstance(network, SuperNet)
            self._sampled[shape] = SampledPasses(network, batch, z.gates, self.search.amp, self.recorders)
        return self._sampled[shape]


def _model(search: State, gates: Tensor | None) -> Model:
    return Model(search, None if gates is None else Mixture(gates))
