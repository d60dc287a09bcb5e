//! A head that starts without what the targets are like on average.
//!
//! ## What it checks
//!
//! A head whose biases start at 0, against the training rows. For classes with the shares p_k, behind `cross_entropy` or
//! `bce_with_logits`: with logits near 0 the loss starts at ln C (ln 2 for yes or no), with the biases ln p_k (ln p / (1 - p)) at
//! the entropy H = -sum p_k ln p_k. For a numeric target that no transform normalises, behind `mse`: with predictions near 0 the
//! loss starts at E y^2, with the mean as bias at Var y. Information where the second number is less than three quarters of the
//! first for classes, and less than a tenth of it for a number whose rms is at most 10; above, `unlike-unit-scale` speaks.
//!
//! ## Why it matters
//!
//! The first steps learn nothing but the average: the loss falls fast, then turns into the curve that matters (a hockey stick),
//! and what the layers before the head learn meanwhile follows a gradient with one sign for nearly all rows. A step of Adam moves
//! a bias by at most its learning rate, so that a mean of 5 takes 5000 steps at 10^-3.
//!
//! ## Example
//!
//! ```text
//! y  class(churned, ["no", "yes"])
//! ```
//!
//! with 5 % `yes`, and `bce_with_logits` on `linear(1, init=lecun_normal)`.
//!
//! ## Instead
//!
//! `bias_init=constant(-2.94)`, the logarithm of the odds 5 : 95; for C classes ln p_k in the biases before the first step; for a
//! number its mean, or `standardize(fit=train)`.
//!
//! ## References
//!
//! Karpathy 2019, "A recipe for training neural networks"; Lin et al. 2017, "Focal loss for dense object detection", section 4.1; research: static.md I14.

use super::{Subject, audit, percent};
use crate::data::{Content, Group, Split};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{Node, Source};
use crate::ops::{Category, Role};
use crate::text::number;

pub static RULE: Rule = audit!("ignored_prior.rs" = "D213" "ignored-prior" Info from "I14");

/// The share of the starting loss that is left with the shares of the classes, above which it is not worth a word.
const CLASSES: f64 = 0.75;
/// Likewise with the mean of a number.
const MEAN: f64 = 0.1;
/// The rms of a target above which another audit speaks.
const LARGE: f64 = 10.0;

pub fn check(subject: &Subject<'_>, out: &mut Diagnostics) {
    let graph = subject.graph;
    let Some(loss) = graph.loss.map(|loss| &graph.nodes[loss]) else { return };
    let [Source::Node(prediction), Source::Feed(target)] = *loss.inputs.as_slice() else { return };
    let (head, Some(group)) = (&graph.nodes[prediction], graph.group(&graph.feeds[target])) else { return };
    if !starts_at_zero(subject, head) {
        return;
    }
    out.extend(match (loss.op.name(), &group.content) {
        ("cross_entropy" | "bce_with_logits", Content::Class(..)) => classes(subject, group, loss, head),
        ("mse", Content::Target) => mean(subject, group, head),
        _ => None,
    });
}

/// Whether a node is a layer with a bias that starts at zero.
fn starts_at_zero(subject: &Subject<'_>, head: &Node) -> bool {
    let specs = subject.graph.slots(head).map(|(_, spec)| spec);
    let bias = specs.into_iter().find(|spec| spec.role == Role::Bias);
    let zero = bias.and_then(|spec| spec.init.as_ref()).and_then(|init| init.value.constant());
    head.op.category() == Category::Layer && zero == Some(0.0)
}

/// The finding about classes of unequal shares.
#[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
fn classes(subject: &Subject<'_>, group: &Group, loss: &Node, head: &Node) -> Option<Diagnostic> {
    let counts = subject.profile.splits.get(&Split::Train)?.classes.get(&group.name.value)?;
    let rows: u64 = counts.iter().sum();
    // A class without rows is an error of its own, and has no logarithm.
    if counts.len() < 2 || counts.contains(&0) {
        return None;
    }
    let shares: Vec<f64> = counts.iter().map(|count| *count as f64 / rows as f64).collect();
    let entropy: f64 = shares.iter().map(|p| -p * p.ln()).sum();
    let uniform = (shares.len() as f64).ln();
    if entropy >= CLASSES * uniform {
        return None;
    }
    let odds =
        (loss.op.name() == "bce_with_logits" && shares.len() == 2).then(|| (shares[1] / shares[0]).ln());
    let (name, instead) = match odds {
        Some(odds) => {
            ("b = ln p / (1 - p)", format!("bias_init=constant({}), the logarithm of the odds", number(odds)))
        }
        None => ("b = ln p", "biases of ln p, the shares of the classes, before the first step".to_owned()),
    };
    let message = format!(
        "the head ignores how frequent the classes of `{}` are: the loss starts at {}, with {name} at {}",
        group.name.value,
        number(uniform),
        number(entropy)
    );
    let most = counts.iter().max().copied().unwrap_or(0);
    Some(
        Diagnostic::new(&RULE, head.span, message)
            .remark("its biases start at 0")
            .label(group.source, format!("{} of the training rows are of one class", percent(most, rows)))
            .node(head.path.to_string())
            .trail(&head.trail)
            .help(instead),
    )
}

/// The finding about a number far from 0.
fn mean(subject: &Subject<'_>, group: &Group, head: &Node) -> Option<Diagnostic> {
    if group.chain_on(Split::Train).iter().any(|step| step.transform.normalises()) {
        return None;
    }
    let columns = &subject.profile.train(group)?.input;
    let sum = |of: &dyn Fn(&super::Column) -> f64| columns.iter().map(of).sum::<f64>();
    #[expect(clippy::cast_precision_loss, reason = "column counts are far below 2^53")]
    let n = columns.len() as f64;
    let (square, variance) = (sum(&super::Column::square) / n, sum(&super::Column::variance) / n);
    if !(variance < MEAN * square && square <= LARGE * LARGE) {
        return None;
    }
    let message = format!(
        "the head ignores the mean of `{}`: the loss starts at {}, with the mean as bias at {}",
        group.name.value,
        number(square),
        number(variance)
    );
    let instead = match columns.as_slice() {
        [only] => format!("bias_init=constant({}), or standardize(fit=train)", number(only.mean)),
        _ => "standardize(fit=train), and undo it on predictions with the same statistics".to_owned(),
    };
    Some(
        Diagnostic::new(&RULE, head.span, message)
            .remark("its biases start at 0")
            .label(group.source, "never near 0")
            .node(head.path.to_string())
            .trail(&head.trail)
            .help(instead),
    )
}
