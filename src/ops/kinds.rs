//! What kinds of operators and parameters there are.
//!
//! Contract: lints, names, the manual and the penalties ask for these and not for the names of operators, wherever what they say is true
//! of a whole kind.

/// What kind of thing an operator is; decides how an unnamed node is called and where the manual lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// A linear map with weights.
    Layer,
    /// An elementwise function.
    Activation,
    /// Numbers to shares that sum to 1, or their logarithms: it couples the elements of an axis, and no scale passes through it.
    Distribution,
    /// A normalisation.
    Norm,
    /// A reduction over windows.
    Pool,
    /// Random in training, the identity in use.
    Noise,
    /// Moves, copies or interpolates elements: what comes out has the range of what goes in.
    Layout,
    /// Rows of a table by whole numbers: it reads tokens, and nothing flows through it.
    Lookup,
    /// Joins several values.
    Combine,
    /// Multiplies matrices that are values, none of them weights.
    Product,
    /// One number for each sample, to be minimised.
    Loss,
}

impl Category {
    /// The category in a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::Activation => "activation",
            Self::Distribution => "distribution",
            Self::Norm => "norm",
            Self::Pool => "pool",
            Self::Noise => "noise",
            Self::Layout => "layout",
            Self::Lookup => "lookup",
            Self::Combine => "combine",
            Self::Product => "product",
            Self::Loss => "loss",
        }
    }
}

/// How many values an operator takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// One value, by default the one above.
    One,
    /// Two or more named values.
    Many,
    /// So many named values, each of which has a part of its own.
    Exactly(usize),
    /// A prediction and a target.
    Loss,
}

/// How an operator differs between training and use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeEffect {
    /// Not at all.
    Same,
    /// It acts in training and is the identity in use.
    TrainOnly,
    /// It computes something else in each.
    Differs,
}

/// What a parameter is for; decides whether `l2 on weights` reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The kernel of a linear layer or a convolution.
    Kernel,
    /// The rows of an embedding.
    Table,
    /// An additive constant of such a layer.
    Bias,
    /// The factor of a norm, or of a channel at the end of a branch.
    Scale,
    /// The offset of a norm.
    Shift,
    /// The slope of an activation.
    Slope,
    /// A value that every sample is given alike: a class token, a table of positions.
    Given,
}
