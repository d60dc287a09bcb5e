//! Dividing rows by time: the earliest rows train, the latest ones test.
//!
//! Contract: the column holds numbers, or dates and times in ISO 8601 without an offset (`2024`, `2024-03`, `2024-03-31`,
//! `2024-03-31T12:00:00Z`), whose text has the order of time; anything else is a fault with its place. Rows of equal time stay together: where
//! a boundary falls between them, all of them go to the later split. The division depends on the times and shares alone, not on the order of
//! the rows. Memory grows with the number of distinct times.

use super::table::Table;
use super::{File, Split};
use crate::diag::{Diagnostic, rules};
use crate::source::{Loader, Spanned};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A place in time.
#[derive(Clone, Debug, PartialEq)]
pub enum Moment {
    /// A number.
    Number(f64),
    /// A date, by the order of its text.
    Date(String),
}

impl Moment {
    /// Reads the text of a field; `numbers` says that the whole column is numeric.
    #[must_use]
    pub fn read(text: &str, numbers: bool) -> Option<Self> {
        if numbers {
            number(text).map(Self::Number)
        } else {
            is_date(text).then(|| Self::Date(text.to_owned()))
        }
    }

    /// The order of time. Numbers and dates never meet.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::Number(_), Self::Date(_)) => Ordering::Less,
            (Self::Date(_), Self::Number(_)) => Ordering::Greater,
        }
    }

    /// In words.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Number(x) => x.to_string(),
            Self::Date(text) => text.clone(),
        }
    }
}

/// A finite number.
#[must_use]
pub fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|x: &f64| x.is_finite())
}

/// Whether a text is an ISO date or time whose text sorts as it does: four digits of a year, then digits and separators.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let year = bytes.len() >= 4 && bytes[..4].iter().all(u8::is_ascii_digit);
    let rest = bytes.get(4..).unwrap_or_default();
    let allowed = |b: &u8| b.is_ascii_digit() || b"-:.TZ W".contains(b);
    let offset = rest.iter().position(|b| *b == b'T').is_some_and(|at| rest[at..].contains(&b'-'));
    year && (rest.is_empty() || rest[0] == b'-') && rest.iter().all(allowed) && !offset
}

/// The kind of a column, and where each split but the first begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Cuts {
    numbers: bool,
    /// The splits in the order of time, each with its first moment; the first one begins before all.
    begins: Vec<(Split, Option<Moment>)>,
}

impl Cuts {
    /// Reads the times of a file and divides them by shares.
    ///
    /// # Errors
    /// The first field that is no time.
    pub fn of(
        file: &File,
        column: &Spanned<String>,
        shares: &[(Split, u64)],
        loader: &dyn Loader,
    ) -> Result<Self, Box<Diagnostic>> {
        let (numbers, times) = times(file, column, loader)?;
        let mut sorted: Vec<(Moment, u64)> = times
            .into_iter()
            .filter_map(|(text, rows)| Some((Moment::read(&text, numbers)?, rows)))
            .collect();
        sorted.sort_by(|(a, _), (b, _)| a.compare(b));
        let rows: u128 = sorted.iter().map(|(_, rows)| u128::from(*rows)).sum();
        let total: u128 = shares.iter().map(|(_, share)| u128::from(*share)).sum();
        let mut shares: Vec<(Split, u64)> = shares.iter().copied().filter(|(_, share)| *share > 0).collect();
        shares.sort_unstable();
        let mut before = 0;
        let mut begins = Vec::new();
        for (split, share) in shares {
            let rank = rows * before / total.max(1);
            begins.push((split, (before > 0).then(|| at_rank(&sorted, rank)).flatten()));
            before += u128::from(share);
        }
        Ok(Self { numbers, begins })
    }

    /// The place in time of a row; `None` if its text is no time.
    #[must_use]
    pub fn moment(&self, text: &str) -> Option<Moment> {
        Moment::read(text.trim(), self.numbers)
    }

    /// The split of a row; `None` if its text is no time.
    #[must_use]
    pub fn split_of(&self, text: &str) -> Option<Split> {
        let moment = self.moment(text)?;
        let begun = |(_, begin): &&(Split, Option<Moment>)| {
            begin.as_ref().is_none_or(|begin| begin.compare(&moment) != Ordering::Greater)
        };
        self.begins.iter().rev().find(begun).map(|(split, _)| *split)
    }
}

/// The moment of the row of a rank.
fn at_rank(sorted: &[(Moment, u64)], rank: u128) -> Option<Moment> {
    let mut before = 0u128;
    for (moment, rows) in sorted {
        before += u128::from(*rows);
        if rank < before {
            return Some(moment.clone());
        }
    }
    None
}

/// The distinct texts of a column with their number of rows, and whether all of them are numbers.
fn times(
    file: &File,
    column: &Spanned<String>,
    loader: &dyn Loader,
) -> Result<(bool, BTreeMap<String, u64>), Box<Diagnostic>> {
    let read = |check: Option<bool>| -> Result<BTreeMap<String, u64>, Box<Diagnostic>> {
        let mut table = Table::open(loader, file)?;
        let missing = |table: &Table<'_>| {
            super::missing_column(column.span, &file.shown, &column.value, &table.header.names)
        };
        let at = table.header.find(&column.value).ok_or_else(|| missing(&table))?;
        let mut times = BTreeMap::new();
        while table.advance()? {
            let text = String::from_utf8_lossy(table.field(at)).into_owned();
            if check.is_some_and(|numbers| Moment::read(&text, numbers).is_none()) {
                let message =
                    format!("`{text}` is neither a number nor a date whose text has the order of time");
                let fault = table.fault(&rules::NOT_A_NUMBER, at, message);
                return Err(Box::new(
                    fault.help("write dates as 2024-03-31, times as 2024-03-31T12:00:00Z, or numbers"),
                ));
            }
            *times.entry(text).or_insert(0) += 1;
        }
        Ok(times)
    };
    let times = read(None)?;
    let numbers = times.keys().all(|text| number(text).is_some());
    if times.keys().any(|text| Moment::read(text, numbers).is_none()) {
        // Once more, for the place of the first one.
        read(Some(numbers))?;
    }
    Ok((numbers, times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told_from_other_texts() {
        for text in ["2024", "2024-03", "2024-03-31", "2024-03-31T12:00:00Z", "2024-03-31 12:00", "2024-W13"]
        {
            assert!(is_date(text), "{text}");
        }
        for text in [
            "",
            "31.3.2024",
            "3/31/2024",
            "March",
            "20240331x",
            "2024-03-31T12:00:00+01:00",
            "2024-03-31T12:00-05:00",
        ] {
            assert!(!is_date(text), "{text}");
        }
    }
}
