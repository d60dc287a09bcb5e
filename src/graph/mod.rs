//! The compiled graph.
//!
//! Contract: a [`Graph`] is what a spec means, with blocks and loops expanded, names resolved and shapes inferred. Nodes stand in
//! topological order and refer to each other by typed handles. Only a [`Verified`] graph reaches lints, signal analysis and
//! passes, and only a [`Runnable`] one is executed. A node whose shape could not be inferred is legal: its shape is `None`,
//! which silences the rules that touch it and nothing else.

mod arena;
pub mod builder;
mod diff;
mod print;
mod property;
mod verify;

pub use arena::{Arena, Handle};
pub use diff::difference;
pub use print::print;
pub use property::{Bound, Law, Place, Property, Quantity, Symmetry};
pub use verify::{Runnable, Verified, Violation, verify};

use crate::args::Value;
use crate::data::{self, Plan, Step};
use crate::ops::{OpKind, ParamSpec, Role, Room, StateSpec};
use crate::source::{Span, Spanned};
use crate::tensor::Shape;
use std::fmt;

/// What one spec means.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The model's name.
    pub name: String,
    /// The model's parameters with their values.
    pub settings: Vec<Setting>,
    /// Inputs and targets.
    pub feeds: Arena<Feed>,
    /// The nodes in topological order; a loss comes last.
    pub nodes: Arena<Node>,
    /// Trainable tensors.
    pub params: Arena<ParamTensor>,
    /// Tensors that batches update.
    pub states: Arena<StateTensor>,
    /// The value of the net's last statement.
    pub output: Option<Source>,
    /// The node that is minimised.
    pub loss: Option<Handle<Node>>,
    /// Terms that are added to the loss.
    pub penalties: Vec<Penalty>,
    /// How the model is to be trained.
    pub training: Training,
    /// Where the rows come from; `None` if inputs are only declared.
    pub data: Option<Plan>,
    /// Facts that the spec states about itself.
    pub facts: Vec<Fact>,
    /// What the spec says that every initialisation satisfies.
    pub properties: Vec<Property>,
    /// A statement could not be read, so nodes are missing; rules about the whole are silent.
    pub partial: bool,
    /// The head of the spec, for findings about it as a whole.
    pub span: Span,
}

/// A parameter of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// The range that it declares, both ends included.
    pub range: Option<(f64, f64)>,
}

/// An input or a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    /// Its name.
    pub name: String,
    /// The shape of a row before the transforms, without the batch; `None` if it could not be determined.
    pub raw: Option<Shape>,
    /// The shape that the net sees; `None` if it could not be determined.
    pub shape: Option<Shape>,
    /// What its elements are.
    pub kind: FeedKind,
    /// What the values of a declared target fill before the transforms, both ends included.
    pub range: Option<(f64, f64)>,
    /// Whether it is something to predict.
    pub target: bool,
    /// The transforms of a declared input; those of a column group stand in the data plan.
    pub chain: Vec<Step>,
    /// Where it is declared.
    pub span: Span,
}

impl Feed {
    /// Whether a derivative by its elements is asked for: they are an input, and no whole numbers.
    #[must_use]
    pub fn differentiable(&self) -> bool {
        !self.target && self.kind != FeedKind::Int
    }
}

/// What the elements of a feed are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedKind {
    /// Real numbers of unknown scale.
    Real,
    /// Real numbers in 0..1.
    Unit,
    /// Whole numbers in 0..255.
    Byte,
    /// Whole numbers, for instance tokens.
    Int,
    /// Class labels; the count and the words where the spec gives them.
    Class(Option<usize>, Option<Vec<String>>),
    /// Class labels as a row of zeros with a one at the class.
    OneHot,
}

