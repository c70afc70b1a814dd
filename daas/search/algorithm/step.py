"""Algorithm 1, one iteration: both search gradients, then the weights from the same training gradients."""

from __future__ import annotations

import torch

from daas import processes
from daas.search.algorithm.descent import Descent, Seen
from daas.search.algorithm.estimators.base import Estimator, checked, fetched
from daas.search.algorithm.estimators.warm_up import WARM_UP
from daas.search.algorithm.model import Model, mean
from daas.search.algorithm.state import Batch, Moment, State
from daas.seeds import seed_of

_GLOBAL = 105  # what a random stream is for


def advance(search: State, train: Batch, val: Batch, at: Moment) -> Seen:
    """One iteration at its learning rate; torch's global stream, too, starts from the seed and the iteration's number.

    Networks draw from that stream, some even in validation. Arguments and result are those of ``iteration``.
    """
    for group in search.weights.param_groups:
        group["lr"] = at.eta
    torch.manual_seed(seed_of(search.seed, at.step, _GLOBAL))
    return iteration(search, train, val, at)


def iteration(search: State, train: Batch, val: Batch, at: Moment) -> Seen:
    """One iteration of Algorithm 1; during warm-up (``at.joint`` False) without policies.

    Args:
        search: The state; its distributions and weights are updated.
        train: A batch of D_train: images [B, 3, H, W] uint8 and labels [B] int64, on the network's device.
        val: A batch of D_val, the same.
        at: Number of the iteration, learning rate, temperature, phase.

    Returns:
        Losses, accuracies and rewards of the passes that this process ran (its share of the N samples), and the
        gradient of gamma.
    """
    estimator = search.estimator if at.joint else WARM_UP
    total, seen, credits = Descent(search), Seen(), []
    val = search.preparation.normalize(val[0]), val[1]
    for i in processes.share(search.architectures):
        z = search.sample_architecture(at, i)  # line 1; eq. 10, 11
        model = Model(search, z, seen.rows)  # binds theta_z
        passes = [model.train(batch) for batch in estimator.batches(search, train, at.step, i)]
        g = mean([p.gradient for p in passes])
        total.theta(model, g)  # eq. 13, from the training gradients of eq. 9
        if isinstance(estimator, Estimator):
            with model.one_step_ahead(g, at.eta):  # eq. 6
                v = model.gradient(val)
            credits.append(checked(estimator.credit(model, passes, v), estimator, passes))  # <v, g>
        elif z is None:
            model.watch(val)
        if z is not None:
            total.gates(z.gates, model.gate_gradient(val))  # eq. 12
    if isinstance(estimator, Estimator):
        credits = fetched(credits)
        total.gamma(estimator.objective(credits, at.eta))  # eq. 9
        if search.history is not None:
            search.history.add(credits)
    seen.rewards = [credit.rewards for credit in credits]
    seen.policy_gradient = total.descend()  # lines 2 and 3
    return seen
