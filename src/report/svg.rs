//! A chart with stacked panels over one horizontal axis, as SVG text: no dependency, no script, readable at 800 pixels.
//!
//! Contract: [`Chart::svg`] is a pure function of the chart. Every panel shows one quantity over layers: a line, a band around it
//! and points with whiskers. Ticks are round numbers, at most eight a panel. Values that are not finite are left out.

use std::fmt::Write;

/// A chart.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// What is shown.
    pub title: String,
    /// A second line, in small print.
    pub subtitle: String,
    /// The horizontal axis.
    pub x_label: String,
    /// From top to bottom.
    pub panels: Vec<Panel>,
}

/// One quantity.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// The vertical axis.
    pub label: String,
    /// The colour of line, band and points.
    pub colour: &'static str,
    /// By layer, from 1 on.
    pub marks: Vec<Mark>,
    /// A remark below the panel.
    pub remark: String,
}

/// What is known of a quantity at one layer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mark {
    /// The prediction.
    pub line: Option<f64>,
    /// Where nearly all values are predicted.
    pub band: Option<(f64, f64)>,
    /// The measurement.
    pub point: Option<f64>,
    /// The least and the largest measurement.
    pub whiskers: Option<(f64, f64)>,
}

const WIDTH: f64 = 800.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 116.0;
const PANEL: f64 = 200.0;
const GAP: f64 = 44.0;
const BOTTOM: f64 = 56.0;
pub(super) const INK: &str = "#24292f";
pub(super) const FAINT: &str = "#d8dee4";
pub(super) const GREY: &str = "#57606a";

/// A scale from values to pixels.
#[derive(Clone, Copy)]
struct Axis {
    lo: f64,
    hi: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn at(self, x: f64) -> f64 {
        self.from + (x - self.lo) / (self.hi - self.lo) * (self.to - self.from)
    }
}

/// A distance of ticks: 1, 2 or 5 times a power of ten, so that there are at most `most` of them.
fn step(range: f64, most: f64) -> f64 {
    let least = range / most;
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|x| x * power).find(|x| *x >= least * (1.0 - 1e-9)).unwrap_or(power)
}

/// The multiples of a step between two numbers.
fn ticks(lo: f64, hi: f64, step: f64) -> impl Iterator<Item = f64> {
    #[expect(clippy::cast_possible_truncation, reason = "a few ticks")]
    let (first, last) = ((lo / step - 1e-9).ceil() as i64, (hi / step + 1e-9).floor() as i64);
    #[expect(clippy::cast_precision_loss, reason = "a few ticks")]
    (first..=last).map(move |i| i as f64 * step)
}

/// A tick's label, without a negative zero.
fn label(x: f64, step: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few digits")]
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let text = format!("{:.decimals$}", if x.abs() < step * 1e-6 { 0.0 } else { x });
    text.replace('-', "\u{2212}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A line of text.
pub(super) fn text(out: &mut String, (x, y): (f64, f64), size: u32, style: &str, content: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" {style}>{}</text>",
        escaped(content)
    );
}

fn path(out: &mut String, points: &[(f64, f64)], style: &str) {
    let places: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(out, "<path d=\"M{}\" {style}/>", places.join(" L"));
}

impl Chart {
    /// The chart as a document.
    #[must_use]
    pub fn svg(&self) -> String {
        let Self { title, subtitle, x_label, panels } = self;
        #[expect(clippy::cast_precision_loss, reason = "a few panels")]
        let height = TOP + (PANEL + GAP) * panels.len() as f64 - GAP + BOTTOM;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"Helvetica, Arial, sans-serif\" fill=\"{INK}\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
        );
        text(&mut out, (LEFT, 30.0), 18, "font-weight=\"bold\"", title);
        text(&mut out, (LEFT, 50.0), 12, &format!("fill=\"{GREY}\""), subtitle);
        legend(&mut out);
        let layers = panels.iter().map(|panel| panel.marks.len()).max().unwrap_or(0).max(1);
        #[expect(clippy::cast_precision_loss, reason = "numbers of layers are far below 2^53")]
        let x = Axis { lo: 0.5, hi: layers as f64 + 0.5, from: LEFT, to: WIDTH - RIGHT };
        for (i, panel) in panels.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a few panels")]
            let top = TOP + (PANEL + GAP) * i as f64;
            panel.draw(&mut out, x, top, i + 1 == panels.len());
        }
        text(
            &mut out,
            (f64::midpoint(LEFT, WIDTH - RIGHT), height - 14.0),
            13,
            "text-anchor=\"middle\"",
            x_label,
        );
        out.push_str("</svg>\n");
        out
    }
}

