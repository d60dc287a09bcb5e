//! The rules that the phases themselves apply: text, names, shapes, data files, verdicts.
//!
//! Lints have a file each under `lints/`; what stands here cannot be switched off because the phase that
//! reports it has no product without it.

use super::rules;

rules! {
    /// The file cannot be read as a spec.
    ///
    /// It is missing, empty, larger than 8 MiB, or not UTF-8. Nothing else can be said about it, and the run
    /// ends with exit code 2 if the file itself could not be opened.
    UNREADABLE = "S001" "unreadable-file" Error;

    /// The text does not follow the grammar of the model language.
    ///
    /// The message names what was expected at the exact column. A faulty statement is skipped as a whole, with
    /// any block it opens, so that the statements behind it are still checked.
    SYNTAX = "S002" "syntax" Error;

    /// A key, argument or section that the language does not have.
    ///
    /// The schema is closed: a misspelt option is never silently ignored. Declarative frameworks that accept
    /// unknown keys let `normalizaton: zscore` train without any normalisation.
    UNKNOWN_KEY = "S003" "unknown-key" Error;

    /// A value has the wrong type, or is not one of the words that are allowed here.
    ///
    /// The message shows what was given, what it evaluated to, and what the place accepts.
    WRONG_TYPE = "S004" "wrong-type" Error;

    /// A required section, key or argument is missing.
    ///
    /// A spec begins with `spec 1` and has a `model` and a `net`. An argument without a default must be given.
    MISSING = "S005" "missing-part" Error;

    /// The same argument, key or section is given twice.
    ///
    /// Both places are underlined. Neither wins: a reader could not tell which one does.
    GIVEN_TWICE = "S006" "given-twice" Error;

    /// A value lies outside the range that makes sense for it.
    ///
    /// For instance a dropout probability of 1.5, a kernel of 0, a stride of 0, or a parameter outside the range
    /// that it declares with `in lo..hi`.
    OUT_OF_RANGE = "S007" "out-of-range" Error;

    /// The spec exceeds a limit of the compiler.
    ///
    /// Brackets, blocks and loops nest at most 64 deep, an expression has at most 1,000 operators, a model at most 1,000
    /// parameters and 100,000 nodes, a tensor at most 2^40 elements. The limits exist so that no spec, however hostile, can hang or exhaust a CI
    /// machine; no model that anyone trains comes near them.
    TOO_LARGE = "S008" "limit-exceeded" Error;

    /// An expression cannot be computed.
    ///
    /// Division by zero, an integer overflow, or an operator applied to values it is not defined for.
    BAD_EXPRESSION = "S009" "bad-expression" Error;

    /// A suppression comment is not well formed.
    ///
    /// Write `# wellposed: allow(CODE) reason: why this is right here`, or `# wellposed: expect(CODE)` in a spec
    /// that is meant to be wrong. The reason is required: it is what the reviewer reads.
    MALFORMED_SUPPRESSION = "S010" "malformed-suppression" Error;

    /// An `allow` comment that suppresses nothing.
    ///
    /// The fault was mended or the comment stands at the wrong line. Left in place, it would hide the next fault
    /// of its kind.
    UNUSED_ALLOW = "S011" "unused-allow" Warning;

    /// A tensor file does not fit the model.
    ///
    /// ## What it checks
    ///
    /// Weights, running statistics, inputs and targets are read from safetensors files by name: a weight is called after its node's
    /// path and PyTorch's suffix (`fc1.weight`, `bn1.running_mean`), an input or target after its declaration. Every tensor must
    /// be there with the right shape and type and finite numbers, and no other may be there. PyTorch's `num_batches_tracked` counters are
    /// passed over. A file of weights without any running statistic leaves them at their initial values; one with some of them must have
    /// all.
    ///
    /// ## Why it matters
    ///
    /// Loading what fits and drawing the rest at random (`strict=False`) gives numbers that look like results.
    UNFIT_TENSOR_FILE = "S012" "unfit-tensor-file" Error;

    /// The text is not valid YAML 1.2.
    ///
    /// The position is where the reader gave up, which is at or behind the mistake: look at the line above, too.
    MALFORMED_YAML = "Y001" "malformed-yaml" Error;

    /// A mapping has the same key twice.
    ///
    /// YAML forbids it; readers differ in which one wins. Both keys are underlined.
    DUPLICATE_KEY = "Y002" "duplicate-key" Error;

    /// A plain scalar that YAML 1.1 and YAML 1.2 readers read differently.
    ///
    /// `no`, `on`, `yes` and `off` are booleans for YAML 1.1 readers and words for YAML 1.2; `012` is ten or twelve.
    /// Other programs will read this file, so quote the word or write the number plainly.
    AMBIGUOUS_SCALAR = "Y003" "ambiguous-scalar" Error;

    /// A merge key (`<<`) or a custom tag (`!name`).
    ///
    /// Both make the meaning of a file depend on the reader. Write the values out, or use a `block`.
    MERGE_OR_TAG = "Y004" "merge-key-or-tag" Error;

    /// A number in exponent form without a fraction, such as `1e-3`.
    ///
    /// YAML 1.2 reads a number; PyYAML and other YAML 1.1 readers read the text "1e-3". Write `1.0e-3` if other
    /// programs read this file.
    EXPONENT_WITHOUT_POINT = "Y005" "exponent-without-point" Info;

    /// A name that nothing declares.
    ///
    /// Names are looked up in the block first, then in the enclosing bodies. Parameters, loop variables, nodes,
    /// inputs and targets have one name space each; the message says which one was searched.
    UNKNOWN_NAME = "N001" "unknown-name" Error;

    /// Two things of one kind have the same name in one scope.
    DUPLICATE_NAME = "N002" "duplicate-name" Error;

    /// A node needs a name.
    ///
    /// Only activations, pools, norms, dropout and other nodes without weights may go unnamed; they are called
    /// `<anchor>.<op>` after the nearest named node before them. A second equal one behind the same anchor, and any
    /// other node with weights, must be named, because a counter in its place would rename every later node when
    /// a line is inserted.
    NEEDS_NAME = "N003" "unnamed-node" Error;

    /// An operator, initialiser, loss, optimiser, transform or block that does not exist.
    UNKNOWN_CALLEE = "N004" "unknown-operator" Error;

    /// Blocks that call each other in a circle.
    ///
    /// The language is total: every spec expands to a finite graph. Use `repeat` or `for` for bounded repetition.
    RECURSIVE_BLOCK = "N005" "recursive-block" Error;

    /// A name that the language itself uses.
    ///
    /// A parameter called `same` or `train` would change the meaning of every argument that uses that word.
    RESERVED_NAME = "N006" "reserved-name" Error;

    /// The inputs of an operator do not fit it, or each other.
    ///
    /// ## What it checks
    ///
    /// Rank, channel count, element count and broadcast-free equality of the shapes that meet at one node. Both
    /// shapes are printed, with the statement that each of them came from.
    ///
    /// ## Why it matters
    ///
    /// A framework reports such a mismatch when the first batch arrives, with dimensions and without the layer.
    SHAPE_MISMATCH = "H001" "shape-mismatch" Error from "A01";

    /// A window is larger than the map it slides over, or a dimension becomes zero.
    WINDOW_TOO_LARGE = "H002" "window-larger-than-map" Error from "A02";

    /// A number does not divide another that it must divide.
    ///
    /// Groups must divide the channels of a convolution, heads the width of attention.
    NOT_DIVISIBLE = "H003" "not-divisible" Error from "A01";

    /// A lookup takes something that holds no tokens.
    ///
    /// ## What it checks
    ///
    /// The input of `embedding` is an input that is declared `int[B, T]`, without transforms, or a category column without `one_hot`.
    ///
    /// ## Why it matters
    ///
    /// A table is indexed by whole numbers. Frameworks truncate a computed or standardised number to one, or stop at the first batch.
    NOT_TOKENS = "H004" "not-tokens" Error;

    /// A finding that the spec announces with `# wellposed: expect(CODE)` did not occur.
    ///
    /// Specs that are meant to be wrong carry the finding that they stand for. When the rule no longer sees the
    /// fault, either the spec or the rule has changed.
    UNMET_EXPECTATION = "X002" "unmet-expectation" Error;

    /// A data file cannot be read, or is not a CSV file with a header line.
    UNREADABLE_DATA = "D101" "unreadable-data" Error;

    /// A row has more or fewer fields than the header.
    RAGGED_ROW = "D102" "ragged-row" Error;

    /// The file ends in the middle of a row.
    ///
    /// The last row has fewer fields than the header, or an open quotation mark, and no line ending: an upload or
    /// export was cut short. Rows may be missing without any other sign, so the file is refused as a whole.
    TRUNCATED_FILE = "D103" "truncated-file" Error;

    /// A column that the spec names is not in the file.
    MISSING_COLUMN = "D104" "missing-column" Error;

    /// A numeric column holds something that is not a number.
    NOT_A_NUMBER = "D105" "text-in-numeric-column" Error;

    /// A numeric column holds an empty field, `NaN` or an infinity.
    ///
    /// One NaN makes every weight NaN after the first step. Declare `impute(median, fit=train)` if missing values
    /// are expected; infinities are never imputed.
    MISSING_VALUE = "D106" "missing-value" Error;

    /// A class label outside the declared classes.
    LABEL_OUT_OF_RANGE = "D107" "label-out-of-range" Error;

    /// A category that the training split does not have.
    ///
    /// The vocabulary is fitted on the training split; a row of another split with a new category has no encoding.
    UNKNOWN_CATEGORY = "D108" "unknown-category" Error;

    /// A word that is looked up in a table without a row for it.
    ///
    /// ## What it checks
    ///
    /// `embedding(vocab, dim)` of a category column: the words are numbered from 0 in the order of the vocabulary, and each number must
    /// be below `vocab`. The first row of the data with a word beyond the table is named.
    ///
    /// ## Why it matters
    ///
    /// On a GPU the lookup fails far from its cause, or reads past the table.
    WORD_WITHOUT_ROW = "D114" "word-without-row" Error;

    /// A split without rows.
    EMPTY_SPLIT = "D109" "empty-split" Error;

    /// The stored statistics are not those of the data.
    ///
    /// `wellposed stats fit` writes `<spec>.stats.json`, which is committed; `validate` computes the statistics again
    /// and compares. A difference means that the data changed, that the spec changed, or that the file was edited.
    STALE_STATISTICS = "D110" "stale-statistics" Error from "P26";

    /// There is no statistics file beside the spec.
    ///
    /// `wellposed stats fit SPEC` writes it. Until then the statistics are computed from the data in every run, and
    /// nothing pins them for serving.
    NO_STATISTICS = "D111" "statistics-not-stored" Info;

    /// Rows that `lag` looks back from do not stand in the order of time.
    ///
    /// The row before a row in the file is then not the one before it in time, and may be a later one. Sort the file by the column of
    /// `split by time(column)`; rows of equal time keep the order of the file.
    UNORDERED_ROWS = "D113" "rows-out-of-order" Error from "P23";

    /// A feature holds what is not known yet when the target is to be predicted.
    ///
    /// ## What it checks
    ///
    /// `lag` by a negative number of rows, and `lag` by 0 rows of a column that is a target.
    ///
    /// ## Why it matters
    ///
    /// Training and test rows come from a file in which the future stands beside the past. A model that reads the next row, or the answer itself, is
    /// judged far better than it will be when there is no next row.
    ///
    /// ## References
    ///
    /// Kaufman et al. 2012, "Leakage in data mining"; research: static.md P23.
    FUTURE_VALUES = "D021" "future-values" Error from "P23";

    /// Columns are to be chosen by a score that is 0 for all of them.
    ///
    /// ## What it checks
    ///
    /// The scores of `select(top=K, by=..., fit=SPLIT)` on the rows that it is fitted on. All of them are 0 if every column, or the target, is
    /// constant there.
    ///
    /// ## Why it matters
    ///
    /// The first K columns would be taken for the best ones, and nothing would say that they are not.
    BLIND_SELECTION = "D112" "blind-selection" Error from "P20";

    /// A gradient differs from the numerical derivative of the loss.
    ///
    /// ## What it checks
    ///
    /// The reverse rule of every node is compared with the tangent of its own forward kernel; a rule that differs is named with its
    /// operator and operand. The gradient of every tensor is compared with the tangent of the whole loss along random directions that weigh every
    /// component alike, and with two-sided differences d = (L(w + h) - L(w - h)) / 2h of as many components as can be afforded. Every
    /// discrete decision (the sign of a ReLU, the place of a maximum, the dropout mask) is frozen at the unperturbed point, so that
    /// kinks cannot raise an alarm. The finding comes only if two oracles contradict the gradient, or if on a kink it is no subgradient.
    /// `wellposed explain gradcheck` has the verdicts and their bounds.
    ///
    /// ## What to do
    ///
    /// The worst component is named with both values and, for the known mistakes, what was done: a factor, a sign, a missing
    /// penalty, transposed, shifted, a row of the batch or a way through the net that does not count. `gradcheck --svg FOLDER` draws gradient,
    /// derivative and error. A gradient of an operator of this program that fails is a bug of this program; a derivative written in the spec
    /// is the author's.
    GRADIENT_MISMATCH = "K001" "wrong-gradient" Error from "G01";

    /// A gradient check found a value that is not finite.
    ///
    /// The loss or a gradient overflowed or became NaN at a random initialisation, so no derivative exists to compare
    /// with. The signal rules usually say why.
    GRADIENT_NOT_FINITE = "K002" "non-finite-gradient" Error;

    /// The model is too large to be run here.
    ///
    /// Gradients and properties are checked by running the model. Weights, values and derivatives together would need more than
    /// 4 GiB, or one training step on eight rows more than 2 10^9 operations, so only the static rules have been applied. `wellposed
    /// gradcheck` alone goes up to 5 GB and 10^10 operations. Declare the widths as parameters of the model, and check a narrow sibling: its gradients are those of the wide one.
    NOT_RUN = "K003" "not-run" Info;

    /// A program of your own computes another loss than the spec.
    ///
    /// `gradcheck --against CMD` gives the program weights, rows and dropout masks; its loss must be ours to 10^-9 (10^-5 in single
    /// precision). The finding names the simple causes: a penalty that is missing or counted twice, a sum in place of a mean. As long as
    /// the losses differ, so will the gradients; mend the forward pass first. `wellposed explain against` has the protocol.
    FOREIGN_LOSS = "K004" "foreign-loss" Error;

    /// A gradient of a program of your own is wrong.
    ///
    /// It is not the derivative of the program's own loss by two-sided differences, or differs from the gradient of the spec although the
    /// losses agree. The finding says both relative errors, the component that differs most and, for simple mistakes, what was done:
    /// a factor, a sign, zero, transposed, flipped, a penalty missing, a component or row lost. `wellposed explain against` has the protocol.
    FOREIGN_GRADIENT = "K005" "foreign-gradient" Error;

    /// The answer of a program of your own cannot be used.
    ///
    /// It crashed, took longer than `--time-limit`, wrote no file or one that cannot be read: there was nothing to compare, and the exit code is 2. Or a
    /// tensor is missing, of another shape or type, or not finite: the exit code is 1, as for any finding. `wellposed explain against` has the
    /// protocol.
    FOREIGN_ANSWER = "K006" "foreign-answer" Error;

    /// A derivative that the spec gives is not the derivative of its value.
    ///
    /// ## What it checks
    ///
    /// `activation f(x) = ... grad = ...` and `loss f(p, t) = ... grad = ...` say by hand how f changes with its first input. Before
    /// anything runs, `grad` is compared with the derivative f'(x) of the value by dual numbers at a thousand inputs: dense around 0, from
    /// 1e-12 to 1e6 on both sides, and close to either side of every kink. A difference counts where it exceeds a running error bound of
    /// both formulas (Higham 2002, section 3.3) in double-double arithmetic, in which literals of seven or more digits count as rounded.
    ///
    /// ## What to do
    ///
    /// The finding names the input at which they differ most, both numbers and, where that can be told, the slip: a sign, a
    /// factor, an inner derivative that is missing, a term of the product rule, the other branch. `wellposed explain activation` says
    /// what a formula may be. Leave `grad` out, and the derivative is worked out.
    WRONG_DERIVATIVE = "K007" "wrong-derivative" Error from "G01";

    /// A function of the spec trains on something else than its derivative.
    ///
    /// `surrogate = ...` replaces the derivative, as the straight-through estimator does where the derivative is 0 almost everywhere
    /// (Bengio, Leonard and Courville 2013). It is reported with the largest difference so that a reviewer sees it, and is no mistake. The
    /// gradient check follows the chain with the surrogate in it: tensors before it are compared with tangents that
    /// use the surrogate, and get the verdict SURROGATE, since differences of the loss know nothing of it.
    SURROGATE = "K008" "surrogate-derivative" Info;

    /// A property that holds for every well-posed model fails for some random initialisation.
    ///
    /// The report shows the smallest case that was found, the quantity against its bound, and the command that
    /// replays it. Where parameters declare ranges, models with other values are tested, too; then the case has the smallest values that
    /// fail, and the model is shown as a spec. `wellposed explain structure` is the page.
    PROPERTY_FAILED = "P001" "property-violated" Error;

    /// A property that the spec declares fails for some random initialisation.
    ///
    /// ## What it checks
    ///
    /// `property { rms(fc2.tanh) in 0.3..1.2 }` states what every initialisation satisfies; `wellposed explain property` lists what can
    /// be stated. Each is tested on several initialisations. The finding says which value broke which bound at which seed, how
    /// many of the initialisations did, and between which values all of them lie; the seed is the first of those that were tried, the
    /// batch the smallest that still shows it.
    ///
    /// ## What to do
    ///
    /// Either the model no longer does what its author relied on, and the seed and the batch show where, or the bound was a
    /// guess: the values over all initialisations say what it can be.
    DECLARED_PROPERTY = "P002" "broken-promise" Error;

    /// The model has an error with values that its ranges allow.
    ///
    /// ## What it checks
    ///
    /// `model mlp(width = 64 in 8..256)` promises that the model works with every value in the range, and with every combination of
    /// values of several ranges. The spec is compiled with the ends of the ranges and with values between, and the static rules look at what
    /// comes out: an error that is not there with the declared values is reported once for each code, with the smallest
    /// values that show it. `expect` is left out, since it speaks of the declared values; so are properties of nodes that
    /// are not there. `wellposed explain structure` says what is drawn and how it is made smaller.
    ///
    /// ## What to do
    ///
    /// Narrow the range to the values that work, or write the model so that all of them do: `width` in steps of the number of heads is
    /// `heads * step`, with `step` as the parameter.
    BROKEN_RANGE = "P003" "broken-range" Error;

    /// A line of a `.regressions` file that is no case of a law or of a declared property.
    ///
    /// ## What it checks
    ///
    /// `m.nn.regressions` beside `m.nn` holds the cases that once broke a law or a declared property, one a line, as a report shows them:
    /// `finite:seed=3,batch=1,scale=1e0`, `rms(out):seed=3,batch=1`, and with other values of the parameters
    /// `finite@width=8,depth=21:seed=3,batch=1,scale=1e0`. `#` begins a comment. `validate` runs these cases before any other; `validate --record`
    /// appends those that fail. At most 256 cases are run. A case with values outside of the ranges that the spec declares is left out: the
    /// spec no longer promises anything about it.
    ///
    /// ## Why it matters
    ///
    /// A line that cannot be read is a case that is no longer tested, and the next change may bring the fault back. Where a law was
    /// renamed, rename it here; where it is gone, remove its lines.
    MALFORMED_REGRESSION = "P010" "malformed-regression" Error;

    /// The compiled graph differs from the reviewed snapshot.
    ///
    /// The difference is shown line by line. `wellposed snapshot --accept SPEC` accepts it after review; in CI
    /// snapshots are never written.
    SNAPSHOT_CHANGED = "R001" "changed-snapshot" Error;

    /// A snapshot whose spec is gone.
    ///
    /// The spec was renamed or removed, and its snapshot was left behind. Rename or remove the snapshot with it.
    SNAPSHOT_UNREFERENCED = "R002" "unreferenced-snapshot" Warning;
}
