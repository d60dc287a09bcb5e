//! A wrong gradient as a picture: the derivative, the gradient and their difference side by side, as SVG text without script.
//!
//! Contract: a pure function of the numbers. A tensor is shown as a matrix, its first axis down and all others across. The first two panels have one
//! scale, the third its own; both are symmetric about zero, blue below and red above, and the colour grows with the root of the size. A matrix of more than [`CELLS`] rows or columns is shown in
//! blocks, each by its number of largest magnitude, so that a single wrong component stays visible.

use super::svg::{FAINT, GREY, INK, text};
use crate::text::number;
use crate::valid::gradcheck::Map;
use std::fmt::Write;

/// Rows and columns that are shown at most.
const CELLS: usize = 64;
const WIDTH: f64 = 900.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 112.0;
const PANEL: f64 = 240.0;
const GAP: f64 = 36.0;
const BAR: f64 = 12.0;

/// A matrix of numbers.
struct Matrix {
    rows: usize,
    columns: usize,
    cells: Vec<f64>,
}

impl Matrix {
    fn largest(&self) -> f64 {
        self.cells.iter().fold(0.0, |most, x| most.max(x.abs()))
    }

    /// A tensor in blocks of so many rows and columns.
    fn new(dims: &[usize], data: &[f64], block: [usize; 2]) -> Self {
        let [height, width] = sides(dims);
        let (rows, columns) = (height.div_ceil(block[0]), width.div_ceil(block[1]));
        let mut cells = vec![0.0f64; rows * columns];
        for (i, x) in data.iter().enumerate() {
            let cell = &mut cells[i / width / block[0] * columns + i % width / block[1]];
            if x.abs() > cell.abs() {
                *cell = *x;
            }
        }
        Self { rows, columns, cells }
    }
}

/// The sides of a tensor as a matrix; a vector is a row.
fn sides(dims: &[usize]) -> [usize; 2] {
    match dims {
        [] => [1, 1],
        [n] => [1, *n],
        [first, rest @ ..] => [*first, rest.iter().product()],
    }
}

