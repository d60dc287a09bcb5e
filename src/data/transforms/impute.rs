//! Replaces missing values: by the mean or median of a split's rows, or by given numbers.
//!
//! An empty field and `NaN` are missing. The median is exact and still streamed: four passes select its 64 bits sixteen at a
//! time by counting, for an even number of values both middle ones. A given number stands for all columns, a list has one for each channel. With
//! `stats="train.nn.stats.json"` instead of `fit=` the numbers are those that another spec has fitted for columns of the same name.

use super::{
    FIT, FROM, Fitted, Fitter, Param, Reader, STATS, Shape, Sight, Split, Transformer, numbers_or_word,
    read_fit, read_from, show, spread,
};
use crate::args::{Kind, required};
use crate::diag::{Diagnostic, rules};

/// The transform `impute`.
#[derive(Clone, Debug, PartialEq)]
pub enum Impute {
    /// The mean of a split.
    Mean(Split),
    /// The median of a split.
    Median(Split),
    /// Given numbers, and whose they are.
    Given(Vec<f64>, Option<String>),
}

/// What a split's rows can be asked for.
const WORDS: &[&str] = &["mean", "median"];

impl Transformer for Impute {
    const SIGNATURE: &'static [Param] =
        &[required("with", Kind::NumbersOr(WORDS), "what stands for a missing value"), FIT, FROM, STATS];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let with = numbers_or_word(args, "with", WORDS)?;
        let fit = read_fit(args)?;
        match (with, fit) {
            (Ok(values), None) => Some(Self::Given(values, read_from(args))),
            (Err("mean"), Some(split)) => Some(Self::Mean(split)),
            (Err("median"), Some(split)) => Some(Self::Median(split)),
            (Ok(_), Some(_)) => {
                let span = args.span_of("fit").unwrap_or(args.call_span());
                args.report(Diagnostic::new(&rules::UNKNOWN_KEY, span, "a given number needs no `fit`"));
                None
            }
            (Err(word), _) => {
                let span = args.call_span();
                let message = format!("`impute({word})` needs `fit=`");
                args.report(
                    Diagnostic::new(&rules::MISSING, span, message)
                        .help(format!("write impute({word}, fit=train)")),
                );
                None
            }
        }
    }

    fn arguments(&self) -> Vec<String> {
        match self {
            Self::Mean(split) => vec!["mean".to_owned(), format!("fit={split}")],
            Self::Median(split) => vec!["median".to_owned(), format!("fit={split}")],
            Self::Given(values, from) => {
                let mut list = vec![show(values)];
                list.extend(from.as_ref().map(|from| format!("from={from:?}")));
                list
            }
        }
    }

    fn fit(&self) -> Option<Split> {
        match self {
            Self::Mean(split) | Self::Median(split) => Some(*split),
            Self::Given(..) => None,
        }
    }

    fn fitter(&self, sight: &Sight<'_>) -> Option<Box<dyn Fitter>> {
        let width = sight.columns.len();
        match self {
            Self::Mean(_) => Some(Box::new(Means { sums: vec![(0.0, 0.0); width] })),
            Self::Median(_) => Some(Box::new(Medians { columns: vec![Column::default(); width], pass: 0 })),
            Self::Given(..) => None,
        }
    }

    fn apply(&self, _: &Shape, fitted: Option<&Fitted>, row: &mut Vec<f64>) {
        let n = row.len();
        for (i, x) in row.iter_mut().enumerate().filter(|(_, x)| x.is_nan()) {
            *x = match (self, fitted) {
                (Self::Given(values, _), _) => spread(values, n, i),
                (_, Some(Fitted::Impute { value })) => value[i],
                _ => unreachable!("internal: impute without its statistics"),
            };
        }
    }

    fn invert(&self, _: &Shape, _: Option<&Fitted>, _: &mut [f64]) -> bool {
        // A value that was there is as it was.
        true
    }

    fn fills_missing(&self) -> bool {
        true
    }

    fn constants(&self) -> Option<usize> {
        match self {
            Self::Given(values, _) => Some(values.len()),
            Self::Mean(_) | Self::Median(_) => None,
        }
    }
}

