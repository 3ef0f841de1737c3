"""What other frameworks call things: for hints only, so that a word from Keras or PyTorch leads to dlc's."""

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
        "meanabsoluteerror": "mae",
        "rootmeansquarederror": "rmse",
    },
    "optimizer": {"gradientdescent": "sgd", "momentum": "sgd"},
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
}
_WORDS["activation"] = _WORDS["layer"]
_WORDS["merge"] = _WORDS["layer"]

_OPTIONS: dict[str, tuple[str, ...]] = {
    "lr": ("learning_rate",),
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
    "threshold": ("delta", "beta"),
    "beta1": ("b1",),
    "beta_1": ("b1",),
    "beta2": ("b2",),
    "beta_2": ("b2",),
    "n": ("times",),
    "count": ("times",),
}


def word_meant(word: str, kind: str, known: Collection[str]) -> str | None:
    """Dlc's name of a thing, or None.

    >>> word_meant("Linear", "layer", ["dense"]), word_meant("categorical_crossentropy", "loss", ["cross_entropy"])
    ('dense', 'cross_entropy')
    """
    plain = word.lower().replace("_", "").replace("-", "")
    same = next((name for name in known if name.replace("_", "") == plain), None)
    names = [*(_WORDS.get(kind, {}).get(key) for key in (plain, plain.removesuffix("loss"))), same]
    return next((name for name in names if name is not None and name in known), None)


def option_meant(key: str, known: Collection[str]) -> str | None:
    """Dlc's name of an option, or None.

    >>> option_meant("lr", ["learning_rate"]), option_meant("lr", ["units"])
    ('learning_rate', None)
    """
    return next((name for name in _OPTIONS.get(key.lower(), ()) if name in known), None)