/// From blue over white to red, for x from -1 to 1.
fn colour(x: f64) -> String {
    let ends = if x < 0.0 { [5.0, 80.0, 174.0] } else { [164.0, 14.0, 38.0] };
    // A root, so that small numbers are told from zero.
    let share = x.abs().min(1.0).sqrt();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 255")]
    let [r, g, b] = ends.map(|end: f64| (255.0 + (end - 255.0) * share).round() as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// A sentence in two lines at most, broken between words.
fn wrapped(text: &str) -> Vec<String> {
    const FIRST: usize = 125;
    let end = match text.char_indices().nth(FIRST) {
        Some((end, _)) => text[..end].rfind(' ').unwrap_or(end),
        None => text.len(),
    };
    let (first, rest) = text.split_at(end);
    [first, rest.trim_start()].into_iter().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The picture of a failing tensor, with what was done in words, and the names of the right gradient and of the wrong one.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a few cells")]
pub fn svg(map: &Map, why: Option<&str>, [right, wrong]: [&str; 2]) -> String {
    let Map { name, point, dims, truth, given } = map;
    let [height, width] = sides(dims);
    let block = [height.div_ceil(CELLS), width.div_ceil(CELLS)];
    let error: Vec<f64> = given.iter().zip(truth).map(|(g, d)| g - d).collect();
    let panels = [(right, truth), (wrong, given), ("error: given \u{2212} true", &error)];
    let panels = panels.map(|(title, data)| (title, Matrix::new(dims, data, block)));
    let [(_, first), (_, second), (_, third)] = &panels;
    let shared = first.largest().max(second.largest());
    let scales = [shared, shared, third.largest()];
    // Cells are squares, as far as they fit.
    let cell = (PANEL / first.columns as f64).min(PANEL / first.rows as f64).min(28.0);
    // A matrix that is much wider than high has cells that are not.
    let cells =
        [cell.max(8.0f64.min(PANEL / first.rows as f64)), cell.max(8.0f64.min(PANEL / first.columns as f64))];
    let [down, across] = [cells[0] * first.rows as f64, cells[1] * first.columns as f64];
    let total = TOP + down + 104.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{total:.0}\" viewBox=\"0 0 {WIDTH} {total:.0}\" \
         font-family=\"Helvetica, Arial, sans-serif\" fill=\"{INK}\">\n<rect width=\"{WIDTH}\" height=\"{total:.0}\" fill=\"#ffffff\"/>\n"
    );
    let shape: Vec<String> = dims.iter().map(ToString::to_string).collect();
    text(
        &mut out,
        (LEFT, 30.0),
        18,
        "font-weight=\"bold\"",
        &format!("{name} [{}]: wrong gradient", shape.join(",")),
    );
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let relative = number(norm(&error) / (norm(given) + norm(truth)).max(f64::MIN_POSITIVE));
    text(
        &mut out,
        (LEFT, 50.0),
        12,
        &format!("fill=\"{GREY}\""),
        &format!("{point}; relative error {relative}"),
    );
    for (line, y) in wrapped(why.unwrap_or_default()).iter().zip([66.0, 81.0]) {
        text(&mut out, (LEFT, y), 12, "", line);
    }
    for (at, ((title, matrix), scale)) in panels.iter().zip(scales).enumerate() {
        let left = LEFT + (PANEL + GAP) * at as f64;
        text(&mut out, (left, TOP - 12.0), 13, "font-weight=\"bold\"", title);
        draw(&mut out, matrix, scale, cells, left);
        axes(&mut out, [height, width], [down, across], dims.len(), left, at == 0);
        bar(&mut out, scale, left, TOP + down + 52.0);
    }
    if block != [1, 1] {
        let [a, b] = block;
        let said = format!("each cell shows the number of largest magnitude of {a} \u{d7} {b} components");
        text(&mut out, (LEFT, total - 8.0), 11, &format!("fill=\"{GREY}\""), &said);
    }
    out.push_str("</svg>\n");
    out
}

#[expect(clippy::cast_precision_loss, reason = "a few cells")]
fn draw(out: &mut String, matrix: &Matrix, scale: f64, [down, across]: [f64; 2], left: f64) {
    let Matrix { rows, columns, cells } = matrix;
    for (i, x) in cells.iter().enumerate().filter(|(_, x)| **x != 0.0) {
        let (row, column) = ((i / columns) as f64, (i % columns) as f64);
        let fill =
            if x.is_finite() { colour(x / scale.max(f64::MIN_POSITIVE)) } else { "#000000".to_owned() };
        let _ = writeln!(
            out,
            "<rect x=\"{:.2}\" y=\"{:.2}\" width=\"{across:.2}\" height=\"{down:.2}\" fill=\"{fill}\" shape-rendering=\"crispEdges\"/>",
            left + column * across,
            TOP + row * down
        );
    }
    let (width, height) = (across * *columns as f64, down * *rows as f64);
    let _ = writeln!(
        out,
        "<rect x=\"{left:.1}\" y=\"{TOP:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"none\" stroke=\"{FAINT}\"/>"
    );
}

/// The first and the last index of both axes, and what the axes are.
fn axes(
    out: &mut String,
    [height, width]: [usize; 2],
    [down, across]: [f64; 2],
    rank: usize,
    left: f64,
    named: bool,
) {
    let small = format!("fill=\"{GREY}\" text-anchor=\"middle\"");
    let below = TOP + down + 14.0;
    text(out, (left + 4.0, below), 11, &small, "0");
    if width > 1 {
        text(out, (left + across - 4.0, below), 11, &small, &(width - 1).to_string());
    }
    let name = match rank {
        0 | 1 => "component",
        2 => "axis 1 (in)",
        _ => "axes 1, 2, \u{2026} (in, kernel)",
    };
    text(out, (left + across / 2.0, below + 14.0), 11, &small, name);
    if rank > 1 {
        let end = format!("fill=\"{GREY}\" text-anchor=\"end\"");
        text(out, (left - 5.0, TOP + 10.0), 11, &end, "0");
        text(out, (left - 5.0, TOP + down - 2.0), 11, &end, &(height - 1).to_string());
        if named {
            let (x, y) = (left - 34.0, TOP + down / 2.0);
            let turned = format!("{small} transform=\"rotate(-90 {x:.1} {y:.1})\"");
            text(out, (x, y), 11, &turned, "axis 0 (out)");
        }
    }
}

/// The colours and their numbers.
fn bar(out: &mut String, scale: f64, left: f64, top: f64) {
    const STEPS: u32 = 48;
    let width = PANEL / f64::from(STEPS);
    for i in 0..STEPS {
        let x = 2.0 * f64::from(i) / f64::from(STEPS - 1) - 1.0;
        let _ = writeln!(
            out,
            "<rect x=\"{:.2}\" y=\"{top:.1}\" width=\"{:.2}\" height=\"{BAR}\" fill=\"{}\"/>",
            left + f64::from(i) * width,
            width + 0.3,
            colour(x)
        );
    }
    let label = format!("fill=\"{GREY}\"");
    let y = top + BAR + 13.0;
    let end = number(scale);
    text(out, (left, y), 11, &label, &format!("\u{2212}{end}"));
    text(out, (left + PANEL / 2.0, y), 11, &format!("{label} text-anchor=\"middle\""), "0");
    text(out, (left + PANEL, y), 11, &format!("{label} text-anchor=\"end\""), &end);
}