/// What line, band, point and whisker mean.
fn legend(out: &mut String) {
    let y = 74.0;
    path(out, &[(LEFT, y), (LEFT + 28.0, y)], &format!("stroke=\"{INK}\" stroke-width=\"2\" fill=\"none\""));
    text(out, (LEFT + 36.0, y + 4.0), 12, "", "predicted");
    let band = LEFT + 118.0;
    let _ = writeln!(
        out,
        "<rect x=\"{band:.1}\" y=\"{:.1}\" width=\"28\" height=\"12\" fill=\"{INK}\" fill-opacity=\"0.14\"/>",
        y - 6.0
    );
    text(out, (band + 36.0, y + 4.0), 12, "", "predicted for 95 % of inputs and initialisations");
    let point = band + 344.0;
    path(
        out,
        &[(point, y - 8.0), (point, y + 8.0)],
        &format!("stroke=\"{INK}\" stroke-opacity=\"0.55\" fill=\"none\""),
    );
    let _ = writeln!(out, "<circle cx=\"{point:.1}\" cy=\"{y:.1}\" r=\"3.2\" fill=\"{INK}\"/>");
    text(out, (point + 10.0, y + 4.0), 12, "", "measured: mean and range");
}

impl Panel {
    fn draw(&self, out: &mut String, x: Axis, top: f64, last: bool) {
        let Self { label: name, colour, marks, remark } = self;
        let values = marks.iter().flat_map(|mark| {
            let pair = |pair: Option<(f64, f64)>| pair.into_iter().flat_map(|(a, b)| [a, b]);
            mark.line.into_iter().chain(mark.point).chain(pair(mark.band)).chain(pair(mark.whiskers))
        });
        let (mut lo, mut hi) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), x| (lo.min(x), hi.max(x)));
        if lo > hi {
            (lo, hi) = (-1.0, 1.0);
        }
        // Small changes are not to look large: at least a factor of ten is shown, and a margin.
        let room = (1.0 - (hi - lo)).max(0.0) / 2.0 + 0.05 * (hi - lo);
        let y = Axis { lo: lo - room, hi: hi + room, from: top + PANEL, to: top };
        let unit = step(y.hi - y.lo, 6.0);
        for tick in ticks(y.lo, y.hi, unit) {
            let at = y.at(tick);
            path(out, &[(x.from, at), (x.to, at)], &format!("stroke=\"{FAINT}\" fill=\"none\""));
            text(out, (x.from - 8.0, at + 4.0), 12, "text-anchor=\"end\"", &label(tick, unit));
        }
        let unit = step(x.hi - x.lo, 12.0).max(1.0);
        // The first layer is named, and no multiple so near that the numbers touch.
        let multiples =
            ticks(1.0, x.hi - 0.5, unit).filter(|tick| *tick == 1.0 || x.at(*tick) - x.at(1.0) > 40.0);
        for tick in std::iter::once(1.0).chain(multiples.filter(|tick| *tick > 1.0)) {
            let at = x.at(tick);
            path(out, &[(at, y.from), (at, y.from + 5.0)], &format!("stroke=\"{GREY}\" fill=\"none\""));
            if last {
                text(out, (at, y.from + 19.0), 12, "text-anchor=\"middle\"", &label(tick, unit));
            }
        }
        path(
            out,
            &[(x.from, y.to), (x.from, y.from), (x.to, y.from)],
            &format!("stroke=\"{GREY}\" fill=\"none\""),
        );
        let _ = writeln!(
            out,
            "<text transform=\"translate(22 {:.1}) rotate(-90)\" font-size=\"13\" text-anchor=\"middle\">{}</text>",
            top + PANEL / 2.0,
            escaped(name)
        );
        series(out, x, y, colour, marks);
        text(out, (x.from, top - 8.0), 12, &format!("fill=\"{GREY}\""), remark);
    }
}

