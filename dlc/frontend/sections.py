"""The sections `data` and `train`: where records come from, and how long and in what batches to train."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from dlc.components.callbacks.callback import Callback
from dlc.components.registry import KINDS
from dlc.components.sources.source import Source as DataSource
from dlc.diagnostics import did_you_mean
from dlc.language.aliases import option_meant
from dlc.language.options import (
    OptionError,
    Options,
    flow,
    main,
    option,
    reject,
    short_form,
    spell,
    word_field,
    words_field,
)
from dlc.support.amounts import bytes_in


def _share(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, float) and 0 <= value < 1:
        return value
    if isinstance(value, str) and value.strip():
        return value.strip()
    expected = "a share below 1, or a number of records"
    raise reject(OptionError((), "DLC104", "not a valid size of a split", found=spell(value), expected=expected))


def _batch_size(value: Any) -> Any:
    if value == "full" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    expected = "a number of examples, or `full`"
    hint = did_you_mean(value, ("full",)) if isinstance(value, str) else None
    raise reject(OptionError((), "DLC104", "not a valid batch size", found=spell(value), expected=expected, hint=hint))


def _memory(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    found = bytes_in(value) if isinstance(value, str) else None
    if found:
        return found
    expected = "`512 MB`, `4 GiB`, a number of bytes, or `auto`"
    raise reject(OptionError((), "DLC104", "not a valid amount of memory", found=spell(value), expected=expected))


def _workers(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_WORKERS):
        return value
    expected = f"a number from 0 to {MOST_WORKERS}, or `auto`"
    raise reject(OptionError((), "DLC104", "not a valid number of workers", found=spell(value), expected=expected))


MOST_WORKERS = 256
Workers = Annotated[int | Literal["auto"], BeforeValidator(_workers)]
Memory = Annotated[int | Literal["auto"], BeforeValidator(_memory)]
BatchSize = Annotated[int | Literal["full"], BeforeValidator(_batch_size)]
Share = Annotated[float | int | str, BeforeValidator(_share)]
Callbacks = Annotated[tuple[Callback, ...], words_field(lambda: KINDS["callback"].table, "callback")]
DataWord = Annotated[DataSource, word_field(lambda: KINDS["source"].table, "source")]


class Split(Options):
    """How records are divided: shares below 1, or numbers of records; what is left is the training split.

    With `column` the data say what each record is for: `{column: part, validation: val, test: test}`.
    """

    validation: Share = option(0, description="part held out to watch the training; with `column` its value there")
    test: Share = option(0, description="part held out for the final figures; with `column` its value there")
    column: str | None = option(None, min_length=1, description="a column whose values tell the splits apart")
    time: str | None = option(
        None, min_length=1, description="a column of dates or numbers: the latest records are held out"
    )
    folds: int | None = option(
        None, ge=2, description="divide into so many parts, one of which is the test split: `dlc train --folds` sets it"
    )
    fold: int = option(1, ge=1, description="which of the `folds` is the test split, counted from 1")
    seed: int = option(0, ge=0, lt=2**32, description="seed of the division, independent of the seed of the run")
    shuffle: bool = option(True, description="divide at random; else the last records are held out")
    stratify: str | None = option(
        None, min_length=1, description="a column: each split gets its share of the records of each value"
    )
    group: str | None = option(
        None, min_length=1, description="a column: records with the same value are in the same split"
    )

    @model_validator(mode="before")
    @classmethod
    def _values(cls, data: Any) -> Any:
        """With `column` a number is a value of it, 0 as well."""
        if not isinstance(data, dict) or data.get("column") is None:
            return data
        named = {name: data[name] for name in ("validation", "test") if name in data}
        plain = {name: value for name, value in named.items() if isinstance(value, (bool, int, float))}
        return {**data, **{name: str(value).lower() for name, value in plain.items()}}

    @property
    def parts(self) -> dict[str, str]:
        """The value in `column` of the records of each split that is held out."""
        held = {"validation": self.validation, "test": self.test}
        return {name: str(value) for name, value in held.items() if value} if self.column is not None else {}

    @model_validator(mode="after")
    def _by_column(self) -> Split:
        for name in ("validation", "test"):
            if self.column is None and isinstance(getattr(self, name), str):
                hint = "to name a value of a column, add `column: NAME`"
                expected, found = "a share below 1, or a number of records", spell(getattr(self, name))
                message = "not a valid size of a split"
                raise reject(OptionError((name,), "DLC104", message, found=found, expected=expected, hint=hint))
        if self.column is not None and not self.parts:
            message, hint = "`column` holds out nothing", "write the value of the test split: `test: VALUE`"
            raise reject(OptionError(("column",), "DLC303", message, hint=hint, at_key=True))
        rule = next((name for name in ("column", "time") if getattr(self, name) is not None), None)
        for name in ("time", "stratify", "group", "folds") if rule is not None else ():
            if name != rule and getattr(self, name) is not None:
                message, hint = f"`{name}` has no effect with `{rule}`", "remove one of them"
                raise reject(OptionError((name,), "DLC303", message, hint=hint, at_key=True))
        return self

    @model_validator(mode="after")
    def _one_of_them(self) -> Split:
        if self.folds is None and self.fold != 1:
            message, hint = "`fold` has no effect without `folds`", "remove it"
            raise reject(OptionError(("fold",), "DLC303", message, hint=hint, at_key=True))
        if self.folds is not None and self.fold > self.folds:
            expected = f"a number from 1 to {self.folds}"
            raise reject(OptionError(("fold",), "DLC104", "there is no such fold", f"`{self.fold}`", expected))
        if self.folds is not None and self.test:
            message, hint = "`test` has no effect with `folds`: one fold is the test split", "remove one of them"
            raise reject(OptionError(("test",), "DLC303", message, hint=hint, at_key=True))
        return self


class WindowOptions(Options):
    """Which windows of a series are records."""

    stride: int = main(1, ge=1, description="rows from one window to the next")
    evaluation_stride: int | None = option(
        None, ge=1, description="the same for the validation and test split; default: `stride`"
    )
    history: bool = option(
        False, description="whether the inputs of the validation and test split may begin in an earlier split"
    )
    series: str | None = option(
        None, min_length=1, description="a column: rows with the same value are a series of their own"
    )


class Data(Options):
    """Where records come from."""

    @classmethod
    def advice(cls, key: str) -> str | None:
        """Where a key of another section stands."""
        return None if option_meant(key, cls.model_fields) else belongs(key)

    source: DataWord = main(description="where the records come from")
    validation: DataWord | None = option(None, description="a source of its own for the validation split")
    test: DataWord | None = option(None, description="a source of its own for the test split")
    split: Split = option(Split(), description="how the records are divided")
    windows: Annotated[WindowOptions, short_form(WindowOptions)] = option(
        WindowOptions(), description="which windows are records, if features read several rows"
    )
    memory: Memory = option(
        "auto", description="the memory for records, such as `4 GB`; more than that is read while training"
    )
    workers: Workers = option(
        "auto", description="threads that decode files; 0 decodes on the main thread, `auto` uses one per processor"
    )
    on_bad_record: Literal["stop", "skip"] = option(
        "stop",
        description="action if a record can't be read, such as a damaged picture: stop, or leave out such records and "
        "list them",
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        for word in KINDS["source"].table:
            if isinstance(data, dict) and word in data:
                source = word if data[word] is None else flow({word: data[word]})
                hint = f"write `source: {source}`"
                raise reject(
                    OptionError((word,), "DLC101", f"unknown option `{word}` of `data`", hint=hint, at_key=True)
                )
        return data

    def splits(self) -> tuple[str, ...]:
        """The splits that exist."""
        test = self.test or self.split.test or self.split.folds
        held = {"validation": self.validation or self.split.validation, "test": test}
        return ("train", *(name for name, part in held.items() if part))


class EarlyStopping(Options):
    """Stop when the monitored value has not improved for `patience` epochs."""

    monitor: str | None = option(None, description="SPLIT/METRIC; that of `train.monitor` when left out")
    patience: int = option(5, ge=1, description="epochs without improvement")
    min_delta: float = option(0.0, ge=0, description="the smallest change that counts as an improvement")


class Keep(Options):
    """Which checkpoints stay: the newest, and those that the policy names."""

    last: int = main(2, ge=1, description="how many of the newest")
    best: bool = option(False, description="that of the best epoch, too; one is written whenever an epoch is the best")
    every: int | None = option(None, ge=1, description="those at every so many epochs, too, for good")


_OPTIMIZER = {
    "learning_rate": "adam: {learning_rate: 1e-3}",
    "weight_decay": "adamw: {weight_decay: 0.01}",
    "momentum": "sgd: {momentum: 0.9}",
    "clip_norm": "adam: 1e-3, clip_norm: 1.0",
    "accumulate": "adam: 1e-3, accumulate: 4",
    "ema": "adam: 1e-3, ema: 0.999",
    "freeze": 'adam: 1e-3, freeze: "PATTERN"',
}
_OTHER_NAMES = {
    "lr": "learning_rate",
    "gradient_clip_val": "clip_norm",
    "max_grad_norm": "clip_norm",
    "grad_clip": "clip_norm",
    "accumulate_grad_batches": "accumulate",
    "gradient_accumulation_steps": "accumulate",
}


def belongs(key: str) -> str | None:
    """The hint for a key in the wrong section: where it stands in a spec; None for a key that stands nowhere.

    >>> belongs("validation_split")
    'it stands in `data`, as in `data: {split: {validation: ...}}`'
    >>> belongs("lr")
    'it belongs to the optimizer, as in `optimizer: {adam: {learning_rate: 1e-3}}`'
    """
    from dlc.language.loader import SECTIONS  # a trained run needs the sections, but no YAML

    own = _OTHER_NAMES.get(key, key)
    if own in _OPTIMIZER:
        return f"it belongs to the optimizer, as in `optimizer: {{{_OPTIMIZER[own]}}}`"
    if key in SECTIONS:
        return f"`{key}` is a section of its own, at the top of the file"
    for form, cls in _FORMS:
        name = key if key in cls.model_fields else option_meant(key, cls.model_fields)
        if name is not None:
            where = form.format(name)
            return f"it stands in `{where.partition(':')[0]}`, as in `{where}`"
    return None


class Train(Options):
    """How long and in what portions to train."""

    @classmethod
    def advice(cls, key: str) -> str | None:
        """Where a key stands that other frameworks pass to their training function."""
        if key in ("verbose", "progress_bar", "enable_progress_bar"):
            return "remove it: `dlc train --quiet` prints only the result"
        return None if option_meant(key, cls.model_fields) else belongs(key)

    epochs: int = option(10, ge=1, description="passes over the training split")
    batch_size: BatchSize = option(32, description="examples a step; `full` takes the whole split")
    steps_per_epoch: int | None = option(
        None, ge=1, description="steps of an epoch; default: one pass over the training split"
    )
    shuffle: bool = option(True, description="draw a new order for every epoch")
    balance: str | None = option(
        None, min_length=1, description="a target of classes: every epoch has equally many examples of each class"
    )
    monitor: str | None = option(
        None, description="SPLIT/METRIC that decides which weights are best; validation/loss when left out"
    )
    early_stopping: EarlyStopping | None = option(None, description="stop when nothing improves")
    on_nan: Literal["stop", "skip", "rollback"] = option(
        "stop",
        description="action if a loss is not finite: stop, skip the step, or return to an earlier state and skip the "
        "steps that led there",
    )
    checkpoint_every: int = option(1, ge=1, description="epochs between checkpoints")
    checkpoint_seconds: float = option(
        2.0, ge=0, description="minimum seconds between two checkpoints; one that is due earlier is omitted"
    )
    keep_checkpoints: Annotated[Keep, short_form(Keep)] = option(Keep(), description="which checkpoints stay")
    tensorboard: bool = option(
        False, description="write TensorBoard events into the run folder; needs dlc[tensorboard]"
    )

    memory: Memory = option(
        "auto", description="the memory for training, such as `64 GiB`; `auto` is the memory of this machine"
    )
    callbacks: Callbacks = option((), description="a callback, or a list of them: what else happens at each epoch")

    @model_validator(mode="after")
    def _balanced(self) -> Train:
        if self.balance is not None and not self.shuffle:
            message, hint = "`balance` draws examples at random", "remove `shuffle: false`"
            raise reject(OptionError(("balance",), "DLC104", message, hint=hint, at_key=True))
        return self

    @model_validator(mode="after")
    def _lasting(self) -> Train:
        every = self.keep_checkpoints.every
        if every is not None and every % self.checkpoint_every:
            written = "after each epoch" if self.checkpoint_every == 1 else f"every {self.checkpoint_every} epochs"
            expected = f"a multiple of `checkpoint_every`: checkpoints are written {written}"
            place = ("keep_checkpoints", "every")
            raise reject(
                OptionError(place, "DLC104", "there are no such checkpoints to keep", f"`every: {every}`", expected)
            )
        return self


_FORMS: tuple[tuple[str, type[Options]], ...] = (
    ("data: {{split: {{{}: ...}}}}", Split),
    ("train: {{{}: ...}}", Train),
    ("train: {{early_stopping: {{{}: ...}}}}", EarlyStopping),
    ("data: {{{}: ...}}", Data),
)
