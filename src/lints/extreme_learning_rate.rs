//! A learning rate outside of the range in which its optimiser works.
//!
//! ## What it checks
//!
//! `lr` of `sgd` in 1e-7..1, of `adam` and `adamw` in 1e-7..1e-2, ends included. With momentum m a step of SGD adds up to
//! lr / (1 - m), which the message shows.
//!
//! ## Why it matters
//!
//! Adam divides the gradient by its own scale, so every weight moves by about lr in every step, whatever the loss: weights of a
//! layer with fan_in 256 have a standard deviation near 0.09, and a step of 0.1 replaces them. Gradient descent is stable for
//! lr < 2 / lambda, lambda being the largest curvature, which at unit scales is of the order of 1. Below 1e-7 a weight of 0.1 in single
//! precision does not move at all.
//!
//! ## Example
//!
//! ```text
//! train { loss cross_entropy(out, y)  adam(lr=0.5) }
//! ```
//!
//! ## Instead
//!
//! `adam(lr=1e-3)`, `sgd(lr=0.1, momentum=0.9)`, and a search from there.
//!
//! ## References
//!
//! Kingma and Ba 2015, section 2.1; Schoop, Huang and Hartmann 2021 (UMLAUT); LeCun et al. 1998, section 4.7.

use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::Optimizer;
use crate::text::number;

pub static RULE: Rule = lint!("extreme_learning_rate.rs" = "T001" "extreme-learning-rate" Warning from "T01");

const LEAST: f64 = 1e-7;

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let Some(optimizer) = &context.graph.training.optimizer else { return };
    let lr = optimizer.value.lr();
    let (name, most, usual) = match &optimizer.value {
        Optimizer::Sgd { .. } => ("sgd", 1.0, "0.01..0.1"),
        Optimizer::Adam { decay: None, .. } => ("adam", 1e-2, "1e-4..1e-3"),
        Optimizer::Adam { decay: Some(_), .. } => ("adamw", 1e-2, "1e-4..1e-3"),
    };
    let why = if lr > most {
        match &optimizer.value {
            Optimizer::Sgd { momentum, .. } if *momentum > 0.0 => {
                format!("above 1; with momentum steps add up to {}", number(lr / (1.0 - momentum)))
            }
            Optimizer::Sgd { .. } => "above 1: more than a curvature of 2 diverges".to_owned(),
            Optimizer::Adam { .. } => "above 1e-2: every weight moves by about this in every step".to_owned(),
        }
    } else if lr < LEAST {
        "below 1e-7: weights in single precision do not move".to_owned()
    } else {
        return;
    };
    out.push(
        Diagnostic::new(&RULE, optimizer.span, format!("a learning rate of {} for `{name}`", number(lr)))
            .remark(why)
            .help(format!("begin with {name}(lr={usual})")),
    );
}
