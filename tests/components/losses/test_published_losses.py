"""Losses against PyTorch, or their published formulas differentiated by PyTorch, over fifty steps of descent."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlc.components.losses import LOSSES
from tests.components.building import loss
from tests.components.losses.published_losses import GIVEN

TORCH: dict[str, tuple[float, float, float, float]] = {
    "mse": (1.025471946, 0.1909852862, 0.7174925412, 0.9770590311),
    "mae": (0.9175327457, 0.5325139427, 0.4166666667, 1.063491305),
    "huber: 0.7": (0.4193086, 0.268698181, 0.2916666667, 1.195834806),
    "smooth_l1: 0.7": (0.5990122857, 0.3034890432, 0.4166666667, 1.096920908),
    "log_cosh": (0.4208304465, 0.2441142767, 0.3317521593, 1.216351833),
    "mape": (119.3896477, 48.80311563, 3.065409818, 2.764624597),
    "msle": (0.1238983481, 0.09434842216, 2.091953206, 3.439870273),
    "quantile: [0.1, 0.5, 0.9]": (0.5866150183, 0.4663989689, 0.02777777778, 0.08704510331),
    "cross_entropy": (1.363734755, 0.7694433573, -0.1087241552, -0.2552403602),
    "cross_entropy: {label_smoothing: 0.1, class_weights: [0.5, 2, 1]}": (
        1.345839549,
        0.7702054306,
        -0.08410418949,
        -0.1858406533,
    ),
    "cross_entropy: {label_smoothing: 0.1, class_weights: [0.5, 2, 1], weighted_mean: false}": (
        1.607624006,
        1.310083025,
        0.20842689,
        -0.1346237892,
    ),
    "binary_cross_entropy: {pos_weight: 3}": (1.757720151, 1.234866307, 0.539195962, 1.692571074),
    "focal: {gamma: 1.5, alpha: [0.2, 0.3, 0.5]}": (0.2922592299, 0.1964659808, -0.05447314932, -0.1813228028),
    "binary_focal": (0.0384384306, 0.0381489213, 0.01838109206, 1.483499102),
    "binary_focal: {alpha: null, gamma: 1.5}": (0.1258284407, 0.1233066769, 0.0534286605, 1.497640809),
    "binary_focal: {soft_targets: averaged}": (0.07318203198, 0.07023210107, -0.008111165448, 1.45111969),
    "poly: 1.5": (2.472114162, 1.215409175, -0.1726983951, -0.3146115485),
    "hinge": (1.259354095, 0.9468540947, 0.4166666667, 1.480157971),
    "squared_hinge": (2.515277767, 0.468448743, 0.5684431018, 1.480157971),
    "categorical_hinge": (1.908208683, 0.2718392826, 0, -0.1629548967),
    "perceptron": (0.5790494482, 0.3707161148, 0.1497501284, 1.448486686),
    "cosine": (0.4597131808, 0.3400263861, 0.2163169295, -1.454938093),
    "kl_divergence": (0.8263363509, 0.5097930682, 0.5035440931, -0.173411827),
    "poisson": (0.9655694218, 0.5285959255, 0.6483889211, 0.9598142937),
    "gaussian_nll: {full: true}": (2.687518811, 1.157782487, 0.2282232954, -1.601968174),
    "laplace_nll: {full: true}": (2.521411402, 1.027284405, 0.2096045236, -1.670418305),
    "dice": (0.4243186449, 0.4062526253, -0.02161808041, -1.518786988),
    "jaccard": (0.4890108459, 0.4748872832, -0.01686582938, -1.520804355),
    "tversky": (0.3287918789, 0.3176252095, -0.01745540161, -1.514000966),
    "contrastive: 2": (5.371217578, 0.005416894876, -0.4994435977, 1.4978863),
    "triplet: 2": (0.7385526587, 0, -0.0631397729, -1.576455353),
    "triplet: {mining: hard, margin: 2}": (3.073950714, 1.508564068, 0.2918361996, -1.749691498),
    "nt_xent: 0.5": (1.398289081, 0.8161174156, 0.7820509413, 1.335773806),
    "ctc": (6.092053079, 2.12291094, -0.1753163446, -1.561357386),
    "ctc: {per_token: true}": (2.03068436, 1.44255427, -0.06655909665, -1.507358679),
    "formula: 'abs(prediction - target) ** 1.5'": (0.9559283765, 0.3339851959, 0.6061759319, 0.9882416899),
}
"""The loss before and after 50 steps of size 0.1 on the output, and its first and last element then, in float64.

PyTorch has `mse`, `mae`, `huber`, `smooth_l1`, `cross_entropy`, `binary_cross_entropy`, `kl_divergence`,
`poisson`, `gaussian_nll`, `triplet` of given triplets and `ctc`; torchvision `binary_focal`. The others are their
formulas, written in PyTorch: `mape`, `msle`, `log_cosh`, `quantile` (Koenker and Bassett 1978), `focal` (Lin et al.
2017), `poly` (Leng et al. 2022), `hinge`, `squared_hinge`, `categorical_hinge` (Crammer and Singer 2001), `perceptron`,
`cosine`, `laplace_nll`, `dice`, `jaccard`, `tversky` (Salehi et al. 2017), `contrastive` (Hadsell et al. 2006),
`triplet` with `hard` (Hermans et al. 2017) and `nt_xent` (Chen et al. 2020).
`python -m benchmarks.pytorch_references` computes all of them."""


def test_every_loss_is_compared() -> None:
    assert set(TORCH) == set(GIVEN)
    assert {spec.split(":")[0] for spec in GIVEN} == set(LOSSES)


@pytest.mark.few()
@pytest.mark.parametrize("spec", TORCH)
def test_a_loss_descends_as_in_pytorch(spec: str) -> None:
    made, (output, target) = loss(spec), GIVEN[spec]

    def mean(y: Any) -> Any:
        found = made.apply(y, target)
        return found.total.sum() / found.weight.sum()

    def step(y: Any) -> Any:
        value, gradient = jax.value_and_grad(mean)(y)
        return value, y - 0.1 * gradient

    compiled, y = jax.jit(step), jnp.asarray(output)
    before = float(compiled(y)[0])
    for _ in range(50):
        _, y = compiled(y)
    found = [before, float(compiled(y)[0]), float(y.ravel()[0]), float(y.ravel()[-1])]
    np.testing.assert_allclose(found, TORCH[spec], rtol=1e-5, atol=3e-6)
