"""Names from other frameworks, for hints only: a name from Keras or PyTorch leads to dlc's name."""

from __future__ import annotations

from collections.abc import Collection

_WORDS: dict[str, dict[str, str]] = {
    "layer": {
        "linear": "dense",
        "fullyconnected": "dense",
        "fc": "dense",
        "conv": "conv2d",
        "convolution2d": "conv2d",
        "convtranspose1d": "conv1d_transpose",
        "convtranspose2d": "conv2d_transpose",
        "convtranspose3d": "conv3d_transpose",
        "maxpool": "max_pool2d",
        "maxpooling": "max_pool2d",
        "maxpooling1d": "max_pool1d",
        "maxpooling2d": "max_pool2d",
        "maxpooling3d": "max_pool3d",
        "avgpool": "avg_pool2d",
        "averagepooling1d": "avg_pool1d",
        "averagepooling2d": "avg_pool2d",
        "averagepooling3d": "avg_pool3d",
        "globalaveragepooling1d": "global_avg_pool1d",
        "globalaveragepooling2d": "global_avg_pool2d",
        "globalaveragepooling3d": "global_avg_pool3d",
        "globalmaxpooling1d": "global_max_pool1d",
        "globalmaxpooling2d": "global_max_pool2d",
        "globalmaxpooling3d": "global_max_pool3d",
        "batchnormalization": "batch_norm",
        "batchnorm1d": "batch_norm",
        "batchnorm2d": "batch_norm",
        "batchnorm3d": "batch_norm",
        "bn": "batch_norm",
        "layernormalization": "layer_norm",
        "groupnormalization": "group_norm",
        "rmsnormalization": "rms_norm",
        "instancenorm2d": "instance_norm",
        "simplernn": "rnn",
        "multiheadattention": "attention",
        "selfattention": "attention",
        "groupqueryattention": "attention",
        "transformerencoderlayer": "transformer_encoder",
        "transformerdecoderlayer": "transformer_decoder",
        "concatenate": "concat",
        "cat": "concat",
        "upsampling2d": "upsample2d",
        "zeropadding2d": "zero_pad2d",
        "cropping2d": "crop2d",
        "swish": "silu",
        "hardswish": "hard_silu",
        "tokenembedding": "embedding",
        "identity": "linear",
        "sequential": "repeat",
        "dropout2d": "spatial_dropout2d",
    },
    "loss": {
        "crossentropyloss": "cross_entropy",
        "crossentropy": "cross_entropy",
        "categoricalcrossentropy": "cross_entropy",
        "sparsecategoricalcrossentropy": "cross_entropy",
        "softmaxcrossentropy": "cross_entropy",
        "nll": "cross_entropy",
        "binarycrossentropy": "binary_cross_entropy",
        "bce": "binary_cross_entropy",
        "bcewithlogits": "binary_cross_entropy",
        "meansquarederror": "mse",
        "l2": "mse",
        "meanabsoluteerror": "mae",
        "l1": "mae",
        "meanabsolutepercentageerror": "mape",
        "meansquaredlogarithmicerror": "msle",
        "smoothl1": "smooth_l1",
        "categoricalfocalcrossentropy": "focal",
        "binaryfocalcrossentropy": "binary_focal",
        "sigmoidfocal": "binary_focal",
        "kldiv": "kl_divergence",
        "kullbackleiblerdivergence": "kl_divergence",
        "poissonnll": "poisson",
        "cosinesimilarity": "cosine",
        "cosineembedding": "cosine",
        "pinball": "quantile",
        "iou": "jaccard",
        "hingeembedding": "contrastive",
        "multimargin": "categorical_hinge",
        "tripletmargin": "triplet",
        "tripletsemihard": "triplet",
        "ntxent": "nt_xent",
        "infonce": "nt_xent",
        "simclr": "nt_xent",
    },
    "metric": {
        "acc": "accuracy",
        "categoricalaccuracy": "accuracy",
        "sparsecategoricalaccuracy": "accuracy",
        "binaryaccuracy": "accuracy",
        "topkcategoricalaccuracy": "top_k_accuracy",
        "sparsetopkcategoricalaccuracy": "top_k_accuracy",
        "topk": "top_k_accuracy",
        "top5accuracy": "top_k_accuracy",
        "f1score": "f1",
        "fbetascore": "f_beta",
        "sensitivity": "recall",
        "kappa": "cohen_kappa",
        "quadraticweightedkappa": "cohen_kappa",
        "mcc": "matthews",
        "matthewscorrcoef": "matthews",
        "auc": "roc_auc",
        "auroc": "roc_auc",
        "rocaucscore": "roc_auc",
        "averageprecision": "pr_auc",
        "auprc": "pr_auc",
        "brierscore": "brier",
        "subsetaccuracy": "exact_match",
        "crossentropy": "log_loss",
        "binarycrossentropy": "log_loss",
        "categoricalcrossentropy": "log_loss",
        "meanabsoluteerror": "mae",
        "meansquarederror": "mse",
        "rootmeansquarederror": "rmse",
        "meanabsolutepercentageerror": "mape",
        "medae": "median_absolute_error",
        "r2score": "r2",
        "rsquared": "r2",
        "pearsonr": "pearson",
        "pearsoncorrelation": "pearson",
        "jaccard": "iou",
        "jaccardindex": "mean_iou",
        "meaniou": "mean_iou",
        "miou": "mean_iou",
        "dicecoefficient": "dice",
        "bpc": "bits_per_character",
        "mrr": "mean_reciprocal_rank",
        "structuralsimilarity": "ssim",
    },
    "augmentation": {
        "flip": "random_flip",
        "randomhorizontalflip": "random_flip",
        "randomverticalflip": "random_flip",
        "horizontalflip": "random_flip",
        "verticalflip": "random_flip",
        "randomrotation": "random_rotate",
        "rotate": "random_rotate",
        "randomtranslation": "random_translate",
        "randomaffine": "random_rotate",
        "randomscale": "random_zoom",
        "colorjitter": "random_brightness",
        "brightness": "random_brightness",
        "contrast": "random_contrast",
        "saturation": "random_saturation",
        "hue": "random_hue",
        "togray": "random_grayscale",
        "solarize": "random_solarize",
        "posterize": "random_posterize",
        "invert": "random_invert",
        "randomgaussianblur": "gaussian_blur",
        "coarsedropout": "cutout",
        "gaussiannoise": "jitter",
        "noise": "jitter",
        "timemasking": "time_mask",
        "frequencymasking": "frequency_mask",
        "freqmask": "frequency_mask",
        "roll": "time_shift",
        "gain": "random_gain",
        "featuredropout": "random_drop",
    },
    "optimizer": {
        "gradientdescent": "sgd",
        "momentum": "sgd",
        "nesterov": "sgd",
        "adamweightdecay": "adamw",
        "schedulefree": "schedule_free_adamw",
        "adamwschedulefree": "schedule_free_adamw",
        "sgdschedulefree": "schedule_free_sgd",
        "dadaptation": "dadapt_adamw",
        "dadaptadam": "dadapt_adamw",
    },
    "schedule": {
        "cosineannealing": "cosine",
        "cosineannealinglr": "cosine",
        "cosinedecay": "cosine",
        "cosinedecayschedule": "cosine",
        "warmupcosine": "cosine",
        "warmupcosinedecayschedule": "cosine",
        "cosineannealingwarmrestarts": "cosine_restarts",
        "cosinedecayrestarts": "cosine_restarts",
        "sgdr": "cosine_restarts",
        "steplr": "step",
        "multistep": "piecewise",
        "multisteplr": "piecewise",
        "piecewiseconstant": "piecewise",
        "piecewiseconstantdecay": "piecewise",
        "exponentiallr": "exponential",
        "exponentialdecay": "exponential",
        "polynomialdecay": "polynomial",
        "polynomiallr": "polynomial",
        "linearlr": "linear",
        "constantlr": "constant",
        "onecyclelr": "one_cycle",
        "reducelronplateau": "reduce_on_plateau",
        "plateau": "reduce_on_plateau",
        "noam": "inverse_sqrt",
        "rsqrt": "inverse_sqrt",
    },
    "initializer": {
        "xavieruniform": "glorot_uniform",
        "xaviernormal": "glorot_normal",
        "xavier": "glorot_uniform",
        "glorot": "glorot_uniform",
        "kaiminguniform": "he_uniform",
        "kaimingnormal": "he_normal",
        "kaiming": "he_normal",
        "he": "he_normal",
        "lecun": "lecun_normal",
        "randomnormal": "normal",
        "randomuniform": "uniform",
    },
    "constraint": {"nonneg": "non_negative", "nonnegativity": "non_negative"},
}
_WORDS["activation"] = _WORDS["layer"]
_WORDS["merge"] = _WORDS["layer"]

