//! The kinds of properties that a spec can declare.
//!
//! Contract: the closed vocabulary that lowering reads, that the schema lists and whose manual pages stand with the tests of each kind.

/// One kind.
#[derive(Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What it is about, in order.
    pub takes: &'static [&'static str],
    /// How many of those must be given.
    pub least: usize,
    /// Whether it is a quantity, which needs a bound, or a law, which has none.
    pub bounded: bool,
    /// What it says, in a line.
    pub summary: &'static str,
}

const fn quantity(name: &'static str, takes: &'static [&'static str], summary: &'static str) -> Kind {
    Kind { name, takes, least: takes.len(), bounded: true, summary }
}

const fn law(
    name: &'static str,
    takes: &'static [&'static str],
    least: usize,
    summary: &'static str,
) -> Kind {
    Kind { name, takes, least, bounded: false, summary }
}

/// All of them.
pub static ALL: [Kind; 10] = [
    quantity("rms", &["value"], "The root of the mean square of a node's value, or of a tensor."),
    quantity("mean", &["value"], "The mean of a node's value, or of a tensor."),
    quantity("max_abs", &["value"], "The largest magnitude in a node's value, or in a tensor."),
    quantity("dead", &["node"], "The share of the units of a relu that are off on every row of a batch."),
    quantity("saturated", &["node"], "The share of an activation's values that lie in its flat part."),
    quantity("loss_at_init", &[], "The loss before training, without penalties."),
    quantity("grad_rms", &["tensor"], "The root of the mean square of the loss's gradient by a tensor."),
    law("invariant", &["symmetry", "input"], 1, "The prediction is the same for a transformed input."),
    law("monotone", &["output", "input"], 2, "Raising one input never lowers one prediction."),
    law("causal", &["node"], 1, "No position of a node depends on later positions of the inputs."),
];

/// What `invariant` can be about.
pub const SYMMETRIES: [&str; 4] = ["flip_horizontal", "flip_vertical", "transpose", "roll"];

/// The kind of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.name == name)
}
