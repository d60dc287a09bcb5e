//! Predictions that are not brought back to the units of the target.
//!
//! ## What it checks
//!
//! `predict` in the training set-up says what the model answers. If the loss compares a value with a target whose chain changes its scale
//! (`standardize`, `minmax`, `scale`, `log1p`, `clip`), then what is predicted from that value must undo the chain: `unscale(out, y)` with the
//! same target. It is an error to answer the value as it is, to undo the chain of another target, or to undo a chain that cannot be
//! undone because `clip` has made different numbers equal. Both places are underlined: the prediction, and the scaling.
//!
//! ## Why it matters
//!
//! A net that was trained on (y - mu) / sigma answers in standard deviations: with mu = 152 and sigma = 77 every prediction is off by about the
//! mean of the data. With the statistics of another target it is off by a factor and an offset that no test of shapes sees: y' = sigma' y_hat +
//! mu'.
//!
//! ## Example
//!
//! ```text
//! data {
//!   train  csv("train.csv")
//!   x      numeric("s*")    |> standardize(fit=train)
//!   y      target(progress) |> standardize(fit=train)
//! }
//! train { loss mse(out, y)  predict out }
//! ```
//!
//! ## Instead
//!
//! `predict unscale(out, y)`. `wellposed run --raw` then writes `prediction` in the units of the file, with the stored statistics. The fix
//! changes what is answered and nothing in training.
//!
//! ## References
//!
//! scikit-learn's `TransformedTargetRegressor`; research: static.md P14, P15 (TALENT#89, Time-Series-Lib#132, ts-autoencoder#18).

use super::{Context, lint};
use crate::data::units::{place, written};
use crate::diag::suppress::Notation;
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};
use crate::graph::{Feed, Graph, Prediction, Source};
use crate::source::Span;

pub static RULE: Rule = lint!("scaled_prediction.rs" = "D009" "scaled-prediction" Error from "P14" "P15");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let Some(prediction) = &graph.training.predict else { return };
    let Prediction { output, undone, span } = *prediction;
    let trained = graph.loss.map(|loss| &graph.nodes[loss].inputs);
    let against = match trained.map(Vec::as_slice) {
        Some([value, Source::Feed(target)]) if *value == output => Some(&graph.feeds[*target]),
        _ => None,
    };
    let value = graph.name_of(output);
    match (undone, against) {
        (None, Some(target)) => {
            let chain = graph.trained_chain(target);
            let steps: Vec<String> = chain
                .iter()
                .filter(|step| !step.transform.keeps_numbers())
                .map(|step| written(&step.transform))
                .collect();
            if let (Some(scaling), false) = (place(chain), steps.is_empty()) {
                let call = format!("unscale({value}, {})", target.name);
                let message = format!("`{value}` is answered in the units behind `{}`", steps.join(" |> "));
                out.push(finding(
                    context,
                    (span, &message),
                    (scaling, "the target is scaled here"),
                    span,
                    call,
                ));
            }
        }
        (Some((of, place_of)), Some(target)) if graph.feeds[of].name != target.name => {
            let other = &graph.feeds[of];
            let message = format!(
                "`{value}` is undone with the chain of `{}`, and was trained against `{}`",
                other.name, target.name
            );
            let scaling = chain_place(graph, target);
            let text = "trained against what this chain makes";
            out.push(finding(context, (place_of, &message), (scaling, text), place_of, target.name.clone()));
        }
        _ => {}
    }
    let Some((of, place_of)) = undone else { return };
    let target = &graph.feeds[of];
    if let Some(step) = graph.trained_chain(target).iter().find(|step| !step.transform.can_be_undone()) {
        let message = format!("`{}` of `{}` cannot be undone", written(&step.transform), target.name);
        out.push(
            Diagnostic::new(&RULE, step.span, message)
                .remark("different numbers become equal")
                .label(place_of, "undone here")
                .help("leave it out of the target's chain"),
        );
    }
}

fn chain_place(graph: &Graph, feed: &Feed) -> Span {
    place(graph.trained_chain(feed)).unwrap_or(feed.span)
}

fn finding(
    context: Context<'_>,
    (span, message): (Span, &str),
    (scaling, text): (Span, &str),
    replaced: Span,
    by: String,
) -> Diagnostic {
    let diagnostic = Diagnostic::new(&RULE, span, message).label(scaling, text);
    let call = if by.contains('(') { by.clone() } else { format!("unscale(..., {by})") };
    let diagnostic = diagnostic.help(format!("predict {call}"));
    if context.notation != Notation::Dsl {
        return diagnostic;
    }
    diagnostic.fix(Fix {
        title: "undo the scaling of the target".to_owned(),
        safety: Safety::Unsafe,
        level: Level::Interface,
        edits: vec![Edit { span: replaced, text: by }],
    })
}
