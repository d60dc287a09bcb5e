//! Slopes of elementwise functions and decisions: masks, branches, the choice of a maximum, approximations.

use super::{Rule, Single, constant, near};
use crate::ops::{Activation, Arity, Category, ModeEffect, OpKind};
use crate::scalar::Dual;
use crate::tensor::Mode;
use crate::text::number;
use crate::valid::gradcheck::terms::Asked;
use crate::valid::gradcheck::ties::Windows;

/// Dropout: no mask, another mask, no scale.
pub(super) fn mask(rule: &Rule<'_>) -> Option<String> {
    let Asked { node, alone, .. } = rule.asked;
    if node.op.effect() != ModeEffect::TrainOnly || alone.settings.mode != Mode::Train {
        return None;
    }
    let all = rule.single()?;
    let kept = all.iter().map(|one| one.slope).fold(0.0, f64::max);
    if kept == 0.0 || all.iter().all(|one| one.slope != 0.0) {
        return None;
    }
    let scale = constant(all.iter().map(|one| one.given).filter(|given| *given != 0.0))?;
    let unscaled = !near(scale, kept);
    let scaling = if unscaled {
        format!("it is multiplied with {} in place of {} = 1/keep", number(scale), number(kept))
    } else {
        String::new()
    };
    let moved = all.iter().filter(|one| (one.given == 0.0) != (one.slope == 0.0)).count();
    let other = if all.iter().all(|one| one.given != 0.0) {
        "the mask is not applied: every derivative passes".to_owned()
    } else if moved > 0 {
        format!(
            "the mask is not that of the forward run: {moved} of {} decisions differ, as with another seed or another tensor's mask",
            all.len()
        )
    } else {
        return unscaled.then_some(scaling);
    };
    Some(if unscaled { format!("{other}, and {scaling}") } else { other })
}

/// A maximum: spread over its window, to another element, to all that are tied.
pub(super) fn choice(rule: &Rule<'_>) -> Option<String> {
    let Asked { node, alone, operands, cotangent, .. } = rule.asked;
    let windows = Windows::of(rule.place.graph, node, alone.batch)?;
    let mut even = vec![0.0; rule.given.len()];
    let mut whole = even.clone();
    let ties = windows.ties(&operands[0]);
    for (output, g) in cotangent.iter().enumerate() {
        let window = windows.at(output);
        #[expect(clippy::cast_precision_loss, reason = "elements of a window")]
        let share = g / window.len() as f64;
        window.iter().for_each(|&i| even[i] += share);
        let tie = ties.iter().find(|tie| tie.output == output);
        match tie {
            Some(tie) => tie.largest.iter().for_each(|&i| whole[i] += g),
            None => window
                .iter()
                .filter(|&&i| rule.slopes[i].iter().any(|(o, _)| *o == output))
                .for_each(|&i| whole[i] += g),
        }
    }
    if rule.is(&even) {
        return Some("it is spread over the window in place of going to the largest element".to_owned());
    }
    if rule.is(&whole) {
        return Some(
            "at a tie each of the largest elements gets all of it: the shares add up to more than 1"
                .to_owned(),
        );
    }
    if !windows.apart() {
        return None;
    }
    let mut moved = 0;
    for (output, g) in cotangent.iter().enumerate() {
        let hit: Vec<usize> = windows.at(output).iter().copied().filter(|&i| rule.given[i] != 0.0).collect();
        let [one] = *hit.as_slice() else { return None };
        if !near(rule.given[one], *g) {
            return None;
        }
        moved += usize::from(rule.slopes[one].is_empty());
    }
    (moved > 0).then(|| {
        let all = windows.len();
        format!("it goes to another element than the largest in {moved} of {all} windows: a wrong index")
    })
}

