//! Weights that two layers share.
//!
//! `fc2: linear(64, tie=fc1)` takes the weight of `fc1` in place of one of its own; in YAML `{id: fc2, linear: {out: 64, tie: fc1}}`. The
//! bias of `fc2` stays its own. The name is one that `<-` would find: an earlier node, by its path through blocks and loops where it
//! needs one (`tie=stage[1].conv`, and inside a loop over i `tie=h[i - 1].fc`). `wellposed show` has `tied fc1.weight` in the
//! line of `fc2`.
//!
//! Which layers can share goes by the shape of their `weight`, not by the operator: `conv_transpose2d(1, kernel=3, tie=conv1)` on the output
//! side of an autoencoder is the transpose of `conv1`, both weights being `[out, in, 3, 3]` of `conv1`, and `linear(vocab, tie=tok)` reads out
//! tokens with the table `[vocab, dim]` of the embedding `tok`. A tie to a layer that is tied
//! itself means the weight of the layer that owns it.
//!
//! The tensor exists once: in the count of parameters, in `l2`, in files of weights (under the name of its owner), and in the
//! steps of the optimiser. Its gradient is the sum over its uses. It is drawn as its owner says, with the fans of the owner;
//! `init=` beside `tie=` is therefore an error, and a `default` for `init` does not apply.
//!
//! The signal analysis takes the variance that the owner draws and the fans of the use, and assumes that uses are independent. In wide
//! nets that is right for forward and backward scales while all uses apply the same matrix (Yang 2019: a matrix that is applied
//! again behaves like a fresh one, as long as its transpose is not applied). A matrix and its transpose are not independent: for W of m
//! rows and n columns the mean square of W^T W x is (m + n + 1)/n of what two independent matrices give, so that behind such
//! a pair the predicted scale is not compared with the measured one.

use super::eval;
use super::{Lowering, MAX_DEPTH, body::Flow, body::Scope};
use crate::args::Param;
use crate::diag::{Diagnostic, rules};
use crate::front::ast::{ArgExpr, CallExpr};
use crate::graph::{Handle, Node, ParamTensor, Path, Source, Tie};
use crate::ops::{OpKind, ParamSpec, Role};
use crate::source::Span;
use crate::tensor::Shape;

/// The tensor that layers share.
const SHARED: &str = "weight";

/// Whether a tensor is one that layers can share.
fn is_shared(spec: &ParamSpec) -> bool {
    spec.name == SHARED && matches!(spec.role, Role::Kernel | Role::Table)
}