_OPTIONS: dict[str, tuple[str, ...]] = {
    "lr": ("learning_rate", "value", "peak"),
    "out_features": ("units",),
    "num_units": ("units",),
    "hidden_size": ("units", "size"),
    "out_channels": ("filters",),
    "channels": ("filters",),
    "kernel_size": ("kernel",),
    "pool_size": ("window",),
    "size": ("window", "kernel"),
    "stride": ("strides",),
    "dilation_rate": ("dilation",),
    "bias": ("use_bias",),
    "p": ("rate",),
    "eps": ("epsilon",),
    "num_heads": ("heads",),
    "nhead": ("heads",),
    "key_dim": ("head_size",),
    "head_dim": ("head_size",),
    "num_kv_heads": ("kv_heads",),
    "num_key_value_heads": ("kv_heads",),
    "embed_dim": ("size",),
    "d_model": ("size",),
    "dim_feedforward": ("hidden",),
    "intermediate_dim": ("hidden",),
    "input_dim": ("vocabulary",),
    "num_embeddings": ("vocabulary",),
    "vocab_size": ("vocabulary",),
    "output_dim": ("size",),
    "embedding_dim": ("size",),
    "merge_mode": ("merge",),
    "num_groups": ("groups",),
    "num_classes": ("classes",),
    "label_smooth": ("label_smoothing",),
    "weight": ("class_weights", "pos_weight"),
    "ignore_label": ("ignore_index",),
    "beta1": ("b1",),
    "beta_1": ("b1",),
    "beta2": ("b2",),
    "beta_2": ("b2",),
    "max_value": ("value",),
    "beta3": ("b3",),
    "betas": ("b1",),
    "momentum": ("beta",),
    "beta": ("momentum",),
    "alpha": ("decay", "end"),
    "rho": ("decay",),
    "epsilon": ("eps",),
    "weight_decay": ("weight_decay_rate",),
    "clip_threshold": ("clipping_threshold",),
    "d0": ("estim_lr0",),
    "d_coef": ("estim_lr_coef",),
    "base_lr": ("value", "peak"),
    "max_lr": ("peak", "value"),
    "peak_value": ("peak", "value"),
    "peak": ("value",),
    "value": ("peak",),
    "init_value": ("value", "peak"),
    "initial_learning_rate": ("value", "peak"),
    "learning_rate": ("value", "peak"),
    "end_value": ("end",),
    "end_learning_rate": ("end",),
    "eta_min": ("end",),
    "min_lr": ("min_value", "end"),
    "min": ("min_value", "end"),
    "decay_steps": ("length", "every"),
    "total_steps": ("length",),
    "total_iters": ("length",),
    "max_steps": ("length",),
    "t_max": ("length",),
    "steps": ("length", "every"),
    "transition_steps": ("length", "every"),
    "step_size": ("every",),
    "decay_rate": ("factor",),
    "gamma": ("factor", "factors"),
    "milestones": ("boundaries",),
    "t_0": ("period",),
    "first_decay_steps": ("period",),
    "t_mul": ("growth",),
    "t_mult": ("growth",),
    "m_mul": ("factor",),
    "anneal_strategy": ("anneal",),
    "threshold": ("min_delta", "delta", "beta"),
    "warmup_steps": ("warmup",),
    "warmup_epochs": ("warmup",),
    "num_warmup_steps": ("warmup",),
    "warmup_target": ("value", "peak"),
    "n": ("times",),
    "max_epochs": ("epochs",),
    "num_epochs": ("epochs",),
    "n_epochs": ("epochs",),
    "nb_epoch": ("epochs",),
    "batchsize": ("batch_size",),
    "bs": ("batch_size",),
    "validation_split": ("validation",),
    "val_split": ("validation",),
    "val": ("validation",),
    "test_split": ("test",),
    "test_size": ("test",),
    "count": ("times",),
}


