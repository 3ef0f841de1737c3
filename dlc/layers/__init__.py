"""The vocabulary of layers: one line for each, one class in its family's file."""

from __future__ import annotations

LAYERS: dict[str, str] = {
    "dense": "dlc.layers.dense:Dense",
    "einsum_dense": "dlc.layers.dense:EinsumDense",
    "scale": "dlc.layers.dense:Scale",
    "l2_normalize": "dlc.layers.norm:L2Normalize",
    "conv2d": "dlc.layers.conv:Conv2D",
    "max_pool2d": "dlc.layers.pooling:MaxPool2D",
    "avg_pool2d": "dlc.layers.pooling:AvgPool2D",
    "global_max_pool2d": "dlc.layers.pooling:GlobalMaxPool2D",
    "global_avg_pool2d": "dlc.layers.pooling:GlobalAvgPool2D",
    "batch_norm": "dlc.layers.norm:BatchNorm",
    "layer_norm": "dlc.layers.norm:LayerNorm",
    "group_norm": "dlc.layers.norm:GroupNorm",
    "instance_norm": "dlc.layers.norm:InstanceNorm",
    "rms_norm": "dlc.layers.norm:RMSNorm",
    "dropout": "dlc.layers.noise:Dropout",
    "spatial_dropout1d": "dlc.layers.noise:SpatialDropout1D",
    "spatial_dropout2d": "dlc.layers.noise:SpatialDropout2D",
    "spatial_dropout3d": "dlc.layers.noise:SpatialDropout3D",
    "drop_path": "dlc.layers.noise:DropPath",
    "gaussian_noise": "dlc.layers.noise:GaussianNoise",
    "gaussian_dropout": "dlc.layers.noise:GaussianDropout",
    "alpha_dropout": "dlc.layers.noise:AlphaDropout",
    "prelu": "dlc.layers.activations:PRelu",
    "glu": "dlc.layers.activations:Glu",
    "swiglu": "dlc.layers.activations:SwiGlu",
    "embedding": "dlc.layers.embedding:Embedding",
    "learned_positions": "dlc.layers.embedding:LearnedPositions",
    "sinusoidal_positions": "dlc.layers.embedding:SinusoidalPositions",
    "rotary_positions": "dlc.layers.embedding:RotaryPositions",
    "class_token": "dlc.layers.embedding:ClassToken",
    "tie": "dlc.layers.embedding:Tie",
    "expression": "dlc.layers.expression:Expression",
    "gaussian_sample": "dlc.layers.sample:GaussianSample",
    "flatten": "dlc.layers.shape:Flatten",
    "reshape": "dlc.layers.shape:Reshape",
    "permute": "dlc.layers.shape:Permute",
    "repeat_vector": "dlc.layers.shape:RepeatVector",
    "slice": "dlc.layers.shape:Slice",
    "squeeze": "dlc.layers.shape:Squeeze",
    "expand_dims": "dlc.layers.shape:ExpandDims",
    "masking": "dlc.layers.shape:Masking",
    "add": "dlc.layers.merge:Add",
    "subtract": "dlc.layers.merge:Subtract",
    "multiply": "dlc.layers.merge:Multiply",
    "average": "dlc.layers.merge:Average",
    "maximum": "dlc.layers.merge:Maximum",
    "minimum": "dlc.layers.merge:Minimum",
    "dot": "dlc.layers.merge:Dot",
    "concat": "dlc.layers.merge:Concat",
    "stack": "dlc.layers.merge:Stack",
}

ACTIVATIONS: dict[str, str] = {
    "linear": "dlc.layers.activations:Linear",
    "step": "dlc.layers.activations:Step",
    "sigmoid": "dlc.layers.activations:Sigmoid",
    "hard_sigmoid": "dlc.layers.activations:HardSigmoid",
    "tanh": "dlc.layers.activations:Tanh",
    "relu": "dlc.layers.activations:Relu",
    "relu6": "dlc.layers.activations:Relu6",
    "leaky_relu": "dlc.layers.activations:LeakyRelu",
    "elu": "dlc.layers.activations:Elu",
    "selu": "dlc.layers.activations:Selu",
    "gelu": "dlc.layers.activations:Gelu",
    "silu": "dlc.layers.activations:Silu",
    "hard_silu": "dlc.layers.activations:HardSilu",
    "mish": "dlc.layers.activations:Mish",
    "softplus": "dlc.layers.activations:Softplus",
    "softsign": "dlc.layers.activations:Softsign",
    "softmax": "dlc.layers.activations:Softmax",
    "log_softmax": "dlc.layers.activations:LogSoftmax",
    "celu": "dlc.layers.activations:Celu",
    "exponential": "dlc.layers.activations:Exponential",
    "log_sigmoid": "dlc.layers.activations:LogSigmoid",
    "hard_tanh": "dlc.layers.activations:HardTanh",
    "tanh_shrink": "dlc.layers.activations:TanhShrink",
    "soft_shrink": "dlc.layers.activations:SoftShrink",
    "hard_shrink": "dlc.layers.activations:HardShrink",
    "squareplus": "dlc.layers.activations:Squareplus",
}

LAYERS.update(ACTIVATIONS)  # an activation is a layer, too

BLOCKS: dict[str, str] = {}  # ready blocks: words that stand for several items

MERGES: dict[str, str] = {
    word: LAYERS[word]
    for word in ("add", "subtract", "multiply", "average", "maximum", "minimum", "dot", "concat", "stack")
}
