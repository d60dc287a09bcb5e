//! Copies of rows that reach evaluation.
//!
//! ## What it checks
//!
//! `oversample(..., only=always)`, which copies rows before they are divided or on every split.
//!
//! ## Why it matters
//!
//! Copies that are made before a split land on both sides of it: the model is then judged on rows that it was trained on, and the
//! better it remembers them, the better it looks. Copies within validation or test rows change the classes' shares, so that the
//! error is that of a population which nobody meets, and each copied row counts as if it were several.
//!
//! ## Example
//!
//! ```text
//! rows oversample(y, only=always)
//! y    class(target, 10)
//! ```
//!
//! ## Instead
//!
//! `only=train`. The fix is safe: it changes no row of training.
//!
//! ## References
//!
//! Santos et al. 2018, "Cross-validation for imbalanced datasets: avoiding overoptimistic and overfitting approaches"; research:
//! static.md P21.

use super::{Context, lint};
use crate::data::{Split, SplitSet};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};

pub static RULE: Rule = lint!("oversampled_evaluation.rs" = "D012" "oversampled-evaluation" Error from "P21");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let Some(plan) = &context.graph.data else { return };
    let Some(copied) = plan.oversample.as_ref().filter(|copied| copied.always.value) else { return };
    let mut judged = plan.splits();
    judged.retain(|split| matches!(split, Split::Val | Split::Test));
    let reach =
        if judged.is_empty() { "every row that is served".to_owned() } else { SplitSet(&judged).to_string() };
    let message = format!("copies of rows of the rarer classes of `{}` reach {reach}", copied.by.value);
    let mut diagnostic = Diagnostic::new(&RULE, copied.always.span, message)
        .remark("`always`: before the split, and on all sides of it");
    if let Some(place) = judged.iter().find_map(|split| plan.place(*split)) {
        diagnostic = diagnostic.label(place, format!("judged on {}", SplitSet(&judged)));
    }
    out.push(diagnostic.help("only=train").fix(Fix {
        title: "copy training rows only".to_owned(),
        safety: Safety::Safe,
        level: Level::Data,
        edits: vec![Edit { span: copied.always.span, text: "train".to_owned() }],
    }));
}
