"""The table of diagnostic codes: a title and the explanation that `dlc explain CODE` prints.

0xx: reading a file; 1xx: the language; 2xx: the graph and its shapes; 3xx: objectives; 4xx: data; 5xx: runs;
9xx: dlc itself.
"""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """A code's title and its explanation."""

    title: str
    text: str


CODES: dict[str, Code] = {
    "DLC001": Code(
        "a file can't be read",
        "The path does not exist, is a directory, or may not be read. Commands exit with 2 then: nothing was checked.",
    ),
    "DLC002": Code(
        "a file is not UTF-8 text", "A spec is a YAML text in UTF-8. Binary files and other encodings stop here."
    ),
    "DLC003": Code(
        "a file is too large", "Specs are capped at 1 MiB: hand-written files stay far below. Keep data in data files."
    ),
    "DLC004": Code(
        "a file holds no spec", "The file is empty, or its top level is not a mapping of sections such as `network:`."
    ),
    "DLC005": Code(
        "the YAML doesn't parse",
        "A bracket or quote that is never closed, a wrong indentation, a missing colon or space after it.",
    ),
    "DLC006": Code(
        "a tab indents a line", "YAML forbids tabs in indentation. Set the editor to spaces for YAML files."
    ),
    "DLC007": Code("a key is given twice", "Most YAML readers keep the last one in silence; dlc wants one."),
    "DLC008": Code("a file nests too deeply", "Collections may nest 64 deep."),
    "DLC009": Code(
        "aliases expand too far",
        "Aliases (`*name`) are allowed, but the expanded file may hold at most 100,000 values, "
        "variables included, and an alias can't hold itself.",
    ),
    "DLC010": Code(
        "a value is ambiguous",
        "YAML 1.1 reads `017` as fifteen, YAML 1.2 as seventeen. Write 17, 0o17, or quote the text.",
    ),
    "DLC011": Code(
        "a YAML feature isn't part of the language",
        "Tags (`!!python/...`), merge keys (`<<`) and several documents in a file.",
    ),
    "DLC101": Code(
        "a key isn't known",
        "Nothing is ignored: a key that dlc does not know is an error, for it would have no effect. "
        "`dlc layers NAME` lists a layer's options.",
    ),
    "DLC102": Code("a required key is missing", "The position is that of the thing that lacks the key."),
    "DLC103": Code(
        "a value has the wrong type",
        "For example a text where a number belongs. YAML 1.2 reads `yes`, `no`, `on` and `off` as text.",
    ),
    "DLC104": Code("a value isn't allowed", "The type is right, the value is outside of what the option accepts."),
    "DLC105": Code(
        "a name of the vocabulary isn't known",
        "No layer, loss, metric, optimizer, schedule, feature, source or block has this name.",
    ),
    "DLC106": Code(
        "an item is malformed",
        "An item is a bare word (`flatten`), a short form (`dense: 10`) or a single key with its options "
        "(`dense: {units: 10}`), with the common keys beside it (`name`, `inputs`, ...).",
    ),
    "DLC107": Code(
        "a variable isn't known", "`$name` refers to a key of `vars:`, or inside a block to one of its parameters."
    ),
    "DLC108": Code(
        "an expression is wrong",
        "`$( ... )` knows numbers, variables, `+ - * / // %`, parentheses and the functions "
        "min, max, abs, round, floor, ceil. The formula of an `formula` works element by element on arrays: "
        "`dlc layers formula` lists what it knows.",
    ),
    "DLC109": Code(
        "a variable, parameter or anchor is never used", "A setting without effect is an error; delete it or use it."
    ),
    "DLC110": Code(
        "`--set` names no place",
        "`--set a.b=value` follows the keys of the file; lists are entered by number or by an item's `name`.",
    ),
    "DLC111": Code("`extends` can't be followed", "The base file is missing, or files extend each other in a circle."),
    "DLC112": Code(
        "a block is used wrongly",
        "The arguments must be parameters of the block, of the declared types, and required ones must be given.",
    ),
    "DLC113": Code(
        "blocks use each other in a circle", "A block may use other blocks, but not itself, directly or through others."
    ),
    "DLC114": Code("a block is never used", "A setting without effect is an error; delete the block or use it."),
    "DLC115": Code(
        "the file lacks a section that the command needs", "Training needs `data`, `targets`, `loss` and `optimizer`."
    ),
    "DLC116": Code("the language version isn't known", "This dlc reads files with `dlc: 1`."),
    "DLC117": Code(
        "the expanded network is too large",
        "Blocks that use blocks many times over can grow a small file beyond reason; 20,000 layers are allowed.",
    ),
    "DLC118": Code(
        "a plugin is not allowed",
        "`plugins:` names Python modules, and loading one runs its code. dlc does so only when you say "
        "`--allow-plugins`, call `dlc.allow_plugins()`, or list the module in your configuration.",
    ),
    "DLC119": Code(
        "a plugin can't be used",
        "Its module can't be imported, or its tables (`LAYERS`, `LOSSES`, ...) don't lead to classes of dlc.",
    ),
    "DLC201": Code(
        "a name isn't known",
        "`inputs`, `outputs`, `share` and merges refer to the `name:` of an earlier item that is in scope, "
        "to a key of `inputs:`, or to `previous`.",
    ),
    "DLC202": Code(
        "a name is given twice", "Names key the weights; in one scope each must be unique, and `previous` is taken."
    ),
    "DLC203": Code(
        "a size must be known",
        "The layer's weights depend on a size that is not a number but a symbol, such as `time`.",
    ),
    "DLC204": Code(
        "the number of axes is wrong", "For example a dense network's vector given to conv2d, which takes images."
    ),
    "DLC205": Code(
        "sizes don't agree", "Two shapes that must match do not, or a window is larger than what it slides over."
    ),
    "DLC206": Code("the number of inputs is wrong", "Most layers take one value, a merge takes at least two."),
    "DLC207": Code(
        "the element type is wrong", "For example class numbers where the layer computes with real numbers."
    ),
    "DLC208": Code("a layer is never used", "Its result reaches no output: it would be computed for nothing."),
    "DLC209": Code("an input is never used", "The network declares an input that no layer reads."),
    "DLC210": Code(
        "the outputs are unclear",
        "A loss, metric or output must say which output and target it means when there are several, an augmentation "
        "which values.",
    ),
    "DLC211": Code(
        "weights can't be shared",
        "`share` needs an earlier item in scope with the same weights: same names, shapes and types.",
    ),
    "DLC212": Code(
        "a layer can't honour a mask",
        "A sequence of varying length travels with a mask that tells padding from data. A layer that would mix the two "
        "is an error: reduce the time axis before it, or use a layer that knows masks.",
    ),
    "DLC301": Code("a loss doesn't fit its output and target", "For example 8 logits against a target of 10 classes."),
    "DLC302": Code("a metric doesn't fit its output and target", "For example accuracy of a real-valued target."),
    "DLC303": Code(
        "a setting would have no effect",
        "For example nesterov without momentum, or a warm-up that is longer than the run.",
    ),
    "DLC304": Code("a target or column is never used", "A target that no loss or metric reads."),
    "DLC305": Code(
        "the monitored value does not exist",
        "`monitor` names `SPLIT/METRIC`, such as `validation/loss`, of a split and metric that the file has.",
    ),
    "DLC401": Code("data can't be read", "The file is missing or not of the expected kind."),
    "DLC402": Code(
        "a column is missing", "A feature reads the column of its own name, or the one that its `column` option names."
    ),
    "DLC403": Code(
        "a value can't be read as its feature", "For example a text in a column of numbers. The row is named."
    ),
    "DLC404": Code("a class isn't known", "The column holds a value that is not one of the declared classes."),
    "DLC405": Code("there are too few examples", "Every declared split must hold at least one example."),
    "DLC406": Code(
        "data has another shape than declared", "The feature's `shape` must hold exactly the elements of a record."
    ),
    "DLC501": Code(
        "the run folder is in use", "A run is never overwritten: continue it with `--resume`, or choose another folder."
    ),
    "DLC502": Code(
        "there is no such run", "The path is not a run folder of `dlc train`, or the run has no weights yet."
    ),
    "DLC503": Code(
        "a run's file is damaged",
        "Its digest does not match, or a part is missing. An older checkpoint is used when there is one.",
    ),
    "DLC504": Code(
        "a run can't go on as another",
        "A resumed run must be the same run: the same spec but for settings such as `train.epochs` (not to fewer than"
        " were begun), `train.early_stopping` and `data.memory`, the same data, the same platform.",
    ),
    "DLC505": Code("another process is training in this folder", "Two processes in one run folder would damage it."),
    "DLC506": Code("an optional package is not installed", "The message names the extra to install."),
    "DLC507": Code("a file can't be written", "No space, no permission, or a folder stands where the file should go."),
    "DLC508": Code(
        "training diverged",
        "The loss, a gradient or a weight became infinite or not a number. The steps since the newest checkpoint were"
        " done again to find where it began. The newest checkpoint is kept; `train.on_nan` says what else may happen.",
    ),
    "DLC509": Code(
        "an export differs from its source", "The artifact was loaded again and gave other numbers; it was not kept."
    ),
    "DLC510": Code(
        "a command can't be carried out as asked",
        "An option's value does not fit the run or the file that it is used on.",
    ),
    "DLC511": Code(
        "a callback failed",
        "A callback of `train.callbacks` raised an exception. A checkpoint was written before the run ended: correct"
        " the callback, or remove it, and continue with `--resume`.",
    ),
    "DLC900": Code(
        "an internal error", "This is a bug in dlc. Please report it with the spec and the text that is printed."
    ),
}
