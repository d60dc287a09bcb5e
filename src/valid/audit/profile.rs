//! One pass over the rows of every split: what the audits know of them.
//!
//! Contract: memory does not grow with the number of rows. Extremes and moments are of all rows; a sample of at most
//! [`SAMPLE`] rows is drawn without replacement by keeping the rows whose numbers have the smallest hashes, the same rows for
//! every group, so that columns of different groups can be compared row by row. A sample of at least all rows is all rows.

use crate::data::{Content, Group, Pipeline, Plan, Reading, Split, Statistics};
use crate::diag::Diagnostic;
use crate::source::Loader;
use std::collections::{BTreeMap, BinaryHeap};

/// The most rows of a sample.
pub const SAMPLE: usize = 4096;
/// The most numbers that the samples of one split hold.
const ELEMENTS: usize = 1 << 22;

/// Extremes and moments of one column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    /// How many values there are; missing ones do not count.
    pub count: u64,
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// The sum of the squared deviations from the mean.
    squares: f64,
}

impl Column {
    const EMPTY: Self =
        Self { count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, mean: 0.0, squares: 0.0 };

    /// Welford's update (1962); its error is bounded by a few units in the last place times the condition of the data.
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
    fn add(&mut self, x: f64) {
        if x.is_nan() {
            return;
        }
        self.count += 1;
        self.min = self.min.min(x);
        self.max = self.max.max(x);
        let from = x - self.mean;
        self.mean += from / self.count as f64;
        self.squares += from * (x - self.mean);
    }

    /// The biased variance.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
    pub fn variance(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.squares / self.count as f64 }
    }

    /// The mean square.
    #[must_use]
    pub fn square(&self) -> f64 {
        self.variance() + self.mean * self.mean
    }

    /// Whether all values are equal.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.count > 0 && self.min == self.max
    }

    /// The largest magnitude.
    #[must_use]
    pub fn magnitude(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.min.abs().max(self.max.abs()) }
    }
}

/// What one split has in the columns of one group.
#[derive(Clone, Debug)]
pub struct Numbers {
    /// As in the file; missing values are `NaN`.
    pub raw: Vec<Column>,
    /// Behind the chain, as rows of evaluation pass it.
    pub input: Vec<Column>,
    /// The place in `raw` of each column of `input`.
    pub kept: Vec<usize>,
    /// Rows of the sample as in the file, in order.
    pub raw_rows: Vec<Vec<f64>>,
    /// The same rows behind the chain.
    pub input_rows: Vec<Vec<f64>>,
}

/// The profile of one split.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// How many rows there are.
    pub count: u64,
    /// Numeric groups and targets by name.
    pub numbers: BTreeMap<String, Numbers>,
    /// How many rows have each class, by the name of the group.
    pub classes: BTreeMap<String, Vec<u64>>,
    /// How many rows have each word, for each column of a category, by the name of the group.
    pub words: BTreeMap<String, Vec<BTreeMap<String, u64>>>,
}

/// The profile of every split.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// By split; splits without a readable row are left out.
    pub splits: BTreeMap<Split, Rows>,
}

