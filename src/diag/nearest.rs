//! Did-you-mean.

/// The candidate nearest to `word`, if it is near enough to be a slip of the hand.
///
/// Damerau-Levenshtein distance (Damerau 1964), at most a third of the word's length and at most 3; upper and
/// lower case count as equal, so that `Conv2D` finds `conv2d`.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    let limit = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, candidate)| distance <= limit && candidate != word)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let ops = ["linear", "conv2d", "relu", "dropout"];
        assert_eq!(did_you_mean("liner", ops), Some("linear"));
        assert_eq!(did_you_mean("Conv2D", ops), Some("conv2d"));
        assert_eq!(did_you_mean("rleu", ops), Some("relu"));
        assert_eq!(did_you_mean("attention", ops), None);
    }
}
