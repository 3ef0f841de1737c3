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
        "The path does not exist, is a directory, or you lack the permission to read it. The command exits with code"
        " 2, because nothing was checked.",
    ),
    "DLC002": Code(
        "a file is not UTF-8 text",
        "A spec must be YAML text encoded in UTF-8. Binary files and other encodings are rejected.",
    ),
    "DLC003": Code(
        "a file is too large",
        "A spec may have at most 1 MiB. Keep data in data files.",
    ),
    "DLC004": Code(
        "a file contains no spec",
        "The file is empty, or its top level is not a mapping of sections such as `network:`.",
    ),
    "DLC005": Code(
        "invalid YAML",
        "Common causes are an unclosed bracket or quote, wrong indentation, and a missing colon or a missing space "
        "after it.",
    ),
    "DLC006": Code(
        "a line is indented with a tab",
        "YAML forbids tabs in indentation. Configure your editor to use spaces in YAML files.",
    ),
    "DLC007": Code(
        "a key is duplicated",
        "Most YAML readers silently keep the last value. Remove one of the two keys.",
    ),
    "DLC008": Code(
        "a file is nested too deeply",
        "Mappings and lists may be nested 64 levels deep.",
    ),
    "DLC009": Code(
        "aliases expand too far",
        "After aliases (`*name`) and variables are expanded, a file may hold at most 100,000 values. An alias can't "
        "contain itself.",
    ),
    "DLC010": Code(
        "a value is ambiguous",
        "YAML 1.1 reads `017` as octal 15, YAML 1.2 as 17. Write `17` or `0o17`, or quote the value if you mean a "
        "string.",
    ),
    "DLC011": Code(
        "a YAML feature is not supported",
        "Specs can't use tags (`!!python/...`), merge keys (`<<`), or several documents in one file.",
    ),
    "DLC101": Code(
        "unknown key",
        "dlc ignores nothing: a key that it does not know would have no effect, so it is an error. `dlc layers NAME`"
        " lists the options of a component.",
    ),
    "DLC102": Code(
        "a required key is missing",
        "The reported position is that of the item or section that lacks the key.",
    ),
    "DLC103": Code(
        "a value has the wrong type",
        "For example, a string where a number is expected. In YAML 1.2, `yes`, `no`, `on` and `off` are strings.",
    ),
    "DLC104": Code(
        "a value is not allowed",
        "The type is right, but the value is outside the range or the choices of the option.",
    ),
    "DLC105": Code(
        "unknown component",
        "There is no layer, loss, metric, optimizer, schedule, feature, source or block of this name. `dlc layers` "
        "lists them all.",
    ),
    "DLC106": Code(
        "an item is malformed",
        "Write an item as a name (`flatten`), in short form (`dense: 10`), or as a name with its options (`dense: "
        "{units: 10}`). Keys that all items accept (`name`, `inputs`, ...) stand beside the name, at the same "
        "indentation.",
    ),
    "DLC107": Code(
        "unknown variable",
        "`$name` refers to a key of `vars:`. Inside a block it refers to one of the block's parameters.",
    ),
    "DLC108": Code(
        "invalid arithmetic or formula",
        "`$( ... )` accepts numbers, variables, `+ - * / // %`, parentheses and the functions min, max, abs, round, "
        "floor and ceil. A `formula` computes with arrays; `dlc layers formula` lists the functions that it accepts.",
    ),
    "DLC109": Code(
        "a variable, parameter or anchor is never used",
        "It has no effect. Delete it or use it.",
    ),
    "DLC110": Code(
        "`--set` does not match the file",
        "The path in `--set a.b=value` follows the keys of the file. Select an item of a list by its index or its "
        "`name`.",
    ),
    "DLC111": Code(
        "`extends` can't be resolved",
        "The base file is missing, or files extend each other in a cycle.",
    ),
    "DLC112": Code(
        "invalid use of a block",
        "Every argument must be a parameter of the block and of the declared type, and all required parameters must "
        "be given.",
    ),
    "DLC113": Code(
        "blocks form a cycle",
        "A block may use other blocks, but not itself, neither directly nor through others.",
    ),
    "DLC114": Code(
        "a block is never used",
        "It has no effect. Delete it or use it.",
    ),
    "DLC115": Code(
        "a section that the command needs is missing",
        "To train, a spec needs `data`, `targets`, `loss` and `optimizer`.",
    ),
    "DLC116": Code(
        "unsupported language version",
        "This version of dlc reads specs with `dlc: 1`.",
    ),
    "DLC117": Code(
        "the expanded network is too large",
        "A network may have at most 20,000 layers after blocks are expanded, and repeats inside of each other at most "
        "1,000,000 iterations in all. Blocks that use other blocks several times grow quickly.",
    ),
    "DLC118": Code(
        "a plugin is not allowed",
        "`plugins:` names Python modules, and loading one runs its code. To allow it, pass `--allow-plugins`, call "
        "`dlc.allow_plugins()`, or list the module in your configuration.",
    ),
    "DLC119": Code(
        "a plugin can't be used",
        "Its module can't be imported, or its tables (`LAYERS`, `LOSSES`, ...) don't refer to subclasses of dlc's "
        "base classes.",
    ),
    "DLC120": Code(
        "a component of a plugin failed",
        "One of its methods raised an exception, or returned something else than its base class requires. The message "
        "names the component, the method and the line of the plugin.",
    ),
    "DLC121": Code(
        "a block replaces a component",
        "A block of the file has the name of a component. Every use in the file means the block, except inside the "
        "block itself. This is only a note, to keep the file valid if dlc later adds a component of that name.",
    ),
    "DLC201": Code(
        "unknown name",
        "`inputs`, `outputs`, `share` and merge layers refer to the `name:` of an earlier item in scope, to a key of"
        " the section `inputs:`, or to `previous`.",
    ),
    "DLC202": Code(
        "a name is duplicated",
        "Names identify the weights, so each must be unique in its scope. `previous` is reserved.",
    ),
    "DLC203": Code(
        "a size must be known",
        "The shapes of the layer's weights depend on a size that is not a number but a symbol, such as `time`.",
    ),
    "DLC204": Code(
        "wrong number of axes",
        "For example, `conv2d` expects images but gets the vector of a dense layer.",
    ),
    "DLC205": Code(
        "sizes don't match",
        "Two shapes that must agree don't, or a window is larger than its input.",
    ),
    "DLC206": Code(
        "wrong number of inputs",
        "Most layers take one input; a merge layer takes at least two.",
    ),
    "DLC207": Code(
        "wrong element type",
        "For example, the layer computes with real numbers but gets integer class indices.",
    ),
    "DLC208": Code(
        "a layer is never used",
        "Its result reaches no output, so it would be computed without being used.",
    ),
    "DLC209": Code(
        "an input is never used",
        "No layer reads this input of the network.",
    ),
    "DLC210": Code(
        "ambiguous outputs",
        "If there are several outputs or targets, each loss and metric must specify its `output` and `target`. An "
        "augmentation must specify the inputs and targets that it changes.",
    ),
    "DLC211": Code(
        "weights can't be shared",
        "`share` needs an earlier item in scope whose weights have the same names, shapes and element types.",
    ),
    "DLC212": Code(
        "a layer doesn't support masks",
        "A sequence of varying length has a mask that separates data from padding. This layer would mix the two. "
        "Reduce the time axis before it, or use a layer that supports masks.",
    ),
    "DLC213": Code(
        "a layer can't be decoded step by step",
        "Decoding passes a sequence through the network position by position. This layer's result at a position "
        "depends on later positions, as in attention that is not causal or a bidirectional recurrent layer.",
    ),
    "DLC214": Code(
        "a layer failed to compute its result",
        "The `apply` function of the layer raised an exception, or returned another shape or element type than its "
        "`infer` declared. If the layer comes from a plugin, fix it there. The first note names the layer of the "
        "network.",
    ),
    "DLC215": Code(
        "`masking` compares values that are not those of the data",
        "The layer marks the positions whose elements all equal a number. After `normalize`, `scale`, an augmentation "
        "or a random layer, padding no longer equals it, or data do. Declare the padding where the data are: `tensor: "
        "{padding: VALUE}` finds it before anything changes the values.",
    ),
    "DLC217": Code(
        "there is a single element to normalize",
        "A norm, a softmax or attention compares elements with each other. A single element has none to compare with: "
        "softmax gives 1, and a norm gives 0 or a sign. Batch norm compares the examples of a batch, so it needs more "
        "than one example or position.",
    ),
    "DLC218": Code(
        "training needs more memory than there is",
        "The weights, their gradients, what the optimizer keeps for each weight, and the values of one batch that the "
        "gradients need take more memory than this machine has. This is a lower bound; `dlc show --memory` predicts "
        "the memory of a step. If the spec is for another machine, set `train.memory` to the memory of that one.",
    ),
    "DLC301": Code(
        "a loss doesn't fit its output and target",
        "For example, the output has 8 logits but the target has 10 classes.",
    ),
    "DLC302": Code(
        "a metric doesn't fit its output and target",
        "For example, `accuracy` of a real-valued target.",
    ),
    "DLC303": Code(
        "a setting has no effect",
        "For example, `nesterov` without momentum, or a warmup that is longer than the run.",
    ),
    "DLC304": Code(
        "a target or column is never used",
        "No loss or metric reads it.",
    ),
    "DLC305": Code(
        "the monitored value does not exist",
        "`monitor` is `SPLIT/METRIC`, such as `validation/loss`. The spec must have this split and this metric.",
    ),
    "DLC313": Code(
        "values have another range than a component needs",
        "For example, `poisson` of a target that is normalized to mean 0, or `random_brightness` for values of 0 to 1 "
        "of an image of 0 to 255. A feature's range is its `value_range`, 0 to its `scale`, or that of the training "
        "split.",
    ),
    "DLC317": Code(
        "a threshold can't be fitted",
        "`threshold: best_f1` of a target selects the probability with the best F1 on the validation split, after every"
        " epoch. Declare such a split, or set `threshold` to a number.",
    ),
    "DLC320": Code(
        "there is nothing to learn",
        "For example, `triplet`, `nt_xent`, `mixup` and `cutmix` compare or mix the examples of a batch, so a batch of "
        "one leaves them without effect. Two towers that share weights give the same value for the same input. A loss "
        "that depends on no trained weight can't be reduced.",
    ),
    "DLC321": Code(
        "a schedule ends before the run",
        "A schedule that ends before the run leaves a learning rate of 0, so that the rest of the run learns nothing. "
        "Without `length`, a schedule ends with the run.",
    ),
    "DLC322": Code(
        "splits share their records",
        "A split that is evaluated has the same source as another one. Metrics on training records don't show how well "
        "the network does on new data.",
    ),
    "DLC330": Code(
        "an input reveals a target",
        "`dlc check --data` found an input that reads the column of a target, or a column with the same values under "
        "the same or other names. A network that gets the answer as an input learns nothing else, and is of no use for "
        "records without the answer.",
    ),
    "DLC401": Code(
        "data can't be read",
        "The file is missing, damaged or in another format than expected.",
    ),
    "DLC402": Code(
        "a column is missing",
        "A feature reads the column of its own name, or the one that its option `column` names.",
    ),
    "DLC403": Code(
        "a value can't be read",
        "The value does not fit the feature, for example a string in a column of numbers. The message names the first "
        "row, and how often each such value occurs.",
    ),
    "DLC404": Code(
        "unknown class",
        "The column contains a value that is not one of the declared classes.",
    ),
    "DLC405": Code(
        "too few examples",
        "Each declared split must contain at least one example, and one group if records are divided by `group`.",
    ),
    "DLC406": Code(
        "data has another shape than declared",
        "A record must have exactly the number of elements that the feature's `shape` declares.",
    ),
    "DLC410": Code(
        "values are missing",
        "`dlc check --data` found empty fields or NaN. It is a warning if more than half of the values are missing: "
        "what replaces them then says little about the records.",
    ),
    "DLC411": Code(
        "a column is constant",
        "`dlc check --data` found a column with the same value in all records. An input that never changes says "
        "nothing about the target.",
    ),
    "DLC412": Code(
        "a class has no records to learn from",
        "`dlc check --data` found a declared class that no record has, or one that only other splits than the training "
        "split have.",
    ),
    "DLC413": Code(
        "classes have very different numbers of records",
        "`dlc check --data` found a class with at least ten times as many records as another one. Accuracy is then "
        "high for a network that never predicts the smaller class.",
    ),
    "DLC414": Code(
        "how many records there are",
        "`dlc check --data` counts the records of each split, those that are left out, and what is noteworthy about "
        "the division.",
    ),
    "DLC501": Code(
        "the run folder is in use",
        "dlc never overwrites a run. Continue it with `--resume`, or choose another folder.",
    ),
    "DLC502": Code(
        "no such run",
        "The path is not a run folder of `dlc train`, or the run has no weights yet.",
    ),
    "DLC503": Code(
        "a file of a run is damaged",
        "Its digest does not match, or a part is missing. If there is an older checkpoint, dlc uses it.",
    ),
    "DLC504": Code(
        "a run can't be resumed with these settings",
        "A resumed run needs the same spec, data and platform. Some settings may change, such as `train.epochs` (but"
        " not to fewer than were begun), `train.early_stopping` and `data.memory`.",
    ),
    "DLC505": Code(
        "another process is training in this folder",
        "Two processes in one run folder would damage it.",
    ),
    "DLC506": Code(
        "an optional package is not installed",
        "The message names the extra to install.",
    ),
    "DLC507": Code(
        "a file can't be written",
        "The disk is full, you lack the permission, or there is a folder at the path of the file.",
    ),
    "DLC508": Code(
        "training diverged",
        "The loss, a gradient or a weight became infinite or not a number. dlc repeats the steps since the newest "
        "checkpoint to find the first such value, and keeps the checkpoint. `train.on_nan` selects what happens "
        "instead.",
    ),
    "DLC509": Code(
        "an export differs from its source",
        "The exported artifact was loaded again and computed other numbers, so it was deleted.",
    ),
    "DLC510": Code(
        "a command can't be carried out",
        "The value of an option does not fit the run or the file.",
    ),
    "DLC511": Code(
        "a callback failed",
        "A callback of `train.callbacks` raised an exception. A checkpoint was written before the run ended: correct"
        " the callback, or remove it, and continue with `--resume`.",
    ),
    "DLC512": Code(
        "a resource ran out",
        "The process could not get more memory, threads or file descriptors. A limit of the shell (`ulimit -a`), of the"
        " container or of the machine was reached. Raise the limit, or use a smaller network, batch or data set.",
    ),
    "DLC513": Code(
        "too little memory to start",
        "Commands that compute load JAX, which needs address space for its libraries and threads. The limit of the"
        " process (`ulimit -v`) leaves less. `dlc check` needs far less.",
    ),
    "DLC514": Code(
        "an environment that JAX does not accept",
        "An environment variable of JAX or XLA, such as `JAX_PLATFORMS` or `XLA_FLAGS`, has a value that they refuse."
        " Correct the variable, or unset it.",
    ),
    "DLC900": Code(
        "an internal error",
        "This is a bug in dlc. Please report it with the spec and the printed text.",
    ),
}
