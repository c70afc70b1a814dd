"""The options of training, under timm's names and with timm's meaning; one class per group of the command line.

``--opt-eps`` is ``opt_eps`` here. Options that are marked (*) are this project's own; the others are those of timm's
training script (defaults of timm 1.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daas.options import o as _o


@dataclass(frozen=True)
class DataOptions:
    """Data."""

    data_dir: str = _o(
        "",
        "folder of class folders (below train/ and validation/), a .tar of one, or a --dataset's place",
    )
    dataset: str = _o("", "a data set that timm opens by name (torch/cifar10, hfds/...), or digits (*)")
    val_dir: str = _o("", "(*) folder or .tar of validation images, where they are not a split of the data set")
    train_split: str = _o("train", "split to train on")
    val_split: str = _o("validation", "split to validate on")
    dataset_download: bool = _o(False, "fetch a torch/ data set that is not there")
    class_map: str = _o("", "text file that maps class folders to labels")
    skip_bad_images: bool = _o(False, "(*) leave out images that cannot be read; all are read once to find them")


@dataclass(frozen=True)
class ModelOptions:
    """Model."""

    model: str = _o("resnet50", "any timm model; this package registers its own")
    model_kwargs: dict[str, Any] = _o({}, "arguments of the model's constructor: NAME=VALUE ...")
    pretrained: bool = _o(False, "start from the model's pretrained weights")
    pretrained_path: str = _o("", "file that is loaded as if it were the pretrained weights")
    initial_checkpoint: str = _o("", "start from these weights (.safetensors)")
    num_classes: int | None = _o(None, "outputs of the classifier; by default the number of classes of the data")
    gp: str | None = _o(None, "global pooling: avg, max, avgmax, ...; by default the model's")
    img_size: int | None = _o(None, "side of the images in pixels; by default the model's")
    input_size: tuple[int, ...] | None = _o(None, "channels, height, width of the images; overrides --img-size")
    crop_pct: float | None = _o(None, "share of the image that validation crops; by default the model's")
    mean: tuple[float, ...] | None = _o(None, "channel means for normalisation; by default the model's")
    std: tuple[float, ...] | None = _o(None, "channel standard deviations for normalisation; by default the model's")
    interpolation: str = _o("", "resampling when validation images are resized; by default the model's")
    grad_checkpointing: bool = _o(False, "compute activations again in the backward pass: less memory, more time")
    channels_last: bool = _o(False, "memory layout with the channels last")
    head_init_scale: float | None = _o(None, "multiply the classifier's initial weights and biases")
    head_init_bias: float | None = _o(None, "the classifier's initial bias")
    aux_weight: float = _o(0.4, "(*) weight of the auxiliary loss (models with aux_head=True)")


@dataclass(frozen=True)
class DeviceOptions:
    """Device and speed."""

    device: str = _o("auto", "cpu, cuda, ...; auto takes a GPU if there is one")
    device_modules: tuple[str, ...] | None = _o(None, "Python modules to import first")
    batch_size: int = _o(128, "images per batch and process", "-b")
    validation_batch_size: int | None = _o(None, "the same for validation", "-vb")
    grad_accum_steps: int = _o(1, "batches whose gradients are added up before an update")
    amp: bool = _o(False, "automatic mixed precision")
    amp_dtype: str = _o("float16", "its number format", choices=("float16", "bfloat16"))
    graph: str = _o(
        "auto", "(*) capture the training step as a CUDA graph: auto does on CUDA where the other options allow it",
        choices=("auto", "on", "off"),
    )  # fmt: skip
    torchcompile: str | None = _o(None, "compile the model with this backend", const="inductor")
    torchcompile_mode: str | None = _o(None, "mode of torch.compile")
    workers: int = _o(4, "processes that load images (threads with --train-crop-mode pad)", "-j")
    worker_seeding: str = _o("all", "also seed NumPy in the loading processes, or only torch", choices=("all", "part"))
    pin_mem: bool = _o(False, "page-locked memory for loaded batches")
    no_prefetcher: bool = _o(False, "normalise and erase in the loading processes instead of on the device")


@dataclass(frozen=True)
class OptimizerOptions:
    """Optimizer."""

    opt: str = _o("sgd", "any timm optimizer")
    opt_eps: float | None = _o(None, "its epsilon")
    opt_betas: tuple[float, ...] | None = _o(None, "its betas")
    momentum: float = _o(0.9, "its momentum")
    weight_decay: float = _o(2e-5, "weight decay; not of biases and norms")
    opt_kwargs: dict[str, Any] = _o({}, "further arguments of the optimizer: NAME=VALUE ...")
    clip_grad: float | None = _o(None, "largest gradient, in the sense of --clip-mode")
    clip_mode: str = _o("norm", "what is limited", choices=("norm", "value", "agc"))
    layer_decay: float | None = _o(None, "factor of the learning rate from one layer to the one before")
    layer_decay_min_scale: float = _o(0.0, "smallest such factor of a layer")
    layer_decay_no_opt_scale: float | None = _o(None, "layers whose factor is below this are not trained")


@dataclass(frozen=True)
class ScheduleOptions:
    """Learning rate schedule."""

    epochs: int = _o(300, "epochs, warm-up included (cool-down and --warmup-prefix come on top)")
    lr: float | None = _o(None, "learning rate; overrides --lr-base")
    lr_base: float = _o(0.1, "learning rate for --lr-base-size images per update; scaled to the real number")
    lr_base_size: int = _o(256, "images per update that --lr-base is meant for")
    lr_base_scale: str = _o("", "linear or sqrt; by default sqrt for Ada* and LAMB", choices=("", "linear", "sqrt"))
    sched: str = _o(
        "cosine",
        "cosine, tanh, step, multistep, poly, plateau, ... or none; onecycle (*): up and down once, per update, as "
        "torch's OneCycleLR; --warmup-* have no part in it",
    )
    sched_on_updates: bool = _o(False, "move the learning rate with every update instead of every epoch")
    warmup_epochs: int = _o(5, "epochs with a rising learning rate")
    warmup_lr: float = _o(1e-5, "learning rate at the start of the warm-up")
    warmup_prefix: bool = _o(False, "the schedule begins after the warm-up")
    min_lr: float = _o(0.0, "learning rate at the end")
    cooldown_epochs: int = _o(0, "epochs at --min-lr after the schedule")
    start_epoch: int | None = _o(None, "begin at this epoch of the schedule")
    decay_epochs: float = _o(90.0, "epochs between two steps of step")
    decay_milestones: tuple[int, ...] = _o((90, 180, 270), "epochs of the steps of multistep")
    decay_rate: float = _o(0.1, "factor of a step; exponent of poly", "--dr")
    patience_epochs: int = _o(10, "epochs without progress before plateau takes a step")
    lr_noise: tuple[float, ...] | None = _o(
        None, "shares of the schedule at which noise on the learning rate begins, ends"
    )
    lr_noise_pct: float = _o(0.67, "largest relative noise")
    lr_noise_std: float = _o(1.0, "standard deviation of the noise")
    lr_cycle_mul: float = _o(1.0, "factor of the length from one cycle to the next")
    lr_cycle_decay: float = _o(0.5, "factor of the learning rate from one cycle to the next")
    lr_cycle_limit: int = _o(1, "cycles")
    lr_k_decay: float = _o(1.0, "k of k-decay (cosine, poly)")


@dataclass(frozen=True)
class AugmentationOptions:
    """Augmentation."""

    no_aug: bool = _o(False, "no augmentation of single images (Mixup and CutMix stay)")
    train_crop_mode: str | None = _o(
        None, "rrc (random resized crop), rkrc, rkrr, or pad (*): zero-pad, crop, flip, with the images on the device "
        "as uint8. By default rrc; pad for digits", choices=("rrc", "rkrc", "rkrr", "pad"),
    )  # fmt: skip
    scale: tuple[float, ...] = _o((0.08, 1.0), "smallest and largest share of the area in a random resized crop")
    ratio: tuple[float, ...] = _o((3 / 4, 4 / 3), "smallest and largest aspect ratio of it")
    crop_padding: int | None = _o(None, "(*) padding of pad, in pixels; by default an eighth of the side")
    hflip: float = _o(0.5, "probability of a horizontal flip")
    hflip_swap: tuple[str, ...] = _o(
        (), "(*) classes that a horizontal flip turns into each other, as CLASS:CLASS: a flipped image gets the other "
        "label (--train-crop-mode pad)",
    )  # fmt: skip
    vflip: float = _o(0.0, "probability of a vertical flip")
    color_jitter: float = _o(0.4, "strength of colour jitter; off under --aa and with pad")
    color_jitter_prob: float | None = _o(None, "probability of colour jitter; by default always")
    grayscale_prob: float | None = _o(None, "probability of turning grey")
    gaussian_blur_prob: float | None = _o(None, "probability of a blur")
    aa: str | None = _o(
        None, "daas:NAME, daas:PATH, daas:hf-hub:REPOSITORY (*), or timm's: rand-m9-mstd0.5, original, ..."
    )
    aa_in_workers: bool = _o(False, "(*) apply a daas: policy in the loading processes, compiled, not on the device")
    cutout: int = _o(0, "(*) side of a square that is zeroed after normalisation (DeVries & Taylor, 2017)")
    reprob: float = _o(0.0, "probability of random erasing")
    remode: str = _o("pixel", "what erased pixels become", choices=("const", "rand", "pixel"))
    recount: int = _o(1, "most erased rectangles")
    mixup: float = _o(0.0, "alpha of Mixup; 0 for none")
    cutmix: float = _o(0.0, "alpha of CutMix; 0 for none")
    cutmix_minmax: tuple[float, ...] | None = _o(
        None, "smallest and largest side of CutMix's rectangle; overrides alpha"
    )
    mixup_prob: float = _o(1.0, "probability that a batch is mixed")
    mixup_switch_prob: float = _o(0.5, "probability of CutMix, where Mixup is on too")
    mixup_mode: str = _o("batch", "draw once per batch, pair or image", choices=("batch", "pair", "elem"))
    mixup_off_epoch: int = _o(0, "no mixing from this epoch on; 0 for never")
    train_interpolation: str = _o("random", "resampling of training images: random, bilinear, bicubic")


@dataclass(frozen=True)
class LossOptions:
    """Loss and regularisation."""

    smoothing: float = _o(0.1, "label smoothing")
    bce_loss: bool = _o(False, "binary cross-entropy per class")
    bce_sum: bool = _o(False, "add it up over the classes")
    bce_target_thresh: float | None = _o(None, "soft targets above this become 1, the others 0")
    bce_pos_weight: float | None = _o(None, "weight of the positive term")
    drop: float = _o(0.0, "dropout before the classifier")
    drop_path: float | None = _o(None, "drop-path rate; by default the model's")
    drop_path_ramp: bool = _o(False, "(*) raise drop-path linearly from 0 over the epochs (networks of this package)")
    drop_block: float | None = _o(None, "DropBlock rate")
    bn_momentum: float | None = _o(None, "momentum of batch norms (models that take it)")
    bn_eps: float | None = _o(None, "epsilon of batch norms (models that take it)")
    sync_bn: bool = _o(False, "batch statistics over all processes (GPUs)")
    dist_bn: str = _o("reduce", "running statistics after an epoch: average, rank 0's, or each its own",
                      choices=("reduce", "broadcast", ""))  # fmt: skip
    model_ema: bool = _o(False, "keep a moving average of the weights; validate and save that")
    model_ema_decay: float = _o(0.9998, "its decay")
    model_ema_warmup: bool = _o(False, "let the decay rise from 0")
    model_ema_force_cpu: bool = _o(False, "keep it on the CPU; the trained weights are validated and saved")


@dataclass(frozen=True)
class RunOptions:
    """Run."""

    seed: int = _o(42, "of every random choice")
    output: str = _o("./output/train", "folder of the experiments")
    experiment: str = _o("", "folder of this one inside; by default MODEL-SEED")
    resume: str = _o("", "auto, or a checkpoint or its run folder: go on exactly where it stopped")
    recovery_interval: int = _o(0, "batches between two checkpoints within an epoch; 0 for only after an epoch")
    val_interval: int = _o(1, "epochs between two validations")
    eval_metric: str = _o(
        "top1", "what the best epoch is best in", choices=("top1", "top5", "loss", "balanced_accuracy")
    )
    validate: str = _o("", "(*) only validate these weights (.safetensors)")
    log_interval: int = _o(50, "batches between two log entries")
    save_images: bool = _o(False, "write the training batch as a picture at every log entry")
    tensorboard: bool = _o(False, "(*) write curves for TensorBoard")
    log_wandb: bool = _o(False, "log to Weights & Biases")
    wandb_project: str | None = _o(None, "its project")
    wandb_tags: tuple[str, ...] = _o((), "its tags")
    wandb_resume_id: str = _o("", "id of the run there to go on with")


@dataclass(frozen=True)
class TrainOptions(
    RunOptions,
    LossOptions,
    AugmentationOptions,
    ScheduleOptions,
    OptimizerOptions,
    DeviceOptions,
    ModelOptions,
    DataOptions,
):
    """All options of ``daas train``."""
