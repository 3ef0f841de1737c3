"""The vocabulary of layers: one line for each, one class in its family's file."""

from __future__ import annotations

LAYERS: dict[str, str] = {
    "dense": "dlc.layers.dense:Dense",
    "conv2d": "dlc.layers.conv:Conv2D",
    "max_pool2d": "dlc.layers.pooling:MaxPool2D",
    "avg_pool2d": "dlc.layers.pooling:AvgPool2D",
    "global_max_pool2d": "dlc.layers.pooling:GlobalMaxPool2D",
    "global_avg_pool2d": "dlc.layers.pooling:GlobalAvgPool2D",
    "batch_norm": "dlc.layers.norm:BatchNorm",
    "layer_norm": "dlc.layers.norm:LayerNorm",
    "dropout": "dlc.layers.noise:Dropout",
    "flatten": "dlc.layers.shape:Flatten",
    "reshape": "dlc.layers.shape:Reshape",
    "pad_channels": "dlc.layers.shape:PadChannels",
    "add": "dlc.layers.merge:Add",
    "concat": "dlc.layers.merge:Concat",
    "rnn": "dlc.layers.recurrent:Rnn",
    "lstm": "dlc.layers.recurrent:Lstm",
    "gru": "dlc.layers.recurrent:Gru",
    "attention": "dlc.layers.attention:Attention",
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
}

LAYERS.update(ACTIVATIONS)  # an activation is a layer, too

# ready blocks: words that stand for several items
BLOCKS: dict[str, str] = {
    "transformer_encoder": "dlc.layers.transformer:TransformerEncoder",
    "transformer_decoder": "dlc.layers.transformer:TransformerDecoder",
}

MERGES: dict[str, str] = {word: LAYERS[word] for word in ("add", "concat")}