/// Where a node's input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// An input or a target.
    Feed(Handle<Feed>),
    /// Another node.
    Node(Handle<Node>),
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name, through blocks and loops.
    pub path: Path,
    /// What it does.
    pub op: OpKind,
    /// What it takes.
    pub inputs: Vec<Source>,
    /// The shape of its value.
    pub shape: Option<Shape>,
    /// Its trainable tensors, in the order of the op. All are its own but the one that [`tie`](Self::tie) is about.
    pub params: Vec<Handle<ParamTensor>>,
    /// The tensor that it shares with an earlier node.
    pub tie: Option<Tie>,
    /// Its other tensors, in the order of the op.
    pub states: Vec<Handle<StateTensor>>,
    /// What the forward kernel leaves for the reverse rule.
    pub saved: Room,
    /// What kernels need while they run.
    pub scratch: Room,
    /// Multiplications and additions for one sample.
    pub flops: usize,
    /// The statement.
    pub span: Span,
    /// The arguments that the spec gives.
    pub arguments: Vec<(&'static str, Span)>,
    /// How blocks and loops led to the statement.
    pub trail: Vec<String>,
    /// How the node takes part in residual sums.
    pub role: NodeRole,
}

/// A tensor of a node that belongs to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Tie {
    /// Its place among the tensors of the node that shares it.
    pub slot: usize,
    /// The node that it belongs to, which no pass renames.
    pub owner: Path,
    /// What it is to the node that shares it: shape, fans and role are those of the use, the initialiser is the owner's.
    pub spec: ParamSpec,
}

impl Node {
    /// The place of an argument, or of the whole statement.
    #[must_use]
    pub fn argument(&self, name: &str) -> Span {
        self.arguments.iter().find(|(given, _)| *given == name).map_or(self.span, |(_, span)| *span)
    }
}

/// How a node takes part in residual sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeRole {
    /// Not at all, as far as the spec says.
    #[default]
    Plain,
    /// The sum of a branch (first input) and a shortcut (second input).
    ResidualSum,
}

/// A trainable tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamTensor {
    /// `fc1.weight`.
    pub path: String,
    /// Shape, fans, role and initialiser.
    pub spec: ParamSpec,
}

/// A tensor that batches update.
#[derive(Clone, Debug, PartialEq)]
pub struct StateTensor {
    /// `bn1.running_mean`.
    pub path: String,
    /// Shape and initial value.
    pub spec: StateSpec,
}

/// A term that is added to the loss: `factor * sum |w|`, or `factor / 2 * sum w^2`.
#[derive(Clone, Debug, PartialEq)]
pub struct Penalty {
    /// 1 or 2.
    pub order: u8,
    /// Its factor.
    pub factor: f64,
    /// Whether biases and norms are included.
    pub all: bool,
    /// The word that says so, if there is one.
    pub on: Option<Span>,
    /// Where it is written.
    pub span: Span,
}

impl Penalty {
    /// Whether the term includes a tensor.
    #[must_use]
    pub fn covers(&self, param: &ParamTensor) -> bool {
        self.all || matches!(param.spec.role, Role::Kernel | Role::Table)
    }
}

/// How the model is to be trained.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Training {
    /// The optimiser, if the spec names one.
    pub optimizer: Option<Spanned<Optimizer>>,
    /// Samples in a batch.
    pub batch: Option<usize>,
    /// Passes over the training rows.
    pub epochs: Option<usize>,
    /// The seed of everything that is drawn.
    pub seed: Option<u64>,
    /// What the model answers, if the spec says so.
    pub predict: Option<Prediction>,
    /// The numbers that training is declared to run in; nothing here runs in them.
    pub precision: Option<Spanned<Precision>>,
    /// What the loss is multiplied by before the way back, so that small gradients stay within the precision.
    pub loss_scale: Option<f64>,
}

/// Floating-point numbers that hardware trains in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// IEEE half precision: 5 bits of exponent, 65504 the largest.
    F16,
    /// The upper half of single precision, and so its range.
    Bf16,
    /// IEEE single precision.
    F32,
}

