"""The vocabulary of layers: one line for each, one class in its family's file."""

from __future__ import annotations

LAYERS: dict[str, str] = {
    "dense": "dlc.layers.dense:Dense",
    "conv1d": "dlc.layers.conv:Conv1D",
    "conv2d": "dlc.layers.conv:Conv2D",
    "conv3d": "dlc.layers.conv:Conv3D",
    "conv1d_transpose": "dlc.layers.conv:Conv1DTranspose",
    "conv2d_transpose": "dlc.layers.conv:Conv2DTranspose",
    "conv3d_transpose": "dlc.layers.conv:Conv3DTranspose",
    "depthwise_conv1d": "dlc.layers.conv:DepthwiseConv1D",
    "depthwise_conv2d": "dlc.layers.conv:DepthwiseConv2D",
    "separable_conv1d": "dlc.layers.conv:SeparableConv1D",
    "separable_conv2d": "dlc.layers.conv:SeparableConv2D",
    "max_pool1d": "dlc.layers.pooling:MaxPool1D",
    "max_pool2d": "dlc.layers.pooling:MaxPool2D",
    "max_pool3d": "dlc.layers.pooling:MaxPool3D",
    "avg_pool1d": "dlc.layers.pooling:AvgPool1D",
    "avg_pool2d": "dlc.layers.pooling:AvgPool2D",
    "avg_pool3d": "dlc.layers.pooling:AvgPool3D",
    "global_max_pool1d": "dlc.layers.pooling:GlobalMaxPool1D",
    "global_max_pool2d": "dlc.layers.pooling:GlobalMaxPool2D",
    "global_max_pool3d": "dlc.layers.pooling:GlobalMaxPool3D",
    "global_avg_pool1d": "dlc.layers.pooling:GlobalAvgPool1D",
    "global_avg_pool2d": "dlc.layers.pooling:GlobalAvgPool2D",
    "global_avg_pool3d": "dlc.layers.pooling:GlobalAvgPool3D",
    "adaptive_avg_pool1d": "dlc.layers.pooling:AdaptiveAvgPool1D",
    "adaptive_avg_pool2d": "dlc.layers.pooling:AdaptiveAvgPool2D",
    "adaptive_avg_pool3d": "dlc.layers.pooling:AdaptiveAvgPool3D",
    "upsample1d": "dlc.layers.resizing:Upsample1D",
    "upsample2d": "dlc.layers.resizing:Upsample2D",
    "upsample3d": "dlc.layers.resizing:Upsample3D",
    "resize": "dlc.layers.resizing:Resize",
    "pixel_shuffle": "dlc.layers.resizing:PixelShuffle",
    "patches": "dlc.layers.resizing:Patches",
    "zero_pad1d": "dlc.layers.resizing:ZeroPad1D",
    "zero_pad2d": "dlc.layers.resizing:ZeroPad2D",
    "zero_pad3d": "dlc.layers.resizing:ZeroPad3D",
    "crop1d": "dlc.layers.resizing:Crop1D",
    "crop2d": "dlc.layers.resizing:Crop2D",
    "crop3d": "dlc.layers.resizing:Crop3D",
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
