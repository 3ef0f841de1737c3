"""The vocabulary of objectives: one line for each, one class in its family's file."""

from __future__ import annotations

LOSSES: dict[str, str] = {
    "cross_entropy": "dlc.objectives.classification:CrossEntropy",
    "binary_cross_entropy": "dlc.objectives.classification:BinaryCrossEntropy",
    "focal": "dlc.objectives.focal:Focal",
    "binary_focal": "dlc.objectives.focal:BinaryFocal",
    "poly": "dlc.objectives.focal:Poly",
    "hinge": "dlc.objectives.margins:Hinge",
    "squared_hinge": "dlc.objectives.margins:SquaredHinge",
    "categorical_hinge": "dlc.objectives.margins:CategoricalHinge",
    "perceptron": "dlc.objectives.margins:Perceptron",
    "mse": "dlc.objectives.regression:MeanSquaredError",
    "mae": "dlc.objectives.regression:MeanAbsoluteError",
    "huber": "dlc.objectives.robust:Huber",
    "smooth_l1": "dlc.objectives.robust:SmoothL1",
    "log_cosh": "dlc.objectives.robust:LogCosh",
    "mape": "dlc.objectives.regression:MeanAbsolutePercentageError",
    "msle": "dlc.objectives.regression:MeanSquaredLogarithmicError",
    "cosine": "dlc.objectives.embeddings:Cosine",
    "quantile": "dlc.objectives.robust:Quantile",
    "kl_divergence": "dlc.objectives.probabilistic:KLDivergence",
    "poisson": "dlc.objectives.probabilistic:Poisson",
    "gaussian_nll": "dlc.objectives.probabilistic:GaussianNLL",
    "laplace_nll": "dlc.objectives.probabilistic:LaplaceNLL",
    "dice": "dlc.objectives.overlap:Dice",
    "jaccard": "dlc.objectives.overlap:Jaccard",
    "tversky": "dlc.objectives.overlap:Tversky",
    "contrastive": "dlc.objectives.embeddings:Contrastive",
    "triplet": "dlc.objectives.embeddings:Triplet",
    "nt_xent": "dlc.objectives.embeddings:NTXent",
    "ctc": "dlc.objectives.sequences:CTC",
    "expression": "dlc.objectives.formula:Expression",
}

METRICS: dict[str, str] = {
    "accuracy": "dlc.objectives.metrics:Accuracy",
    "mae": "dlc.objectives.metrics:MeanAbsoluteError",
    "rmse": "dlc.objectives.metrics:RootMeanSquaredError",
}

OPTIMIZERS: dict[str, str] = {
    "sgd": "dlc.objectives.optimizers:Sgd",
    "adam": "dlc.objectives.optimizers:Adam",
    "adamw": "dlc.objectives.optimizers:AdamW",
}

SCHEDULES: dict[str, str] = {
    "constant": "dlc.objectives.schedules:Constant",
    "cosine": "dlc.objectives.schedules:Cosine",
}

INITIALIZERS: dict[str, str] = {
    "zeros": "dlc.objectives.initializers:Zeros",
    "ones": "dlc.objectives.initializers:Ones",
    "constant": "dlc.objectives.initializers:Constant",
    "normal": "dlc.objectives.initializers:Normal",
    "truncated_normal": "dlc.objectives.initializers:TruncatedNormal",
    "uniform": "dlc.objectives.initializers:Uniform",
    "variance_scaling": "dlc.objectives.initializers:VarianceScaling",
    "glorot_uniform": "dlc.objectives.initializers:GlorotUniform",
    "glorot_normal": "dlc.objectives.initializers:GlorotNormal",
    "he_uniform": "dlc.objectives.initializers:HeUniform",
    "he_normal": "dlc.objectives.initializers:HeNormal",
    "lecun_uniform": "dlc.objectives.initializers:LecunUniform",
    "lecun_normal": "dlc.objectives.initializers:LecunNormal",
    "orthogonal": "dlc.objectives.initializers:Orthogonal",
    "forget_bias": "dlc.objectives.initializers:ForgetBias",
    "identity": "dlc.objectives.initializers:Identity",
}
