//! Numbers as people read them: the one place where snapshots, tables and messages take their digits from.

/// A real number with at most four significant digits, without trailing zeros: `0.1768`, `1e-4`, `9.8e-4`, `64`.
#[must_use]
pub fn number(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return if x == 0.0 { "0".to_owned() } else { x.to_string() };
    }
    // Rounding first: 9.9996 has the exponent of 10.
    let scientific = format!("{x:.3e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-3..6).contains(&exponent) {
        let decimals = usize::try_from(3 - exponent).unwrap_or(0);
        let plain = format!("{x:.decimals$}");
        return if plain.contains('.') { trimmed(&plain).to_owned() } else { plain };
    }
    format!("{}e{exponent}", trimmed(mantissa))
}

fn trimmed(digits: &str) -> &str {
    digits.trim_end_matches('0').trim_end_matches('.')
}

/// An integer with commas between thousands: `11,689,512`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A text of at most `most` characters: what is longer is cut in the middle.
#[must_use]
pub fn shorten(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let length = text.chars().count();
    if length <= most {
        return text;
    }
    let kept = most / 2;
    let front = text.char_indices().nth(kept).map_or(text.len(), |(at, _)| at);
    let back = text.char_indices().nth(length - kept).map_or(text.len(), |(at, _)| at);
    format!("{} … {}", &text[..front], &text[back..])
}

/// `1 error`, `2 errors`.
#[must_use]
pub fn plural(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Serialises enums as the words that their `word` gives.
macro_rules! serialize_words {
    ($($name:ty),+ $(,)?) => {
        $(impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        })+
    };
}
pub(crate) use serialize_words;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_significant_digits() {
        let shown = |x: f64| number(x);
        assert_eq!(shown(0.176_776_695), "0.1768");
        assert_eq!(shown(1e-4), "1e-4");
        assert_eq!(shown(9.8e-4), "9.8e-4");
        assert_eq!(shown(0.001), "0.001");
        assert_eq!(shown(64.0), "64");
        assert_eq!(shown(9.9996), "10");
        assert_eq!(shown(123_456.0), "123456");
        assert_eq!(shown(1.5e9), "1.5e9");
        assert_eq!(shown(-0.5), "-0.5");
        assert_eq!(shown(0.0), "0");
        assert_eq!(count(11_689_512), "11,689,512");
        assert_eq!(count(999), "999");
    }

    #[test]
    fn long_texts_are_cut_in_the_middle() {
        assert_eq!(shorten("añb".to_owned(), 3), "añb");
        assert_eq!(shorten("éabcdefgé".to_owned(), 4), "éa … gé");
    }
}
