"""Tasks whose inputs are pictures."""

from __future__ import annotations

from dlc.diagnostics import plural
from dlc.language.options import RuleViolation
from dlc.tasks.looking_at_pictures import Pictures, look_at_pictures
from dlc.tasks.task import PARTS, Given, Page, Task, class_name, length, need_classes, need_records

_SHOWN = 3  # files in a comment


class PictureTask(Task):
    """Shared by tasks of pictures."""

    reads = "a folder of pictures, or files in the IDX format"

    def page(self, given: Given, seen: Pictures) -> tuple[Page, int]:
        """The beginning of a spec, up to its section `data`; and the number of records for training.

        Raises:
            RuleViolation: DLC405 when there are too few pictures.
        """
        total = sum(seen.counts.values())
        need_records(total, "pictures", given.data)
        origin = f"Written for {seen.seen}."
        if given.data is None:
            origin = f"It trains as it is, on {seen.seen}; `--data FOLDER` writes one for your pictures."
        page = Page(type(self), origin)
        lines: list[str | tuple[str, str]] = ["data:"]
        lines += [f"  {option}: {seen.sources[option]}" for option in PARTS if option in seen.sources]
        held = [option for option in ("validation", "test") if option not in seen.sources]
        parts = [f"{option}: 0.15" for option in held]
        parts += [f"stratify: {seen.label}"] if seen.classes and held else []
        if held:
            comment = "shares of the pictures; each split has its share of each class" if seen.classes else ""
            lines.append((f"  split: {{{', '.join(parts)}}}", comment))
        if seen.bad:
            shown = "; ".join(seen.bad[:_SHOWN]) + ("; ..." if len(seen.bad) > _SHOWN else "")
            lines.append(("  on_bad_record: skip", f"{plural(len(seen.bad), 'file')} can't be read: {shown}"))
        page.section(*lines)
        return page, int(seen.counts["source"] * (1 - 0.15 * len(held)))


class ImageClassification(PictureTask):
    """Image classification: a convolutional network that assigns a class to a picture."""

    word = "image_classification"
    reads = "a folder with a folder of pictures for each class, or files in the IDX format"

    def write(self, given: Given) -> str:
        """Stages that halve the picture, then one number for each filter."""
        seen = look_at_pictures(given)
        hint = "move the pictures of each class into a folder of its own"
        if not seen.classes:
            message = f"the pictures of `{given.data}` have no classes"
            raise RuleViolation("DLC402", message, expected="a folder for each class", hint=hint)
        need_classes(seen.classes, f"`{given.data}`", hint)
        page, count = self.page(given, seen)
        feature = seen.feature
        if seen.column != "image":
            feature = feature.replace("}}", f", column: {seen.column}}}}}")
        page.section((f"inputs: {{image: {feature}}}", _size_comment(seen)))
        names = [class_name(name) for name in seen.classes]
        if names == [str(number) for number in range(len(names))]:
            page.line(f"targets: {{{seen.label}: {{category: {len(names)}}}}}", f"0 to {len(names) - 1}")
        else:
            page.items(f"targets: {{{seen.label}: {{category: [", names, "]}}")
        stages = _halvings(min(seen.size[:2]), least=4, most=3)
        convolution = "conv2d: {filters: $width, kernel: 3, padding: same, use_bias: false}"
        page.section(
            "blocks:",
            ("  stage:", "half the height and width"),
            "    params: {width: int}",
            f"    layers: [{convolution}, batch_norm: 0.9, relu, max_pool2d: 2]",
        )
        filters = [min(128, 16 << index) for index in range(stages)]
        page.section("network:", *(f"  - stage: {number}" for number in filters))
        page.line(f"  - conv2d: {{filters: {2 * filters[-1]}, kernel: 3, padding: same, activation: relu}}")
        page.line("  - global_avg_pool2d", "one number per filter, for any size of the picture")
        page.line("  - dropout: 0.2")
        page.line(f"  - dense: {len(names)}", "one logit per class")
        page.section(
            "loss: cross_entropy",
            "metrics: [accuracy]",
            "optimizer: {adamw: {learning_rate: {cosine: {peak: 3e-3, warmup: 10%}}, weight_decay: 1e-2}}",
            f"train: {{{length(count)}, early_stopping: {{patience: 10}}}}",
        )
        return page.text()


class Autoencoder(PictureTask):
    """Autoencoder: a network that compresses a picture into a short code and restores it."""

    word = "autoencoder"
    noise: float | None = None

    def write(self, given: Given) -> str:
        """Two convolutions that halve the picture, a dense code, and the way back."""
        seen = look_at_pictures(given, multiple=4)
        seen = seen._replace(classes=())
        page, count = self.page(given, seen)
        height, width, channels = seen.size
        rows, columns = height // 4, width // 4
        code = min(64, max(8, height * width * channels // 32))
        page.section((f"inputs: {{image: {seen.feature}}}", _size_comment(seen)))
        page.section("network:")
        if self.noise is not None:
            page.line(f"  - gaussian_noise: {self.noise}", "only in training: the picture to restore has no noise")
        down, up = "kernel: 3, strides: 2, padding: same, activation: relu", "conv2d_transpose"
        page.line(f"  - conv2d: {{filters: 16, {down}}}", "half the height and width")
        page.line(f"  - conv2d: {{filters: 32, {down}}}")
        page.line("  - flatten")
        page.line(f"  - dense: {code}", "the code")
        page.line("    name: code")
        page.line(f"  - dense: {{units: {rows * columns * 32}, activation: relu}}")
        page.line(f"  - reshape: [{rows}, {columns}, 32]")
        page.line(f"  - {up}: {{filters: 32, {down}}}", "twice the height and width")
        page.line(f"  - {up}: {{filters: 16, {down}}}")
        page.line(f"  - conv2d: {{filters: {channels}, kernel: 3, padding: same, activation: sigmoid}}", "0 to 1")
        page.section(
            ("loss: [{mse: , target: image}]", "the squared difference from the input itself"),
            "metrics: [{mae: , target: image}]",
            "optimizer: {adam: {learning_rate: {cosine: 2e-3}}}",
            f"train: {{{length(count)}}}",
        )
        return page.text()


class DenoisingAutoencoder(Autoencoder):
    """Denoising autoencoder: a network that removes noise from pictures."""

    word = "denoising_autoencoder"
    noise = 0.3


def _size_comment(seen: Pictures) -> str:
    height, width, channels = seen.size
    return f"{height} x {width} pixels, {'gray' if channels == 1 else 'color'}"


def _halvings(side: int, least: int, most: int) -> int:
    """How often a side can be halved until it is about `least`; at least once."""
    found = 1
    while found < most and side >> (found + 1) >= least:
        found += 1
    return found
