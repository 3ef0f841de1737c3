"""Metrics of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.components.losses.loss import LossExample
from dlc.components.losses.shape_checks import need_pairs, paired
from dlc.components.metrics.metric import Metric
from dlc.components.value_ranges import ValueRange
from dlc.ir import TensorType
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jnp, lax, np

if TYPE_CHECKING:
    from jax import Array

_RANGE = "distance of the darkest and the brightest value: 1 or 255; default: of the range of the target"


def _need_images(code: str, word: str, output: TensorType, target: TensorType, size: int) -> None:
    """Check images of one shape, (batch, height, width) with or without channels, at least `size` high and wide."""
    need_pairs(code, word, output, target)
    shape = output.shape if output.rank >= target.rank else target.shape
    sides = shape[1:3]
    if target.is_float and len(shape) in (3, 4) and not output.mask and not target.mask:
        if all(not isinstance(side, int) or side >= size for side in sides):
            return
        message, expected = f"`{word}` needs images of at least {size} x {size}", None
        hint = f"`{word}: {{window: {min(side for side in sides if isinstance(side, int))}}}` fits smaller images"
    else:
        message, expected, hint = f"`{word}` compares images", "f32[batch, height, width, channels]", None
    raise RuleViolation(code, message, found=f"output {output}, target {target}", expected=expected, hint=hint)


class Pictured(Metric):
    """Shared by metrics of images whose values lie in a range."""

    ranged = True
    max_value: float | None = main(None, gt=0, description=_RANGE)

    def own_range(self) -> ValueRange | None:
        """From 0 to `max_value`."""
        return ValueRange(0.0, self.max_value) if self.max_value is not None else None

    def within(self, values: ValueRange) -> Metric:
        """The metric with the `max_value` of a range, unless it has one."""
        return self if self.max_value is not None else self.model_copy(update={"max_value": values.span})

    @property
    def peak(self) -> float:
        """The distance of the darkest and the brightest value."""
        return 1.0 if self.max_value is None else self.max_value


class Psnr(Pictured):
    """(batch, height, width, channels) images with images: the mean over images of 10 log10(max_value^2 / mse), in dB.

    The peak signal-to-noise ratio. It is infinite for an exactly predicted image; the mean then has no value. Images
    are compared in the user's unit. By default `max_value` is the span of the range of the target: that of its
    `value_range`, its `scale`, or the values in the training split.
    """

    word = "psnr"
    examples = (
        LossExample("psnr", "f32[batch, 8, 8, 3]", "f32[batch, 8, 8, 3]"),
        LossExample("psnr: 255", "f32[batch, 8, 8]", "f32[batch, 8, 8, 1]"),
        LossExample("psnr", "f32[batch, 3]", "f32[batch, 3]", error="DLC302"),
        LossExample("psnr", "f32[batch, 8, 8, 3]", "i32[batch, 8, 8]<3", error="DLC302"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Images of one shape."""
        _need_images(self.code, self.word, output, target, 1)

    def elements(self, prediction: Array, target: Array) -> Array:
        """The ratio of each image: (batch, 1)."""
        y, t = paired(prediction, target)
        error = (y - t) / self.peak
        largest = jnp.abs(error).max(-1, keepdims=True, initial=0.0)  # its square may leave float32
        mean = jnp.square(error / jnp.where(largest > 0, largest, 1.0)).mean(-1, keepdims=True)
        return -10 * jnp.log10(mean) - 20 * jnp.log10(jnp.where(largest > 0, largest, 1.0))


class Ssim(Pictured):
    """(batch, height, width, channels) images with images: the structural similarity, the mean over images, at most 1.

    With local means m, variances v and covariance c under a Gaussian window of standard deviation 1.5:
    (2 m1 m2 + (0.01 L)^2) (2 c + (0.03 L)^2) / ((m1^2 + m2^2 + (0.01 L)^2) (v1 + v2 + (0.03 L)^2)), L = `max_value`,
    the mean over all positions where the window fits, and channels (Wang et al. 2004, doi:10.1109/TIP.2003.819861).
    By default `max_value` is the span of the range of the target, as for `psnr`.
    """

    word = "ssim"
    window: int = option(11, ge=2, description="height and width of the window")
    examples = (
        LossExample("ssim", "f32[batch, 12, 14, 3]", "f32[batch, 12, 14, 3]"),
        LossExample("ssim: 255", "f32[batch, 12, 12]", "f32[batch, 12, 12, 1]"),
        LossExample("ssim: {window: 7}", "f32[batch, 8, 8, 1]", "f32[batch, 8, 8, 1]"),
        LossExample("ssim", "f32[batch, 8, 8, 1]", "f32[batch, 8, 8, 1]", error="DLC302"),
        LossExample("ssim", "f32[batch, 3]", "f32[batch, 3]", error="DLC302"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Images at least as large as the window."""
        _need_images(self.code, self.word, output, target, self.window)

    def elements(self, prediction: Array, target: Array) -> Array:
        """The similarity of each image: (batch, 1)."""
        shape = prediction.shape if prediction.ndim >= target.ndim else target.shape
        whole = shape if len(shape) == 4 else (*shape, 1)
        x, y = (image.reshape(whole).astype("float32") / self.peak for image in (prediction, target))
        m1, m2 = self._smooth(x), self._smooth(y)
        both = self._smooth(x * x + y * y) - m1 * m1 - m2 * m2
        together = self._smooth(x * y) - m1 * m2
        first, second = 0.01**2, 0.03**2
        light = (2 * m1 * m2 + first) / (m1 * m1 + m2 * m2 + first)
        structure = (2 * together + second) / (both + second)
        return (light * structure).mean((1, 2, 3))[:, None]

    def _smooth(self, image: Array) -> Array:
        """The Gaussian mean around each position where the window fits, per channel."""
        batch, height, width, channels = image.shape
        far = np.arange(self.window) - (self.window - 1) / 2
        bell = np.exp(-(far**2) / (2 * 1.5**2))
        bell = (bell / bell.sum()).astype("float32")
        x = jnp.moveaxis(image, 3, 1).reshape(batch * channels, 1, height, width)
        for taps in (bell.reshape(1, 1, -1, 1), bell.reshape(1, 1, 1, -1)):
            x = lax.conv_general_dilated(x, jnp.asarray(taps), (1, 1), "VALID", precision="highest")
        return jnp.moveaxis(x.reshape(batch, channels, *x.shape[2:]), 1, 3)