/// Sum and count of what is there.
struct Means {
    sums: Vec<(f64, f64)>,
}

impl Fitter for Means {
    fn see(&mut self, row: &[f64]) {
        for ((sum, count), x) in self.sums.iter_mut().zip(row).filter(|(_, x)| !x.is_nan()) {
            *sum += x;
            *count += 1.0;
        }
    }

    fn end_pass(&mut self) -> bool {
        false
    }

    fn conclude(&self) -> Fitted {
        Fitted::Impute {
            value: self
                .sums
                .iter()
                .map(|(sum, count)| if *count > 0.0 { sum / count } else { 0.0 })
                .collect(),
        }
    }
}

/// Exact medians by radix selection on the order-preserving bits of the numbers.
struct Medians {
    columns: Vec<Column>,
    pass: u32,
}

const DIGIT: u32 = 16;

#[derive(Clone, Default)]
struct Column {
    /// How many values there are.
    present: u64,
    /// The two middle ranks (equal for an odd number), each with the leading bits found so far.
    ranks: [Rank; 2],
}

#[derive(Clone, Default)]
struct Rank {
    /// The rank among the values that share the bits found so far.
    place: u64,
    /// The leading bits found so far.
    prefix: u64,
    /// How often each next digit occurs.
    counts: Vec<u64>,
}

/// Bits that compare as the numbers do.
fn ordered(x: f64) -> u64 {
    let bits = x.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn unordered(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

impl Fitter for Medians {
    fn see(&mut self, row: &[f64]) {
        let shift = 64 - DIGIT * (self.pass + 1);
        for (column, &x) in self.columns.iter_mut().zip(row).filter(|(_, x)| !x.is_nan()) {
            let bits = ordered(x);
            column.present += u64::from(self.pass == 0);
            for rank in &mut column.ranks {
                rank.counts.resize(1 << DIGIT, 0);
                let above = if self.pass == 0 { 0 } else { bits >> (shift + DIGIT) };
                if above == rank.prefix {
                    let digit = usize::try_from(bits >> shift & 0xffff).unwrap_or(0);
                    rank.counts[digit] += 1;
                }
            }
        }
    }

    fn end_pass(&mut self) -> bool {
        for column in self.columns.iter_mut().filter(|column| column.present > 0) {
            if self.pass == 0 {
                column.ranks[0].place = (column.present - 1) / 2;
                column.ranks[1].place = column.present / 2;
            }
            for rank in &mut column.ranks {
                for (digit, &count) in (0u64..).zip(&rank.counts) {
                    if rank.place < count {
                        rank.prefix = rank.prefix << DIGIT | digit;
                        break;
                    }
                    rank.place -= count;
                }
                rank.counts.clear();
            }
        }
        self.pass += 1;
        self.pass < 64 / DIGIT
    }

    fn conclude(&self) -> Fitted {
        let middle = |column: &Column| match column.present {
            0 => 0.0,
            _ => f64::midpoint(unordered(column.ranks[0].prefix), unordered(column.ranks[1].prefix)),
        };
        Fitted::Impute { value: self.columns.iter().map(middle).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_exact() {
        let rows = [3.0, -1.5, f64::NAN, 7.25, 3.5, -0.0, 1e300];
        let mut fitter = Medians { columns: vec![Column::default(); 1], pass: 0 };
        loop {
            rows.iter().for_each(|&x| fitter.see(&[x]));
            if !fitter.end_pass() {
                break;
            }
        }
        // Of -1.5, -0, 3, 3.5, 7.25, 1e300 the middle two are 3 and 3.5.
        assert_eq!(fitter.conclude(), Fitted::Impute { value: vec![3.25] });
    }
}
