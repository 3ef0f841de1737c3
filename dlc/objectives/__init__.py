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
    "sgd": "dlc.objectives.momentum:Sgd",
    "sign_sgd": "dlc.objectives.momentum:SignSgd",
    "signum": "dlc.objectives.momentum:Signum",
    "lion": "dlc.objectives.momentum:Lion",
    "rprop": "dlc.objectives.momentum:Rprop",
    "optimistic_gradient_descent": "dlc.objectives.momentum:OptimisticGradientDescent",
    "optimistic_adam": "dlc.objectives.momentum:OptimisticAdam",
    "adagrad": "dlc.objectives.adaptive:Adagrad",
    "adadelta": "dlc.objectives.adaptive:Adadelta",
    "rmsprop": "dlc.objectives.adaptive:RmsProp",
    "adam": "dlc.objectives.adam:Adam",
    "adamw": "dlc.objectives.adam:AdamW",
    "nadam": "dlc.objectives.adam_variants:NAdam",
    "nadamw": "dlc.objectives.adam_variants:NAdamW",
    "amsgrad": "dlc.objectives.adam_variants:AmsGrad",
    "radam": "dlc.objectives.adam_variants:RAdam",
    "adamax": "dlc.objectives.adam_variants:Adamax",
    "adamaxw": "dlc.objectives.adam_variants:AdamaxW",
    "adabelief": "dlc.objectives.adam_variants:AdaBelief",
    "yogi": "dlc.objectives.adam_variants:Yogi",
    "adan": "dlc.objectives.adam_variants:Adan",
    "ademamix": "dlc.objectives.adam_variants:AdEMAMix",
    "adopt": "dlc.objectives.adam_variants:Adopt",
    "adafactor": "dlc.objectives.factored:Adafactor",
    "sm3": "dlc.objectives.factored:Sm3",
    "lamb": "dlc.objectives.layerwise:Lamb",
    "lars": "dlc.objectives.layerwise:Lars",
    "novograd": "dlc.objectives.layerwise:NovoGrad",
    "fromage": "dlc.objectives.layerwise:Fromage",
    "muon": "dlc.objectives.muon:Muon",
    "schedule_free_adamw": "dlc.objectives.averaged:ScheduleFreeAdamW",
    "schedule_free_sgd": "dlc.objectives.averaged:ScheduleFreeSgd",
    "madgrad": "dlc.objectives.averaged:MadGrad",
    "prodigy": "dlc.objectives.parameter_free:Prodigy",
    "dadapt_adamw": "dlc.objectives.parameter_free:DAdaptAdamW",
    "dog": "dlc.objectives.parameter_free:DoG",
    "dowg": "dlc.objectives.parameter_free:DoWG",
    "cocob": "dlc.objectives.parameter_free:Cocob",
}

SCHEDULES: dict[str, str] = {
    "constant": "dlc.objectives.decays:Constant",
    "linear": "dlc.objectives.decays:Linear",
    "polynomial": "dlc.objectives.decays:Polynomial",
    "exponential": "dlc.objectives.decays:Exponential",
    "cosine": "dlc.objectives.decays:Cosine",
    "inverse_sqrt": "dlc.objectives.decays:InverseSqrt",
    "step": "dlc.objectives.stairs:Step",
    "piecewise": "dlc.objectives.stairs:Piecewise",
    "cosine_restarts": "dlc.objectives.cycles:CosineRestarts",
    "one_cycle": "dlc.objectives.cycles:OneCycle",
    "reduce_on_plateau": "dlc.objectives.plateau:ReduceOnPlateau",
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