impl Profile {
    /// Reads every row of every split once for each group.
    ///
    /// # Errors
    /// The first fault of the data.
    pub fn of(plan: &Plan, statistics: &Statistics, loader: &dyn Loader) -> Result<Self, Box<Diagnostic>> {
        let numeric = |group: &&Group| matches!(group.content, Content::Numeric | Content::Target);
        let width: usize = plan.groups.iter().filter(numeric).map(|group| 2 * group.columns.len()).sum();
        let most = (ELEMENTS / width.max(1)).clamp(1, SAMPLE);
        let mut profile = Self::default();
        for split in plan.splits() {
            let rows = profile.splits.entry(split).or_default();
            for group in &plan.groups {
                let reading = Reading::new(plan, group, split, loader);
                let Ok(pipeline) = Pipeline::stored(group, split, statistics) else { continue };
                let name = group.name.value.clone();
                let mut count = 0;
                match &group.content {
                    Content::Class(classes, _) => {
                        let mut counts = vec![0; *classes];
                        reading.rows(&pipeline, |row| {
                            count += 1;
                            #[expect(
                                clippy::cast_possible_truncation,
                                clippy::cast_sign_loss,
                                reason = "the reader admits whole numbers below the number of classes"
                            )]
                            row.iter().for_each(|&class| counts[class as usize] += 1);
                        })?;
                        rows.classes.insert(name, counts);
                    }
                    Content::Numeric | Content::Target => {
                        let raw = Pipeline::start(group, group.chain_on(split), None);
                        let mut numbers = Collector::new(group.columns.len(), pipeline.width(), most);
                        reading.rows(&raw, |row| {
                            numbers.see(count, row, &pipeline);
                            count += 1;
                        })?;
                        rows.numbers.insert(name, numbers.conclude(pipeline.kept().to_vec()));
                    }
                    Content::Category(_) => {
                        let mut counts = vec![BTreeMap::new(); group.columns.len()];
                        reading.fields(|fields| {
                            count += 1;
                            for (counts, field) in counts.iter_mut().zip(fields) {
                                *counts.entry(String::from_utf8_lossy(field).into_owned()).or_insert(0) += 1;
                            }
                        })?;
                        rows.words.insert(name, counts);
                    }
                }
                rows.count = count;
            }
        }
        Ok(profile)
    }

    /// The columns of a group on a split.
    #[must_use]
    pub fn numbers(&self, group: &Group, split: Split) -> Option<&Numbers> {
        self.splits.get(&split)?.numbers.get(&group.name.value)
    }

    /// The columns of a group on the split that the model is fitted on.
    #[must_use]
    pub fn train(&self, group: &Group) -> Option<&Numbers> {
        self.numbers(group, Split::Train)
    }
}

/// A row of a sample in the order of its hash: the raw numbers, and those behind the chain.
type Drawn = (u64, u64, Box<(Vec<u64>, Vec<u64>)>);

/// Collects the columns of one group on one split.
struct Collector {
    raw: Vec<Column>,
    input: Vec<Column>,
    most: usize,
    /// The rows with the smallest hashes so far, the largest on top. Numbers are kept as bits, which have an order.
    drawn: BinaryHeap<Drawn>,
    row: Vec<f64>,
}

impl Collector {
    fn new(raw: usize, input: usize, most: usize) -> Self {
        Self {
            raw: vec![Column::EMPTY; raw],
            input: vec![Column::EMPTY; input],
            most,
            drawn: BinaryHeap::new(),
            row: Vec::new(),
        }
    }

    fn see(&mut self, number: u64, raw: &[f64], pipeline: &Pipeline) {
        self.raw.iter_mut().zip(raw).for_each(|(column, &x)| column.add(x));
        self.row.clear();
        self.row.extend_from_slice(raw);
        pipeline.apply(&mut self.row);
        self.input.iter_mut().zip(&self.row).for_each(|(column, &x)| column.add(x));
        let hash = mix(number);
        if self.drawn.len() == self.most {
            match self.drawn.peek() {
                Some((largest, ..)) if *largest > hash => self.drawn.pop(),
                _ => return,
            };
        }
        let bits = |row: &[f64]| row.iter().map(|x| x.to_bits()).collect();
        self.drawn.push((hash, number, Box::new((bits(raw), bits(&self.row)))));
    }

    fn conclude(self, kept: Vec<usize>) -> Numbers {
        let mut drawn = self.drawn.into_vec();
        drawn.sort_unstable_by_key(|(_, number, _)| *number);
        let floats = |row: Vec<u64>| row.into_iter().map(f64::from_bits).collect();
        let (raw_rows, input_rows) =
            drawn.into_iter().map(|(_, _, rows)| (floats(rows.0), floats(rows.1))).unzip();
        Numbers { raw: self.raw, input: self.input, kept, raw_rows, input_rows }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection that scatters consecutive numbers.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_rows() {
        let mut column = Column::EMPTY;
        [1.0, 2.0, f64::NAN, 6.0].iter().for_each(|&x| column.add(x));
        assert_eq!((column.count, column.min, column.max, column.mean), (3, 1.0, 6.0, 3.0));
        assert!((column.variance() - 14.0 / 3.0).abs() < 1e-14, "{}", column.variance());
        assert!(!column.is_constant() && !Column::EMPTY.is_constant());
    }

    #[test]
    fn hashes_of_row_numbers_are_spread() {
        // Of 1000 uniform numbers, those in the lower half are binomial with standard deviation 16; 5 of those are 79.
        let low = (0..1000).filter(|&number| mix(number) < 1 << 63).count();
        assert!(low.abs_diff(500) < 79, "{low}");
    }
}
