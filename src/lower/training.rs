//! The training set-up: loss, penalties, optimiser, and the facts that a spec states about itself.

use super::{Lowering, eval};
use crate::args::{Call, Kind, Reader, Value, mistyped};
use crate::diag::{Diagnostic, Diagnostics, did_you_mean, rules};
use crate::front::ast::{ArgExpr, CallExpr, Expr, Penalty as PenaltyExpr, Setting, Train};
use crate::front::names::{LOSS_INPUTS, PRECISIONS, losses};
use crate::front::optimizers;
use crate::graph::builder::Draft;
use crate::graph::{
    Fact, FactKind, FeedKind, NodeRole, Optimizer, Path, Penalty, Precision, Prediction, Source,
};
use crate::manual::Callable;
use crate::ops::{Category, OpKind, OwnLoss};
use crate::source::Spanned;
use crate::tensor::Shape;

impl Lowering<'_> {
    pub(super) fn training(&mut self) {
        let spec = self.spec;
        if let Some(train) = &spec.train {
            self.train(train);
        }
        for fact in &spec.expect {
            self.fact(fact);
        }
    }

    fn train(&mut self, train: &Train) {
        for penalty in &train.penalties {
            self.penalty(penalty);
        }
        if let Some(call) = &train.optimizer {
            self.graph.training.optimizer = self.optimizer(call);
        }
        for (i, setting) in train.settings.iter().enumerate() {
            match train.settings[..i].iter().find(|other| other.name == setting.name) {
                Some(first) => {
                    let message = format!("`{}` is given twice", setting.name.value);
                    self.out.push(
                        Diagnostic::new(&rules::GIVEN_TWICE, setting.name.span, message)
                            .label(first.name.span, "first given here"),
                    );
                }
                None => self.setting(setting),
            }
        }
        if let Some(loss) = &train.loss {
            self.loss(loss);
        }
    }

    fn penalty(&mut self, penalty: &PenaltyExpr) {
        let env = self.env();
        let Some(factor) = eval::eval(&penalty.factor, &env, &mut self.out) else { return };
        let order = if penalty.kind.value == "l1" { 1 } else { 2 };
        let value = match crate::args::number(&factor.value) {
            Some(value) if value >= 0.0 => value,
            Some(value) => {
                let message = format!("`{}` is {value}", penalty.kind.value);
                self.out.push(
                    Diagnostic::new(&rules::OUT_OF_RANGE, factor.span, message).remark("must be at least 0"),
                );
                return;
            }
            None => {
                self.out.push(mistyped(
                    &format!("`{}`", penalty.kind.value),
                    Kind::Number,
                    &factor,
                    &env.scope(),
                ));
                return;
            }
        };
        let all = match penalty.on.as_ref().map(|on| (on.value.as_str(), on.span)) {
            None | Some(("weights", _)) => false,
            Some(("all", _)) => true,
            Some((other, span)) => {
                let near = did_you_mean(other, ["weights", "all"]);
                let message = format!("a penalty on `{other}`");
                self.out.push(
                    Diagnostic::new(&rules::WRONG_TYPE, span, message)
                        .remark("must be `weights` or `all`")
                        .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
                );
                return;
            }
        };
        self.graph.penalties.push(Penalty {
            order,
            factor: value,
            all,
            on: penalty.on.as_ref().map(|on| on.span),
            span: penalty.kind.span.to(factor.span),
        });
    }

    fn optimizer(&mut self, call: &CallExpr) -> Option<Spanned<Optimizer>> {
        let env = self.env();
        let value = eval::invocation(call, &env, &mut self.out)?;
        let Some(Callable { signature, .. }) = optimizers::find(&value.name.value) else {
            let other = value.name.value.as_str();
            let near = did_you_mean(other, optimizers::ALL.iter().map(|optimizer| optimizer.name));
            let message = format!("there is no optimiser `{other}`");
            self.out.push(Diagnostic::new(&rules::UNKNOWN_CALLEE, call.name.span, message).help(
                near.map_or("the optimisers are sgd, adam and adamw".to_owned(), |near| {
                    format!("did you mean `{near}`?")
                }),
            ));
            return None;
        };
        let scope = env.scope();
        let mut args = Reader::new(&value, None, signature, &scope, &mut self.out);
        let lr = args.number_where("lr", "above 0", |x| x > 0.0);
        let share = |x: f64| (0.0..1.0).contains(&x);
        let read = if value.name.value == "sgd" {
            let momentum = args.number_where("momentum", "in 0..1", share);
            Optimizer::Sgd { lr: lr?, momentum: momentum? }
        } else {
            let beta1 = args.number_where("beta1", "in 0..1", share);
            let beta2 = args.number_where("beta2", "in 0..1", share);
            let eps = args.number_where("eps", "at least 0", |x| x >= 0.0);
            let decay = match value.name.value.as_str() {
                "adamw" => Some(args.number_where("weight_decay", "at least 0", |x| x >= 0.0)?),
                _ => None,
            };
            Optimizer::Adam { lr: lr?, beta1: beta1?, beta2: beta2?, eps: eps?, decay }
        };
        Some(Spanned::new(read, call.span()))
    }

    fn setting(&mut self, setting: &Setting) {
        let known = ["batch", "epochs", "seed"];
        let name = setting.name.value.as_str();
        if name == "predict" {
            self.graph.training.predict = self.predict(&setting.value);
            return;
        }
        if name == "precision" {
            self.graph.training.precision = self.precision(&setting.value);
            return;
        }
        if name == "loss_scale" {
            self.graph.training.loss_scale = self.loss_scale(&setting.value);
            return;
        }
        if !known.contains(&name) {
            let all = [
                "loss",
                "l1",
                "l2",
                "batch",
                "epochs",
                "seed",
                "predict",
                "precision",
                "loss_scale",
                "sgd",
                "adam",
                "adamw",
            ];
            let near = did_you_mean(name, all);
            let help = match (name, near) {
                ("loss", _) => "write loss cross_entropy(output, target)".to_owned(),
                ("sgd" | "adam" | "adamw", _) => format!("write {name}(lr=...)"),
                (_, Some(near)) => format!("did you mean `{near}`?"),
                (_, None) => {
                    "the training set-up has loss, l1, l2, an optimiser, batch, epochs, seed, predict, precision \
                     and loss_scale"
                        .to_owned()
                }
            };
            let message = match name {
                "loss" => "`loss` names a loss with its arguments".to_owned(),
                _ => format!("`train` has no setting `{name}`"),
            };
            self.out.push(Diagnostic::new(&rules::UNKNOWN_KEY, setting.name.span, message).help(help));
            return;
        }
        let env = self.env();
        let Some(value) = eval::eval(&setting.value, &env, &mut self.out) else { return };
        let least = i64::from(name != "seed");
        let Value::Int(n) = value.value else {
            self.out.push(mistyped(
                &format!("`{name}`"),
                if least == 1 { Kind::Size } else { Kind::Count },
                &value,
                &env.scope(),
            ));
            return;
        };
        if n < least {
            let message = format!("`{name}` is {n}");
            self.out.push(
                Diagnostic::new(&rules::OUT_OF_RANGE, value.span, message)
                    .remark(format!("must be at least {least}")),
            );
            return;
        }
        let training = &mut self.graph.training;
        match name {
            "batch" => training.batch = usize::try_from(n).ok(),
            "epochs" => training.epochs = usize::try_from(n).ok(),
            _ => training.seed = Some(n.unsigned_abs()),
        }
    }

    /// `f16`, `bf16` or `f32`.
    fn precision(&mut self, value: &Spanned<Expr>) -> Option<Spanned<Precision>> {
        let word = match &value.value {
            Expr::Error => return None,
            Expr::Name(word) => word.as_str(),
            _ => "",
        };
        let found = Precision::find(word).map(|precision| Spanned::new(precision, value.span));
        if found.is_none() {
            let message = match word {
                "" => "`precision` names the numbers that training runs in".to_owned(),
                _ => format!("there is no precision `{word}`"),
            };
            let near = did_you_mean(word, PRECISIONS);
            self.out.push(
                Diagnostic::new(&rules::WRONG_TYPE, value.span, message)
                    .remark("must be f16, bf16 or f32")
                    .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
            );
        }
        found
    }

    /// What the loss is multiplied by before the way back.
    fn loss_scale(&mut self, value: &Spanned<Expr>) -> Option<f64> {
        let env = self.env();
        let value = eval::eval(value, &env, &mut self.out)?;
        let scale = crate::args::number(&value.value);
        match scale {
            Some(scale) if scale > 0.0 => return Some(scale),
            Some(scale) => self.out.push(
                Diagnostic::new(&rules::OUT_OF_RANGE, value.span, format!("`loss_scale` is {scale}"))
                    .remark("must be above 0"),
            ),
            None => self.out.push(mistyped("`loss_scale`", Kind::Number, &value, &env.scope())),
        }
        None
    }

    /// `out`, or `unscale(out, price)`.
    fn predict(&mut self, value: &Spanned<Expr>) -> Option<Prediction> {
        let Expr::Call(call) = &value.value else {
            let output = self.value_or_target(value, "`predict`", false)?;
            return Some(Prediction { output, undone: None, span: value.span });
        };
        let [output, target] = match (call.name.value.as_str(), call.args.as_slice()) {
            ("unscale", [output, target]) if output.name.is_none() && target.name.is_none() => {
                [output, target]
            }
            _ => {
                self.out.push(
                    Diagnostic::new(
                        &rules::WRONG_TYPE,
                        value.span,
                        "`predict` names a node, or undoes the chain of a target on it",
                    )
                    .help("write predict out, or predict unscale(out, target)"),
                );
                return None;
            }
        };
        let output = self.value_or_target(&output.value, "`unscale`", false);
        let of = target.value.span;
        let Source::Feed(target) = self.value_or_target(&target.value, "`unscale`", true)? else {
            return None;
        };
        Some(Prediction { output: output?, undone: Some((target, of)), span: value.span })
    }

    fn loss(&mut self, loss: &CallExpr) {
        let is_loss = |name: &str| OpKind::find(name).filter(|op| op.group == Category::Loss.name());
        let entry = is_loss(&loss.name.value);
        let declared = |name: &str| self.own.get(name).is_some_and(|own| own.is_loss);
        if entry.is_none() && !declared(&loss.name.value) {
            if self.lost.explains(&loss.name.value) {
                self.graph.partial = true;
                return;
            }
            let own = self.own.iter().filter(|(_, own)| own.is_loss).map(|(name, _)| name.as_str());
            let mut all: Vec<&str> = own.collect();
            losses().for_each(|loss| all.push(loss));
            let near = did_you_mean(&loss.name.value, all.iter().copied());
            let known = format!("the losses are {}", all.join(", "));
            let message = format!("there is no loss `{}`", loss.name.value);
            self.out.push(
                Diagnostic::new(&rules::UNKNOWN_CALLEE, loss.name.span, message)
                    .help(near.map_or(known, |near| format!("did you mean `{near}`?"))),
            );
            self.graph.partial = true;
            return;
        }
        let named = |wanted: &str| {
            loss.args
                .iter()
                .find(|arg| arg.name.as_ref().is_some_and(|name| name.value == wanted))
                .map(|arg| &arg.value)
        };
        let sources: Vec<Option<Source>> = LOSS_INPUTS
            .iter()
            .map(|wanted| match named(wanted) {
                Some(value) => self.value_or_target(value, "a loss", *wanted == "target"),
                None => {
                    let message = format!("`{}` needs its {wanted}", loss.name.value);
                    let help = format!("write loss {}(output, target)", loss.name.value);
                    self.out.push(Diagnostic::new(&rules::MISSING, loss.span(), message).help(help));
                    None
                }
            })
            .collect();
        let env = self.env();
        let is_input =
            |arg: &&ArgExpr| arg.name.as_ref().is_some_and(|name| LOSS_INPUTS.contains(&name.value.as_str()));
        let rest: Vec<ArgExpr> = loss.args.iter().filter(|arg| !is_input(arg)).cloned().collect();
        let read = eval::arguments(&rest, &env, &mut self.out).and_then(|args| {
            let call = Call { name: loss.name.clone(), args, span: loss.span() };
            let Some(entry) = entry else {
                let own = self.call_own(&call, &env)?;
                return Some((OpKind::OwnLoss(OwnLoss(own)), Vec::new()));
            };
            let scope = env.scope();
            let mut reader = Reader::new(&call, None, entry.signature, &scope, &mut self.out);
            let arguments = reader.spans();
            OpKind::read(entry.name, &mut reader).map(|op| (op, arguments))
        });
        let ([Some(output), Some(target)], Some((op, arguments))) = (sources.as_slice(), read) else {
            self.graph.partial = true;
            return;
        };
        let fits = self.check_target(&op, loss, *output, *target);
        let draft = Draft {
            path: Path::default().join("loss", None),
            op,
            inputs: vec![*output, *target],
            span: loss.span(),
            arguments,
            trail: Vec::new(),
            role: NodeRole::Plain,
            tie: None,
        };
        // A target of the wrong kind is said once; that its shape does not fit either would be the same mistake again.
        let mut unsaid = Diagnostics::default();
        let node = self.graph.add(draft, if fits { &mut self.out } else { &mut unsaid });
        self.graph.loss = Some(node);
    }

    /// The value or target that an argument of a loss or of `predict` names.
    fn value_or_target(&mut self, value: &Spanned<Expr>, of: &str, target: bool) -> Option<Source> {
        let index = &mut |index: &Spanned<Expr>| match index.value {
            Expr::Int(i) => Some(i),
            _ => None,
        };
        let Some(path) = eval::path_text(&value.value, index) else {
            let what = if target { "a target" } else { "a node" };
            let message = format!("{of} takes the name of {what} here");
            self.out.push(Diagnostic::new(&rules::WRONG_TYPE, value.span, message));
            return None;
        };
        let feed = self.graph.feed(&path).map(|feed| (feed, self.graph.feeds[feed].target));
        match (target, feed, self.names.get(&path)) {
            (true, Some((feed, true)), _) => return Some(Source::Feed(feed)),
            (false, _, Some((source, _))) => return Some(*source),
            (false, Some((feed, false)), None) => return Some(Source::Feed(feed)),
            _ => {}
        }
        if self.lost.explains(&path) {
            return None;
        }
        let (what, known): (&str, Vec<String>) = if target {
            let targets =
                self.graph.feeds.iter().filter(|(_, feed)| feed.target).map(|(_, feed)| feed.name.clone());
            ("target", targets.collect())
        } else {
            ("node", self.names.keys().cloned().collect())
        };
        let near = did_you_mean(&path, known.iter().map(String::as_str)).map(str::to_owned);
        let list = if target && known.is_empty() {
            "declare one: target y: class(10), or y class(column, 10) in `data`".to_owned()
        } else if target {
            format!("the targets are {}", known.join(", "))
        } else {
            "name a node of the net".to_owned()
        };
        self.out.push(
            Diagnostic::new(&rules::UNKNOWN_NAME, value.span, format!("there is no {what} `{path}`"))
                .help(near.map_or(list, |near| format!("did you mean `{near}`?"))),
        );
        None
    }

    /// Class labels go with `cross_entropy` and `nll` (and two of them with `bce_with_logits` and `bce`), numbers with the others. Only
    /// labels may lack the axis of a single output: numbers have the output's shape.
    fn check_target(&mut self, op: &OpKind, loss: &CallExpr, output: Source, target: Source) -> bool {
        let Source::Feed(feed) = target else { return true };
        let feed = &self.graph.feeds[feed];
        let wants_classes = matches!(op.name(), "cross_entropy" | "nll");
        let binary = matches!(op.name(), "bce_with_logits" | "bce");
        let (fits, labels) = match &feed.kind {
            FeedKind::Class(classes, _) => (wants_classes || (binary && *classes == Some(2)), true),
            _ => (!wants_classes, false),
        };
        if !fits {
            let (wanted, help) = if wants_classes {
                ("class labels", "declare the target as class(column, n), or use mse for numbers")
            } else if binary {
                ("numbers or two classes", "use cross_entropy for class labels, or declare class(2)")
            } else {
                ("numbers", "use cross_entropy for class labels")
            };
            let message = format!("`{}` needs {wanted}, and `{}` holds none", op.name(), feed.name);
            self.out.push(
                Diagnostic::new(&rules::WRONG_TYPE, loss.span(), message)
                    .label(feed.span, "declared here")
                    .help(help),
            );
            return false;
        }
        if let (true, false, Some(output), Some(target)) =
            (binary, labels, self.graph.shape(output), &feed.shape)
        {
            let squeezed = output.sample().split_last().map(|(_, outer)| outer);
            if output != target && squeezed == Some(target.sample()) {
                let message = format!("`{}` compares an output {output} with a target {target}", op.name());
                self.out.push(
                    Diagnostic::new(&rules::SHAPE_MISMATCH, loss.span(), message)
                        .label(feed.span, "declared here, as numbers")
                        .help("declare the target as class(2), or give it the output's shape"),
                );
                return false;
            }
        }
        true
    }

    fn fact(&mut self, fact: &Setting) {
        // `B` names the batch, because no parameter may be called that.
        let env = self.env();
        let Some(value) = eval::eval(&fact.value, &env, &mut self.out) else { return };
        let kind = match (fact.name.value.as_str(), &value.value) {
            ("params", Value::Int(n)) if *n >= 0 => Some(FactKind::Params(n.unsigned_abs())),
            ("state", Value::Int(n)) if *n >= 0 => Some(FactKind::State(n.unsigned_abs())),
            ("output", Value::List(axes)) => {
                let sizes: Option<Vec<usize>> = axes
                    .iter()
                    .skip(1)
                    .map(|axis| match axis.value {
                        Value::Int(n) => usize::try_from(n).ok(),
                        _ => None,
                    })
                    .collect();
                let batch = axes.first().is_some_and(|axis| axis.value == Value::Symbol("B".to_owned()));
                sizes.filter(|_| batch).map(|sizes| FactKind::Output(Shape::new(sizes)))
            }
            ("params" | "state" | "output", _) => None,
            (other, _) => {
                let near = did_you_mean(other, ["params", "state", "output"]);
                let message = format!("there is no fact `{other}`");
                self.out.push(Diagnostic::new(&rules::UNKNOWN_KEY, fact.name.span, message).help(
                    near.map_or("the facts are params, state and output".to_owned(), |near| {
                        format!("did you mean `{near}`?")
                    }),
                ));
                return;
            }
        };
        match kind {
            Some(kind) => self.graph.facts.push(Fact { kind, span: fact.name.span.to(value.span) }),
            None => {
                let message = format!("`{}` cannot be `{}`", fact.name.value, value.value);
                let wanted =
                    if fact.name.value == "output" { "a shape: [B, 10]" } else { "an integer of at least 0" };
                self.out.push(
                    Diagnostic::new(&rules::WRONG_TYPE, value.span, message)
                        .remark(format!("must be {wanted}")),
                );
            }
        }
    }
}
