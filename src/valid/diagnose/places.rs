//! Right numbers in wrong places, and errors that are confined to some places: a row, a border, the edge of a tile.

use super::{Case, dot};
use crate::text::number;
use crate::valid::unravel;

/// The same numbers in other places.
pub(super) fn rearranged(case: &Case<'_>) -> Option<String> {
    let Case { given, truth, name, dims, .. } = *case;
    if let [rows, columns] = *dims
        && rows > 1
        && columns > 1
    {
        // Read as [columns, rows] and, where they are the same, as a square matrix.
        let transposed: Vec<f64> =
            (0..truth.len()).map(|at| truth[(at % rows) * columns + at / rows]).collect();
        if case.is(&transposed) {
            return Some("it is transposed: weights are [out, in]".to_owned());
        }
    }
    if dims.len() > 2 {
        let size: usize = dims[2..].iter().product();
        let flipped: Vec<f64> = truth.chunks(size).flat_map(|kernel| kernel.iter().rev().copied()).collect();
        if case.is(&flipped) {
            return Some(
                "its kernels are flipped: the gradient is that of a convolution, the layer is a correlation"
                    .to_owned(),
            );
        }
        let (out, inputs) = (dims[0], dims[1]);
        let swapped: Vec<f64> = (0..truth.len())
            .map(|at| {
                let (kernel, tap) = (at / size, at % size);
                truth[((kernel % out) * inputs + kernel / out) * size + tap]
            })
            .collect();
        if out > 1 && inputs > 1 && case.is(&swapped) {
            return Some("its output and input channels are exchanged".to_owned());
        }
    }
    if truth.len() < 3 {
        return None;
    }
    let mut inner = 1;
    for (axis, &length) in dims.iter().enumerate().rev() {
        for by in [1, length.saturating_sub(1)].into_iter().filter(|_| length > 2) {
            let rolled = |i: usize| {
                let at = i / inner % length;
                truth[i - at * inner + (at + by) % length * inner]
            };
            if case.is(&(0..truth.len()).map(rolled).collect::<Vec<f64>>()) {
                return Some(format!("it is shifted by one along axis {axis}"));
            }
            // What leaves the map at one end does not come back at the other.
            let cropped = |i: usize| {
                let (at, ahead) = (i / inner % length, by == 1);
                let inside = if ahead { at + 1 < length } else { at > 0 };
                if inside { rolled(i) } else { 0.0 }
            };
            if case.is(&(0..truth.len()).map(cropped).collect::<Vec<f64>>()) {
                return Some(format!(
                    "it is shifted by one along axis {axis} and cropped: an offset of the padding"
                ));
            }
        }
        inner *= length;
    }
    let sorted = |x: &[f64]| {
        let mut sorted = x.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    let ordered = Case { given: &sorted(given), ..*case };
    let same = ordered.is(&sorted(truth)) && !case.is(truth);
    same.then(|| exchanged(case).unwrap_or_else(|| format!("it has the numbers of {name} in another order")))
}

/// Two rows in each other's place.
fn exchanged(case: &Case<'_>) -> Option<String> {
    let Case { given, truth, dims, .. } = *case;
    let width = truth.len() / dims.first()?.max(&1);
    let wrong = |row: &usize| {
        let range = row * width..(row + 1) * width;
        given[range.clone()] != truth[range.clone()]
            && !Case { given: &given[range.clone()], ..*case }.is(&truth[range])
    };
    let rows: Vec<usize> = (0..*dims.first()?).filter(wrong).collect();
    let [a, b] = *rows.as_slice() else { return None };
    let what = if dims.len() > 1 { "rows" } else { "components" };
    Some(format!("its {what} {a} and {b} are exchanged"))
}

/// Wrong in one component alone, at one place of an axis, at a border, or where loops in blocks begin and end.
pub(super) fn lost(case: &Case<'_>) -> Option<String> {
    let Case { given, truth, dims, tolerance, .. } = *case;
    let size = dot(truth, truth).sqrt();
    let wrong: Vec<usize> =
        (0..truth.len()).filter(|&i| (given[i] - truth[i]).abs() > tolerance * size).collect();
    let first = *wrong.first()?;
    if truth.len() < 2 {
        return None;
    }
    if wrong.len() == 1 {
        let index = unravel(first, dims);
        let (is, be) = (number(given[first]), number(truth[first]));
        let what = if is == be {
            format!("{} of it too much", number((given[first] - truth[first]) / truth[first]))
        } else {
            format!("{is} in place of {be}")
        };
        return Some(format!("one component alone is wrong, {index:?}: {what}"));
    }
    let zero = wrong.iter().all(|&i| given[i] == 0.0);
    // By axis: at which places something is wrong.
    let places: Vec<Vec<bool>> = (0..dims.len())
        .map(|axis| {
            let mut hit = vec![false; dims[axis]];
            let inner: usize = dims[axis + 1..].iter().product();
            wrong.iter().for_each(|i| hit[i / inner % dims[axis]] = true);
            hit
        })
        .collect();
    one_place(&places, zero)
        .or_else(|| tail(&places, zero))
        .or_else(|| edges(&places, zero))
        .or_else(|| at_borders(&wrong, dims, zero))
}

/// Everything that is wrong lies at one place of an axis.
fn one_place(places: &[Vec<bool>], zero: bool) -> Option<String> {
    let end = if zero { "is lost: it is zero" } else { "alone is wrong" };
    let last = places.len().checked_sub(1)?;
    let axes = (0..places.len()).filter(|&axis| places[axis].len() > 1 && last > 0);
    axes.filter(|&axis| places[axis].iter().filter(|hit| **hit).count() == 1).find_map(|axis| {
        let at = places[axis].iter().position(|hit| *hit)?;
        let ordinal = match at {
            0 => "first ",
            _ if at + 1 == places[axis].len() => "last ",
            _ => "",
        };
        let what = match axis {
            0 => "row".to_owned(),
            _ if last == 1 => "column".to_owned(),
            _ => format!("place along axis {axis}"),
        };
        let index = if ordinal.is_empty() { format!(" [{at}]") } else { String::new() };
        Some(format!("the {ordinal}{what}{index} {end}"))
    })
}

/// Everything behind the last full block of a loop is wrong, and nothing else.
fn tail(places: &[Vec<bool>], zero: bool) -> Option<String> {
    places.iter().enumerate().find_map(|(axis, hit)| {
        let start = hit.iter().position(|hit| *hit).filter(|start| *start >= 2)?;
        let block = 1usize << start.trailing_zeros();
        let left = hit.len() - start;
        let fits = (2..block).contains(&left) && hit[start..].iter().all(|hit| *hit);
        let end = if zero { "lost" } else { "wrong" };
        fits.then(|| {
            format!(
                "the last {left} places along axis {axis} are {end}, those behind the last full block of {block}: the tail of a loop"
            )
        })
    })
}

/// What is wrong lies where blocks of a loop begin or end.
fn edges(places: &[Vec<bool>], zero: bool) -> Option<String> {
    const BLOCKS: [usize; 5] = [64, 32, 16, 8, 4];
    places.iter().enumerate().find_map(|(axis, hit)| {
        let edge = |block: usize, from: usize| {
            let at = |i: usize| i % block == from;
            let several = hit.iter().filter(|hit| **hit).count() > 1;
            several && hit.iter().enumerate().all(|(i, hit)| *hit == at(i))
        };
        let end = if zero { "lost" } else { "wrong" };
        BLOCKS.into_iter().find_map(|block| {
            let side = [("first", 0), ("last", block - 1)].into_iter().find(|(_, from)| edge(block, *from));
            side.map(|(side, _)| {
                format!("the {side} of every {block} places along axis {axis} is {end}: the edge of a tile")
            })
        })
    })
}

/// Everything that is wrong lies at the border of maps.
fn at_borders(wrong: &[usize], dims: &[usize], zero: bool) -> Option<String> {
    let [.., height, width] = *dims else { return None };
    let border = |i: &usize| {
        let (row, column) = (i / width % height, i % width);
        row == 0 || row + 1 == height || column == 0 || column + 1 == width
    };
    let end = if zero { "lost" } else { "wrong" };
    (dims.len() > 2 && height > 2 && width > 2 && wrong.iter().all(border))
        .then(|| format!("it is {end} at the border of the maps alone: an offset of the padding"))
}
