"""The vocabulary of objectives: one line for each, one class in its family's file."""

from __future__ import annotations

LOSSES: dict[str, str] = {
    "cross_entropy": "dlc.objectives.losses:CrossEntropy",
    "binary_cross_entropy": "dlc.objectives.losses:BinaryCrossEntropy",
    "mse": "dlc.objectives.losses:MeanSquaredError",
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