impl Precision {
    /// The precision of a word.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        Some(match word {
            "f16" => Self::F16,
            "bf16" => Self::Bf16,
            "f32" => Self::F32,
            _ => return None,
        })
    }

    /// The word of the language.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        }
    }
}

/// What the model answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The value that is answered.
    pub output: Source,
    /// The target whose chain is undone on it, and where that is written; `None` for the value as it is.
    pub undone: Option<(Handle<Feed>, Span)>,
    /// The whole expression.
    pub span: Span,
}

/// An optimiser with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub enum Optimizer {
    /// Gradient descent with momentum.
    Sgd {
        /// Learning rate.
        lr: f64,
        /// Momentum.
        momentum: f64,
    },
    /// Adam (Kingma and Ba 2015); with `decay`, `AdamW` (Loshchilov and Hutter 2019).
    Adam {
        /// Learning rate.
        lr: f64,
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// What is added to the root of the second moment.
        eps: f64,
        /// Decoupled weight decay; `None` for plain Adam.
        decay: Option<f64>,
    },
}

impl Optimizer {
    /// The learning rate.
    #[must_use]
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd { lr, .. } | Self::Adam { lr, .. } => *lr,
        }
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = crate::text::number;
        match self {
            Self::Sgd { lr, momentum } if *momentum == 0.0 => write!(f, "sgd(lr={})", n(*lr)),
            Self::Sgd { lr, momentum } => write!(f, "sgd(lr={}, momentum={})", n(*lr), n(*momentum)),
            Self::Adam { lr, beta1, beta2, eps, decay } => {
                let mut list = vec![format!("lr={}", n(*lr))];
                list.extend((*beta1 != 0.9).then(|| format!("beta1={}", n(*beta1))));
                list.extend((*beta2 != 0.999).then(|| format!("beta2={}", n(*beta2))));
                list.extend((*eps != 1e-8).then(|| format!("eps={}", n(*eps))));
                list.extend(decay.map(|decay| format!("weight_decay={}", n(decay))));
                write!(f, "{}({})", if decay.is_some() { "adamw" } else { "adam" }, list.join(", "))
            }
        }
    }
}

/// A fact that the spec states about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// What it is about.
    pub kind: FactKind,
    /// Where it is written.
    pub span: Span,
}

/// What a fact is about.
#[derive(Clone, Debug, PartialEq)]
pub enum FactKind {
    /// The number of trainable parameters.
    Params(u64),
    /// The number of elements of running statistics.
    State(u64),
    /// The shape of the output.
    Output(Shape),
}

impl Graph {
    /// The chain that training rows of an input or target pass.
    #[must_use]
    pub fn trained_chain<'a>(&'a self, feed: &'a Feed) -> &'a [crate::data::Step] {
        self.group(feed).map_or(&feed.chain, |group| group.chain_on(crate::data::Split::Train))
    }

    /// The number of trainable parameters.
    #[must_use]
    pub fn param_count(&self) -> u64 {
        self.params.iter().map(|(_, param)| param.spec.elements() as u64).sum()
    }

    /// The number of elements of running statistics.
    #[must_use]
    pub fn state_count(&self) -> u64 {
        self.states.iter().map(|(_, state)| state.spec.dims.iter().product::<usize>() as u64).sum()
    }

    /// The nodes without the loss.
    pub fn layers(&self) -> impl Iterator<Item = (Handle<Node>, &Node)> {
        self.nodes.iter().filter(|(handle, _)| Some(*handle) != self.loss)
    }

    /// What a node's trainable tensors are, in the order of the op.
    #[must_use]
    pub fn specs(&self, node: &Node) -> Vec<ParamSpec> {
        self.slots(node).map(|(_, spec)| spec.clone()).collect()
    }

