"""The vocabulary of objectives: one line for each, one class in its family's file."""

from __future__ import annotations

LOSSES: dict[str, str] = {
    "cross_entropy": "dlc.objectives.losses:CrossEntropy",
    "binary_cross_entropy": "dlc.objectives.losses:BinaryCrossEntropy",
    "mse": "dlc.objectives.losses:MeanSquaredError",
}

METRICS: dict[str, str] = {
    "accuracy": "dlc.objectives.classification_metrics:Accuracy",
    "top_k_accuracy": "dlc.objectives.classification_metrics:TopKAccuracy",
    "exact_match": "dlc.objectives.classification_metrics:ExactMatch",
    "hamming_loss": "dlc.objectives.classification_metrics:HammingLoss",
    "log_loss": "dlc.objectives.classification_metrics:LogLoss",
    "brier": "dlc.objectives.classification_metrics:Brier",
    "mean_reciprocal_rank": "dlc.objectives.classification_metrics:MeanReciprocalRank",
    "balanced_accuracy": "dlc.objectives.counting_metrics:BalancedAccuracy",
    "precision": "dlc.objectives.counting_metrics:Precision",
    "recall": "dlc.objectives.counting_metrics:Recall",
    "specificity": "dlc.objectives.counting_metrics:Specificity",
    "f1": "dlc.objectives.counting_metrics:F1",
    "f_beta": "dlc.objectives.counting_metrics:FBeta",
    "cohen_kappa": "dlc.objectives.counting_metrics:CohenKappa",
    "matthews": "dlc.objectives.counting_metrics:Matthews",
    "iou": "dlc.objectives.counting_metrics:IoU",
    "mean_iou": "dlc.objectives.counting_metrics:MeanIoU",
    "dice": "dlc.objectives.counting_metrics:Dice",
    "roc_auc": "dlc.objectives.ranking_metrics:RocAuc",
    "pr_auc": "dlc.objectives.ranking_metrics:PrAuc",
    "mae": "dlc.objectives.regression_metrics:MeanAbsoluteError",
    "mse": "dlc.objectives.regression_metrics:MeanSquaredError",
    "rmse": "dlc.objectives.regression_metrics:RootMeanSquaredError",
    "mape": "dlc.objectives.regression_metrics:MeanAbsolutePercentageError",
    "smape": "dlc.objectives.regression_metrics:SymmetricMeanAbsolutePercentageError",
    "mase": "dlc.objectives.regression_metrics:MeanAbsoluteScaledError",
    "median_absolute_error": "dlc.objectives.regression_metrics:MedianAbsoluteError",
    "max_error": "dlc.objectives.regression_metrics:MaxError",
    "r2": "dlc.objectives.moment_metrics:R2",
    "explained_variance": "dlc.objectives.moment_metrics:ExplainedVariance",
    "pearson": "dlc.objectives.moment_metrics:Pearson",
    "perplexity": "dlc.objectives.language_metrics:Perplexity",
    "bits_per_character": "dlc.objectives.language_metrics:BitsPerCharacter",
    "psnr": "dlc.objectives.image_metrics:Psnr",
    "ssim": "dlc.objectives.image_metrics:Ssim",
    "expression": "dlc.objectives.expression_metric:Expression",
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