impl Lowering<'_> {
    /// The tensor that a statement shares; `Ok(None)` if it shares none, `Err` after reporting or if something is silently unknown.
    pub(super) fn tie(
        &mut self,
        op: &OpKind,
        call: &CallExpr,
        path: &Path,
        inputs: &[Source],
        scope: &Scope,
    ) -> Result<Option<(Tie, Handle<ParamTensor>)>, ()> {
        let signature = OpKind::find(op.name()).map_or(&[][..], |op| op.signature);
        let Some(arg) = call.args.iter().find(|arg| eval::names_node(arg, signature)) else {
            return Ok(None);
        };
        let env = self.env_of(scope);
        let name = eval::path(&arg.value, &env, &mut self.out).ok_or(())?;
        let owner = match self.reference(&name, scope) {
            Flow::Value(Source::Node(owner)) => owner,
            Flow::Value(Source::Feed(feed)) => {
                let message = format!("`{}` is an input and has no weight", name.value);
                let diagnostic = Diagnostic::new(&rules::WRONG_TYPE, name.span, message);
                self.out
                    .push(diagnostic.label(self.graph.feeds[feed].span, "declared here").trail(&self.trail));
                return Err(());
            }
            Flow::Ambiguous | Flow::Poison => return Err(()),
        };
        let node = &self.graph.nodes[owner];
        if node.shape.is_none() {
            return Err(());
        }
        let Some((param, _)) = self.graph.slots(node).find(|(_, spec)| is_shared(spec)) else {
            let message = format!("`{}` is `{}`, which has no weight to share", name.value, node.op.name());
            let diagnostic = Diagnostic::new(&rules::WRONG_TYPE, name.span, message)
                .label(node.span, format!("`{}`", node.op.name()))
                .maybe_help(self.layer_before(node));
            self.out.push(diagnostic.trail(&self.trail));
            return Err(());
        };
        self.single_init(call, arg, &node.path.clone(), param)?;
        self.fit(op, path, inputs, name.span, owner, param)
    }

    /// Whose initialiser would it be?
    fn single_init(
        &mut self,
        call: &CallExpr,
        tie: &ArgExpr,
        owner: &Path,
        param: Handle<ParamTensor>,
    ) -> Result<(), ()> {
        let named = |arg: &&ArgExpr| arg.name.as_ref().is_some_and(|name| name.value == "init");
        let Some(init) = call.args.iter().find(named) else { return Ok(()) };
        let message =
            format!("`init` beside `tie`: the weight of `{owner}` is drawn once, as `{owner}` says");
        let mut diagnostic = Diagnostic::new(&rules::GIVEN_TWICE, init.value.span, message)
            .label(tie.value.span, "shared here")
            .help("leave `init` out; `bias_init` stays, since the bias is not shared")
            .trail(&self.trail);
        if let Some(first) = &self.graph.params[param].spec.init {
            diagnostic = diagnostic.label(first.span, "drawn like this");
        }
        self.out.push(diagnostic);
        Err(())
    }

    /// The tie, if the shared tensor has the shape that the op takes. Where that is unknown, there is nothing to share, or to report.
    fn fit(
        &mut self,
        op: &OpKind,
        path: &Path,
        inputs: &[Source],
        span: Span,
        owner: Handle<Node>,
        param: Handle<ParamTensor>,
    ) -> Result<Option<(Tie, Handle<ParamTensor>)>, ()> {
        let shapes: Option<Vec<&Shape>> = inputs.iter().map(|source| self.graph.shape(*source)).collect();
        let Some(inferred) = shapes.and_then(|shapes| op.infer(&shapes).ok()) else { return Ok(None) };
        let mut slots = inferred.params.into_iter().enumerate();
        let Some((slot, spec)) = slots.find(|(_, spec)| is_shared(spec)) else { return Ok(None) };
        let (node, shared) = (&self.graph.nodes[owner], &self.graph.params[param]);
        if spec.dims != shared.spec.dims {
            let (wanted, found) = (&spec.dims, &shared.spec.dims);
            let message = format!(
                "`{path}` takes a weight of {wanted:?} and cannot share that of `{}`, {found:?}",
                node.path
            );
            let turned = wanted.iter().rev().eq(found);
            let help = if turned {
                "a linear layer has [out, in]: this one would be the transpose of the other"
            } else {
                "shared weights have one shape: [out, in] of a linear layer, [out, in/groups, height, width] of a conv2d"
            };
            let diagnostic = Diagnostic::new(&rules::SHAPE_MISMATCH, span, message)
                .remark(format!("`{path}.{SHARED}` would be {wanted:?}"))
                .label(node.span, format!("`{}` is {found:?}", shared.path))
                .node(path.to_string())
                .help(help)
                .trail(&self.trail);
            self.out.push(diagnostic);
            return Err(());
        }
        let of = node.tie.as_ref().map_or(&node.path, |tie| &tie.owner).clone();
        let ParamSpec { init, fan_in, fan_out, .. } = shared.spec.clone();
        let spec = ParamSpec { init, drawn: Some([fan_in, fan_out]), ..spec };
        Ok(Some((Tie { slot, owner: of, spec }, param)))
    }

    /// The layer that a value without a weight is made of, a few nodes before it.
    fn layer_before(&self, node: &Node) -> Option<String> {
        let before = |node: &&Node| match node.inputs.first() {
            Some(Source::Node(input)) => Some(&self.graph.nodes[*input]),
            _ => None,
        };
        let mut way = std::iter::successors(Some(node), before).take(MAX_DEPTH);
        let layer = way.find(|node| self.graph.slots(node).any(|(_, spec)| is_shared(spec)))?;
        Some(format!("did you mean `{}`?", layer.path))
    }

    /// A `default` holds for every layer, and a node that all of them could name does not exist.
    pub(super) fn no_default_tie(&mut self, default: &CallExpr, signature: &[Param]) {
        for arg in default.args.iter().filter(|arg| eval::names_node(arg, signature)) {
            let message =
                format!("`tie` cannot be a default: no layer stands before every `{}`", default.name.value);
            let diagnostic = Diagnostic::new(&rules::UNKNOWN_KEY, arg.value.span, message);
            self.out.push(diagnostic.help("write it where a layer shares the weight of an earlier one"));
        }
    }
}
