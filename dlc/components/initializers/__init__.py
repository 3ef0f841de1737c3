"""The table of initializers: a line for each, which names its class."""

from __future__ import annotations

INITIALIZERS: dict[str, str] = {
    "zeros": "dlc.components.initializers.distributions:Zeros",
    "ones": "dlc.components.initializers.distributions:Ones",
    "constant": "dlc.components.initializers.distributions:Constant",
    "normal": "dlc.components.initializers.distributions:Normal",
    "truncated_normal": "dlc.components.initializers.distributions:TruncatedNormal",
    "uniform": "dlc.components.initializers.distributions:Uniform",
    "triangular": "dlc.components.initializers.distributions:Triangular",
    "variance_scaling": "dlc.components.initializers.distributions:VarianceScaling",
    "glorot_uniform": "dlc.components.initializers.distributions:GlorotUniform",
    "glorot_normal": "dlc.components.initializers.distributions:GlorotNormal",
    "he_uniform": "dlc.components.initializers.distributions:HeUniform",
    "he_normal": "dlc.components.initializers.distributions:HeNormal",
    "lecun_uniform": "dlc.components.initializers.distributions:LecunUniform",
    "lecun_normal": "dlc.components.initializers.distributions:LecunNormal",
    "orthogonal": "dlc.components.initializers.distributions:Orthogonal",
    "forget_bias": "dlc.components.initializers.distributions:ForgetBias",
    "identity": "dlc.components.initializers.distributions:Identity",
    "pytorch": "dlc.components.initializers.frameworks:Pytorch",
    "keras": "dlc.components.initializers.frameworks:Keras",
}