TYPE_KEYS = frozenset(("type", "class", "class_name", "_target_", "kind", "module", "op", "layer", "optimizer", "name"))
"""Keys that name a component in other frameworks' configurations."""

OPTIONS_KEYS = frozenset(("config", "params", "kwargs", "options", "args", "init_args"))
"""Keys that hold a component's options there."""

_INFERRED = frozenset(
    ("in_features", "in_channels", "num_features", "input_size", "input_shape", "input_dim", "fan_in")
)


MOST_KNOWN = 2000
"""Names among which the same name with other underscores is looked for: a file may define thousands of blocks."""


def last_part(word: str) -> str:
    """A name without the modules before it.

    >>> last_part("torch.nn.Linear"), last_part("0.5")
    ('Linear', '0.5')
    """
    before, _, last = word.rpartition(".")
    return last if before.replace(".", "").isidentifier() and last.isidentifier() else word


def word_meant(word: str, kind: str, known: Collection[str]) -> str | None:
    """Dlc's name of a component, or None.

    >>> word_meant("nn.Linear", "layer", ["dense"]), word_meant("categorical_crossentropy", "loss", ["cross_entropy"])
    ('dense', 'cross_entropy')
    """
    plain = last_part(word).lower().replace("_", "").replace("-", "")
    few = known if len(known) <= MOST_KNOWN else ()
    same = next((name for name in few if name.replace("_", "") == plain), None)
    names = [*(_WORDS.get(kind, {}).get(key) for key in (plain, plain.removesuffix("loss"))), same]
    return next((name for name in names if name is not None and name in known), None)


def option_meant(key: str, known: Collection[str]) -> str | None:
    """Dlc's name of an option, or None.

    >>> option_meant("lr", ["learning_rate"]), option_meant("lr", ["units"])
    ('learning_rate', None)
    """
    return next((name for name in _OPTIONS.get(key.lower(), ()) if name in known), None)


def option_advice(key: str) -> str | None:
    """The hint for an option of other frameworks that dlc has no need of, or None.

    >>> option_advice("in_channels")
    'remove it: dlc infers it from the input'
    """
    return "remove it: dlc infers it from the input" if key.lower() in _INFERRED else None


def names_elsewhere(word: str, kind: str) -> tuple[str, ...]:
    """What other frameworks call a component of dlc, in lower case without underscores.

    >>> names_elsewhere("concat", "layer")
    ('concatenate', 'cat')
    """
    return tuple(name for name, ours in _WORDS.get(kind, {}).items() if ours == word)
