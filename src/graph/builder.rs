//! Adds nodes to a graph: infers shapes, makes tensors, reports misfits.
//!
//! The one place where a node comes into being, for lowering and for passes, so that no node exists without its facts.

use super::{Feed, FeedKind, Graph, Handle, Node, NodeRole, ParamTensor, Path, Source, StateTensor, Tie};
use crate::args::MAX_ELEMENTS;
use crate::diag::{Diagnostic, Diagnostics, rules};
use crate::ops::{Inferred, Misfit, OpKind, ParamSpec};
use crate::source::Span;
use crate::tensor::Shape;

/// A node that is to be added.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its name.
    pub path: Path,
    /// What it does.
    pub op: OpKind,
    /// What it takes.
    pub inputs: Vec<Source>,
    /// The statement.
    pub span: Span,
    /// The arguments that the spec gives.
    pub arguments: Vec<(&'static str, Span)>,
    /// How blocks and loops led to the statement.
    pub trail: Vec<String>,
    /// How it takes part in residual sums.
    pub role: NodeRole,
    /// A tensor that it shares with an earlier node, and its fellow there.
    pub tie: Option<(Tie, Handle<ParamTensor>)>,
}

impl Graph {
    /// Adds a node whose inputs stand in the graph.
    pub fn add(&mut self, draft: Draft, out: &mut Diagnostics) -> Handle<Node> {
        let inferred = match self.infer(&draft.op, &draft.inputs) {
            None => None,
            Some(Ok(inferred)) => match too_large(&inferred) {
                None => Some(inferred),
                Some(what) => {
                    let diagnostic = Diagnostic::new(&rules::TOO_LARGE, draft.span, what);
                    out.push(diagnostic.node(draft.path.to_string()).trail(&draft.trail));
                    None
                }
            },
            Some(Err(misfit)) => {
                out.push(self.explain(&draft, misfit));
                None
            }
        };
        self.add_inferred(draft, inferred)
    }

    /// What an operator makes of some values; `None` if a shape is unknown.
    pub(super) fn infer(&self, op: &OpKind, inputs: &[Source]) -> Option<Result<Inferred, Misfit>> {
        let shapes: Vec<&Shape> = inputs.iter().map(|source| self.shape(*source)).collect::<Option<_>>()?;
        let tokens = || inputs.iter().try_for_each(|source| self.tokens(op.name(), *source));
        let fits = if op.vocabulary().is_some() { tokens() } else { Ok(()) };
        Some(fits.and_then(|()| op.infer(&shapes)))
    }

    /// Whether a value holds whole numbers as they were declared or read.
    fn tokens(&self, op: &str, source: Source) -> Result<(), Misfit> {
        let name = self.name_of(source);
        let (what, help) = match source {
            Source::Node(node) => {
                let help = "take an input that is declared `int[B, T]`, or a category column".to_owned();
                (format!("`{}` computes numbers", self.nodes[node].op.name()), help)
            }
            Source::Feed(feed) => {
                let feed = &self.feeds[feed];
                match (&feed.kind, self.group(feed)) {
                    (FeedKind::Int, _) if feed.chain.is_empty() => return Ok(()),
                    (FeedKind::Int, _) => {
                        let steps: Vec<_> = feed.chain.iter().map(|step| step.transform.name()).collect();
                        let what = format!("`{}` makes numbers of them", steps.join("`, `"));
                        (what, format!("declare `{name}` without transforms"))
                    }
                    (_, Some(group)) if group.one_hot() => (
                        "`one_hot` makes indicators of its words".to_owned(),
                        "leave `one_hot` out".to_owned(),
                    ),
                    (_, Some(_)) => {
                        let help = format!("read it as `{name} category(...)`, without one_hot");
                        ("its columns are numbers".to_owned(), help)
                    }
                    (_, None) => {
                        let shape = feed.raw.as_ref().map_or("[B, T]".to_owned(), ToString::to_string);
                        ("it is declared as numbers".to_owned(), format!("declare `{name}: int{shape}`"))
                    }
                }
            }
        };
        let message = format!("`{op}` looks up tokens, and `{name}` holds none: {what}");
        Err(Misfit { rule: &rules::NOT_TOKENS, message, argument: None, help: Some(help) })
    }

    fn add_inferred(&mut self, draft: Draft, inferred: Option<Inferred>) -> Handle<Node> {
        let Draft { path, op, inputs, span, arguments, trail, role, tie } = draft;
        let shape = inferred.as_ref().map(|inferred| inferred.output.clone());
        let Inferred { output: _, params, state, saved, scratch, flops } = inferred.unwrap_or_default();
        let flops = if flops == 0 { shape.as_ref().map_or(0, Shape::elements) } else { flops };
        let tie = tie.filter(|(tie, _)| tie.slot < params.len());
        let own = |(slot, spec): (usize, ParamSpec)| match &tie {
            Some((tie, shared)) if tie.slot == slot => *shared,
            _ => self.params.push(ParamTensor { path: format!("{path}.{}", spec.name), spec }),
        };
        let params = params.into_iter().enumerate().map(own).collect();
        let states = state
            .into_iter()
            .map(|spec| self.states.push(StateTensor { path: format!("{path}.{}", spec.name), spec }))
            .collect();
        let node = Node {
            path,
            op,
            inputs,
            shape,
            params,
            tie: tie.map(|(tie, _)| tie),
            states,
            saved,
            scratch,
            flops,
            span,
            arguments,
            trail,
            role,
        };
        self.nodes.push(node)
    }

    /// A misfit with both shapes and where each came from.
    fn explain(&self, draft: &Draft, misfit: Misfit) -> Diagnostic {
        let Misfit { rule, message, argument, help } = misfit;
        let place = argument.and_then(|name| draft.arguments.iter().find(|(given, _)| *given == name));
        let mut diagnostic = Diagnostic::new(rule, place.map_or(draft.span, |(_, span)| *span), message)
            .node(draft.path.to_string())
            .trail(&draft.trail)
            .maybe_help(help);
        for source in &draft.inputs {
            let Some(shape) = self.shape(*source) else { continue };
            let span = self.span(*source);
            let text = match source {
                Source::Feed(feed) => format!("`{}` is {shape}", self.feeds[*feed].name),
                Source::Node(node) => format!("`{}` gives {shape}", self.nodes[*node].path),
            };
            if Some(span) != diagnostic.span() && !diagnostic.labels.iter().any(|label| label.span == span) {
                diagnostic = diagnostic.label(span, text);
            } else {
                diagnostic = diagnostic.note("in", text);
            }
        }
        diagnostic
    }

    /// The feed of a name.
    #[must_use]
    pub fn feed(&self, name: &str) -> Option<Handle<Feed>> {
        self.feeds.iter().find(|(_, feed)| feed.name == name).map(|(handle, _)| handle)
    }
}

/// Says what exceeds the limits, if anything does. Products are checked, not computed blindly.
pub(super) fn too_large(inferred: &Inferred) -> Option<String> {
    let product = |dims: &[usize]| {
        let wide = dims.iter().try_fold(1u64, |total, &n| total.checked_mul(n as u64));
        wide.filter(|&total| total <= MAX_ELEMENTS)
    };
    for param in &inferred.params {
        if product(&param.dims).is_none() {
            let dims: Vec<String> = param.dims.iter().map(ToString::to_string).collect();
            return Some(format!("a `{}` of {} elements: more than 2^40", param.name, dims.join(" x ")));
        }
    }
    if product(inferred.output.sample()).is_none() {
        return Some(format!("a value of shape {}: more than 2^40 elements a sample", inferred.output));
    }
    None
}