/// A piecewise function with the slope of a wrong piece, or another border between the pieces.
pub(super) fn branch(rule: &Rule<'_>) -> Option<String> {
    let Asked { node, operands, .. } = rule.asked;
    let mut kinks = node.op.kinks();
    kinks.sort_by(f64::total_cmp);
    if kinks.is_empty() || rule.operand != 0 {
        return None;
    }
    let loss = node.op.arity() == Arity::Loss;
    let mut all = rule.single()?;
    if loss {
        all.iter_mut().zip(&operands[1]).for_each(|(one, target)| one.x -= target);
    }
    let name = if loss { "output - target" } else { "x" };
    let ends: Vec<f64> = [&[f64::NEG_INFINITY], &*kinks, &[f64::INFINITY]].concat();
    let within = |piece: usize| {
        let (lo, hi) = (ends[piece], ends[piece + 1]);
        all.iter().filter(move |one| lo < one.x && one.x < hi)
    };
    let region = |piece: usize| match (ends[piece], ends[piece + 1]) {
        (f64::NEG_INFINITY, hi) => format!("{name} < {}", number(hi)),
        (lo, f64::INFINITY) => format!("{name} > {}", number(lo)),
        (lo, hi) => format!("{} < {name} < {}", number(lo), number(hi)),
    };
    let wrong: Vec<usize> = (0..=kinks.len()).filter(|piece| within(*piece).any(Single::wrong)).collect();
    let right = (0..=kinks.len()).any(|piece| within(piece).any(|one| !one.wrong()));
    if right && wrong.iter().all(|piece| within(*piece).all(Single::wrong)) {
        let each = wrong.iter().map(|&piece| {
            let given = constant(within(piece).map(|one| one.given));
            match given.zip(constant(within(piece).map(|one| one.slope))) {
                Some((given, slope)) => {
                    let (given, slope) = (number(given), number(slope));
                    format!("where {} its slope is {given} in place of {slope}", region(piece))
                }
                None => format!("it is wrong where {}", region(piece)),
            }
        });
        let each: Vec<String> = each.collect();
        return (!each.is_empty()).then(|| format!("{}: that of a wrong branch", each.join(", and ")));
    }
    let [piece] = *wrong.as_slice() else { return None };
    // Wrong next to one end of the piece, and right from there on.
    let farthest = |kink: f64| {
        let far = within(piece).filter(|one| one.wrong()).map(|one| (one.x - kink).abs()).fold(0.0, f64::max);
        within(piece).all(|one| one.wrong() == ((one.x - kink).abs() <= far)).then_some(far)
    };
    kinks.iter().find_map(|&kink| {
        let far = farthest(kink)?;
        Some(format!(
            "it is wrong where {} up to {} from {} alone: the branch is taken at another place",
            region(piece),
            number(far),
            number(kink)
        ))
    })
}

/// The derivative of another way to compute the same function, or that at the output in place of the input.
pub(super) fn approximated(rule: &Rule<'_>) -> Option<String> {
    if rule.category() != Category::Activation || rule.operand != 0 {
        return None;
    }
    let Asked { node, operands, output, cotangent, .. } = rule.asked;
    let times = |slopes: Vec<f64>| -> Vec<f64> { slopes.iter().zip(cotangent).map(|(s, g)| s * g).collect() };
    if let OpKind::Gelu(gelu) = &node.op {
        let other = gelu.other();
        let slope = |x: &f64| other.value(Dual { value: *x, tangent: 1.0 }, 0).tangent;
        if rule.is(&times(operands[0].iter().map(slope).collect())) {
            let word = |gelu: &dyn Fn() -> Vec<(&'static str, String)>| {
                gelu().into_iter().map(|(_, word)| word).collect::<String>()
            };
            return Some(format!(
                "it is the derivative of gelu(approx={}), and the value that of gelu(approx={}): an approximate derivative for the exact function, or the reverse",
                word(&|| Activation::attributes(&other)),
                word(&|| Activation::attributes(gelu))
            ));
        }
    }
    rule.is(&times(rule.asked.slopes_at(output))).then(|| {
        "its slope is taken at the output in place of the input: the function is applied twice".to_owned()
    })
}

/// Nearly the right slope, everywhere.
pub(super) fn close(rule: &Rule<'_>) -> Option<String> {
    // Near 0 alone, every smooth function is nearly every other one of the same slope.
    let wide = rule.asked.operands[0].iter().any(|x| x.abs() > 0.5);
    if rule.category() != Category::Activation || !wide {
        return None;
    }
    let all = rule.single()?;
    let largest = all.iter().map(|one| one.slope.abs()).fold(0.0, f64::max);
    let off = |one: &Single| (one.given - one.slope).abs() / largest;
    let most = all.iter().map(off).fold(0.0, f64::max);
    let several = 2 * all.iter().filter(|one| one.wrong()).count() >= all.len();
    (several && (1e-7..2e-2).contains(&most)).then(|| {
        format!(
            "its slope is off by up to {} of the largest nearly everywhere: an approximate derivative for the exact function",
            number(most)
        )
    })
}
