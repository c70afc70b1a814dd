"""Folds batch norms into the convolutions before them: exact for inference, where a batch norm is an affine map."""

from __future__ import annotations

from collections import OrderedDict

from timm.layers import DropPath
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from daas.models.reduce import OffsetReduce


def fold_batch_norms(network: nn.Module) -> None:
    """Folds every batch norm that follows a convolution in an ``nn.Sequential``, and removes drop-path, in place.

    Args:
        network: In evaluation mode.
    """
    for name, child in network.named_children():
        if isinstance(child, nn.Sequential):
            setattr(network, name, _folded(child))
        else:
            fold_batch_norms(child)


def _folded(sequence: nn.Sequential) -> nn.Sequential:
    """The same outputs with fewer modules; the others keep their names."""
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for name, module in sequence.named_children():
        previous = next(reversed(modules.items()), ("", None))
        if isinstance(module, nn.BatchNorm2d) and isinstance(previous[1], nn.Conv2d):
            modules[previous[0]] = fuse_conv_bn_eval(previous[1], module)
        elif isinstance(module, nn.BatchNorm2d) and isinstance(previous[1], OffsetReduce):
            modules[previous[0]] = _folded_offset_reduce(previous[1], module)
        elif not isinstance(module, DropPath):
            fold_batch_norms(module)
            modules[name] = module
    return nn.Sequential(modules)


def _folded_offset_reduce(reduce: OffsetReduce, norm: nn.BatchNorm2d) -> OffsetReduce:
    """Each of the two convolutions takes its half of the batch norm."""
    half = reduce.even.out_channels
    reduce.even = fuse_conv_bn_eval(reduce.even, _channels(norm, slice(None, half)))
    reduce.odd = fuse_conv_bn_eval(reduce.odd, _channels(norm, slice(half, None)))
    return reduce


def _channels(norm: nn.BatchNorm2d, part: slice) -> nn.BatchNorm2d:
    """The batch norm of some of the channels, in evaluation mode."""
    state = {name: tensor[part] if tensor.ndim else tensor for name, tensor in norm.state_dict().items()}
    own = nn.BatchNorm2d(len(state["weight"]), norm.eps, device=norm.weight.device, dtype=norm.weight.dtype)
    own.load_state_dict(state)
    return own.eval()