    /// A node's trainable tensors with what they are to it, in the order of the op.
    pub fn slots<'g>(&'g self, node: &'g Node) -> impl Iterator<Item = (Handle<ParamTensor>, &'g ParamSpec)> {
        let spec = |(slot, param): (usize, &Handle<ParamTensor>)| match &node.tie {
            Some(tie) if tie.slot == slot => (*param, &tie.spec),
            _ => (*param, &self.params[*param].spec),
        };
        node.params.iter().enumerate().map(spec)
    }

    /// The number of trainable parameters that belong to a node; a tensor that it shares counts where it belongs.
    #[must_use]
    pub fn params_of(&self, node: &Node) -> u64 {
        let shared = node.tie.as_ref().map_or(0, |tie| tie.spec.elements());
        (self.slots(node).map(|(_, spec)| spec.elements()).sum::<usize>() - shared) as u64
    }

    /// Whether a node shares a tensor with another, so that the shape of neither can change alone.
    #[must_use]
    pub fn is_tied(&self, node: &Node) -> bool {
        let takes = |other: &Node| other.params.iter().any(|param| node.params.contains(param));
        let others = self.nodes.iter().filter(|(_, other)| other.tie.is_some() && other.path != node.path);
        node.tie.is_some() || others.into_iter().any(|(_, other)| takes(other))
    }

    /// The uses of every trainable tensor in the order of the nodes, by the index of its handle: the node and the tensor's place in it.
    #[must_use]
    pub fn uses(&self) -> Vec<Vec<(Handle<Node>, usize)>> {
        let mut uses = vec![Vec::new(); self.params.len()];
        for (handle, node) in self.nodes.iter() {
            for (slot, param) in node.params.iter().enumerate() {
                uses[param.index()].push((handle, slot));
            }
        }
        uses
    }

    /// The shape of a value.
    #[must_use]
    pub fn shape(&self, source: Source) -> Option<&Shape> {
        match source {
            Source::Feed(feed) => self.feeds[feed].shape.as_ref(),
            Source::Node(node) => self.nodes[node].shape.as_ref(),
        }
    }

    /// Where a value comes from, in the text.
    #[must_use]
    pub fn span(&self, source: Source) -> Span {
        match source {
            Source::Feed(feed) => self.feeds[feed].span,
            Source::Node(node) => self.nodes[node].span,
        }
    }

    /// The name of a value.
    #[must_use]
    pub fn name_of(&self, source: Source) -> String {
        match source {
            Source::Feed(feed) => self.feeds[feed].name.clone(),
            Source::Node(node) => self.nodes[node].path.to_string(),
        }
    }

    /// The nodes that take a value.
    pub fn consumers(&self, source: Source) -> impl Iterator<Item = (Handle<Node>, &Node)> {
        self.nodes.iter().filter(move |(_, node)| node.inputs.contains(&source))
    }

    /// How many tokens every table has a row for that looks up a feed; `None` where none does.
    #[must_use]
    pub fn vocabulary(&self, feed: Handle<Feed>) -> Option<usize> {
        self.consumers(Source::Feed(feed)).filter_map(|(_, node)| node.op.vocabulary()).min()
    }

    /// What the model predicts with: the first argument of the loss, else the net's last value.
    #[must_use]
    pub fn prediction(&self) -> Option<Source> {
        self.loss.and_then(|loss| self.nodes[loss].inputs.first().copied()).or(self.output)
    }

    /// The column group behind a feed.
    #[must_use]
    pub fn group(&self, feed: &Feed) -> Option<&data::Group> {
        self.data.as_ref()?.group(&feed.name)
    }
}

/// The name of a node: its own, behind those of the blocks and loops around it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(pub Vec<Segment>);

/// One part of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// The name.
    pub name: String,
    /// The iteration, behind a loop's name.
    pub index: Option<usize>,
}

impl Path {
    /// The path with a part appended.
    #[must_use]
    pub fn join(&self, name: &str, index: Option<usize>) -> Self {
        let mut segments = self.0.clone();
        segments.push(Segment { name: name.to_owned(), index });
        Self(segments)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Segment { name, index }) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            f.write_str(name)?;
            if let Some(index) = index {
                write!(f, "[{index}]")?;
            }
        }
        Ok(())
    }
}
