//! The lines of a `property` section: a quantity with its bound, or a law. Names are as written; lowering resolves them.

use super::{Expr, Head};
use crate::source::Spanned;

/// What every initialisation is to satisfy.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// The quantity or the law: `rms`, `invariant`.
    pub kind: Spanned<String>,
    /// What it is about, in order: paths of nodes and tensors, names of inputs and columns; a symmetry comes first.
    pub of: Vec<Spanned<String>>,
    /// Where a quantity is to lie.
    pub bound: Option<Bound>,
    /// The whole line.
    pub head: Head,
}

/// Where a quantity is to lie.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// `in lo..hi`, both ends included.
    Within(Spanned<Expr>, Spanned<Expr>),
    /// `< x`, `<= x`, `> x`, `>= x`.
    Beyond(Relation, Spanned<Expr>),
}

/// On which side of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `<`.
    Below,
    /// `<=`.
    AtMost,
    /// `>`.
    Above,
    /// `>=`.
    AtLeast,
}

impl Relation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Below, Self::AtMost, Self::Above, Self::AtLeast];

    /// The operator of the language, and the key of YAML.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Below => ("<", "below"),
            Self::AtMost => ("<=", "at_most"),
            Self::Above => (">", "above"),
            Self::AtLeast => (">=", "at_least"),
        }
    }
}