/// Band, line, whiskers and points, in this order.
fn series(out: &mut String, x: Axis, y: Axis, colour: &str, marks: &[Mark]) {
    #[expect(clippy::cast_precision_loss, reason = "numbers of layers are far below 2^53")]
    let place = |i: usize| x.at(i as f64 + 1.0);
    let finite = |value: &f64| value.is_finite();
    let bands: Vec<(f64, f64, f64)> = marks
        .iter()
        .enumerate()
        .filter_map(|(i, mark)| mark.band.map(|(a, b)| (place(i), a, b)))
        .filter(|(_, a, b)| finite(a) && finite(b))
        .collect();
    let edge = bands.iter().map(|(x, _, b)| (*x, y.at(*b)));
    let outline: Vec<(f64, f64)> = edge.chain(bands.iter().rev().map(|(x, a, _)| (*x, y.at(*a)))).collect();
    if !outline.is_empty() {
        path(out, &outline, &format!("fill=\"{colour}\" fill-opacity=\"0.16\" stroke=\"none\""));
    }
    let line: Vec<(f64, f64)> = marks
        .iter()
        .enumerate()
        .filter_map(|(i, mark)| mark.line.filter(finite).map(|value| (place(i), y.at(value))))
        .collect();
    if !line.is_empty() {
        path(out, &line, &format!("stroke=\"{colour}\" stroke-width=\"2\" fill=\"none\""));
    }
    for (i, mark) in marks.iter().enumerate() {
        if let Some((a, b)) = mark.whiskers.filter(|(a, b)| finite(a) && finite(b)) {
            let ends = [(place(i), y.at(a)), (place(i), y.at(b))];
            path(out, &ends, &format!("stroke=\"{colour}\" stroke-opacity=\"0.55\" fill=\"none\""));
        }
        if let Some(value) = mark.point.filter(finite) {
            let _ = writeln!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{}\" fill=\"{colour}\"/>",
                place(i),
                y.at(value),
                if marks.len() > 60 { 2.0 } else { 3.2 }
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for (range, want) in [(1.0, 0.2), (50.0, 10.0), (7.3, 2.0), (0.03, 0.005), (24.0, 5.0)] {
            assert!((step(range, 6.0) / want - 1.0).abs() < 1e-9, "{range}: {}", step(range, 6.0));
        }
        assert_eq!(ticks(-0.51, 0.52, 0.5).collect::<Vec<_>>(), [-0.5, 0.0, 0.5]);
        assert_eq!((label(-0.5, 0.5), label(-1e-17, 0.5)), ("\u{2212}0.5".to_owned(), "0.0".to_owned()));
    }

    #[test]
    fn a_chart_is_complete_and_leaves_out_what_is_not_finite() {
        let mark =
            Mark { line: Some(1.0), band: Some((0.5, 1.5)), point: Some(1.1), whiskers: Some((0.9, 1.2)) };
        let gone = Mark { line: Some(f64::NEG_INFINITY), band: Some((f64::NAN, 1.0)), ..Mark::default() };
        let panel = Panel {
            label: "a < b".to_owned(),
            colour: "#0969da",
            marks: vec![mark, gone, mark],
            remark: String::new(),
        };
        let chart = Chart { panels: vec![panel.clone(), panel], ..Chart::default() };
        let svg = chart.svg();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<circle").count(), 1 + 2 * 2, "one in the legend, two a panel");
        assert!(svg.contains("a &lt; b") && !svg.contains("inf") && !svg.contains("NaN"));
    }
}
