//! What somebody may have meant, and lists for sentences.

/// How alike two words must be, from 0 to 1, for one to be suggested for the other.
const LIKENESS: f64 = 0.6;

/// Longer words are no misspelt names, and comparing them would take long.
const LONGEST: usize = 100;

/// Returns the candidate that is most like `word`, when any is alike enough to be what was meant.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    let likeness = |candidate: &str| strsim::normalized_damerau_levenshtein(&word, &candidate.to_lowercase());
    let scored = candidates.into_iter().map(|candidate| (likeness(candidate), candidate)).filter(|(likeness, _)| *likeness >= LIKENESS);
    // Of two that are equally alike the first one wins, so that an answer is always the same.
    scored.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, candidate)| candidate)
}

/// Returns names as a sentence has them: `` `a`, `b` and `c` ``.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_alike_is_suggested() {
        let keys = ["timeout", "pending_timeout", "image", "footprint"];
        assert_eq!(closest("footprnt", keys), Some("footprint"));
        assert_eq!(closest("Timeout", keys), Some("timeout"));
        assert_eq!(closest("tiemout", keys), Some("timeout"));
        assert_eq!(closest("colour", keys), None);
        assert_eq!(closest("", keys), None);
        assert_eq!(closest(&"footprint".repeat(100), keys), None);
    }

    #[test]
    fn lists_read_as_a_sentence() {
        assert_eq!(listed([]), "");
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
