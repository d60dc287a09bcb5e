//! Two-sided differences along random directions of all tensors at once, where no component can be afforded.
//!
//! For `v_i` of random sign and a size between 1/2 and 3/2, `D(h) = (L(w + h v) - L(w - h v)) / 2h` with frozen decisions must be `<g, v>`, where h v is the
//! step that was really taken. The value is Richardson's `(4 D(h) - D(2h)) / 3`. Its truncation is below T = |D(2h) - D(h)| / 3, that of D(h)
//! itself, and rounding of the loss adds eps |L| / h: the bound is 3 (T + that). It is the definition of the derivative and nothing else, and sees what is
//! wrong with a good part of the gradient; single components are what the equalised directions are for.

use super::STEP;
use super::report::Anchor;
use super::spread::numbers;
use super::sweep::Place;
use crate::exec::{Gradients, Keep, Session, Tapes};

/// How many directions.
pub(super) const COUNT: usize = 3;

/// Takes the differences.
pub(super) fn measure(place: &Place<'_, '_>, gradients: &Gradients) -> Anchor {
    let mut session: Session<'_, f64> = Session::new(place.graph, place.batch(), Keep::Result);
    session.adopt(place.base);
    let mut moved: Vec<Vec<f64>> = place.weights.params.iter().map(|tensor| tensor.data.clone()).collect();
    let feeds: Vec<Vec<f64>> = place.feeds.iter().map(|feed| feed.data.clone()).collect();
    let mut anchor = Anchor { error: 0.0, bound: 0.0, directions: COUNT };
    for k in 0..COUNT {
        let direction = |path: &str| numbers(place.settings.seed, &format!("anchor/{k}/{path}"));
        let mut size = 0.0f64;
        for ((_, param), g) in place.graph.params.iter().zip(&gradients.params) {
            size += g.iter().zip(direction(&param.path)).map(|(g, v)| (g * v).powi(2)).sum::<f64>();
        }
        let mut side = |s: f64| {
            // The product of the gradient with the step that was really taken.
            let mut product = 0.0;
            for (((_, param), w), (moved, g)) in place
                .graph
                .params
                .iter()
                .zip(&place.weights.params)
                .zip(moved.iter_mut().zip(&gradients.params))
            {
                for (((x, w), g), v) in moved.iter_mut().zip(&w.data).zip(g).zip(direction(&param.path)) {
                    *x = w + s * v;
                    product += g * (*x - w);
                }
            }
            let point = place.point_at(&moved, &feeds);
            session.forward(&point, place.settings, Tapes::Replay);
            [session.loss(place.objective, &point, place.settings), product]
        };
        let mut quotient = |h: f64| {
            let ([above, up], [below, down]) = (side(h), side(-h));
            // What the difference misses of the product, for one unit of the step.
            let rounding = 8.0 * f64::EPSILON * (1.0 + above.abs()) / (2.0 * h);
            [((above - below) - (up - down)) / (2.0 * h), rounding]
        };
        let ([near, rounding], [far, _]) = (quotient(STEP), quotient(2.0 * STEP));
        let scale = size.sqrt().max(f64::MIN_POSITIVE);
        let bound = 3.0 * ((far - near).abs() / 3.0 + rounding) / scale;
        let error = ((4.0 * near - far) / 3.0).abs() / scale;
        // The direction that is the furthest beyond its bound, or the closest to it.
        if k == 0 || error / bound > anchor.error / anchor.bound {
            anchor = Anchor { error, bound, directions: COUNT };
        }
    }
    anchor
}
