//! What `clean` removed, and what it did not and why.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    model::removal::Stays,
    output::{format::SCHEMA, wording},
};

/// Up to so many jobs that stay for one reason have a line each.
const ONE_BY_ONE: usize = 10;
/// How many of more than that are named.
const NAMED: usize = 3;

/// What was removed, and what was not and why. Nothing is left out of it, whatever is printed.
#[derive(Debug, Clone, Serialize)]
pub struct Cleaned {
    /// Version of this document.
    pub schema: u32,
    /// Whether this is what would happen.
    pub dry_run: bool,
    /// Whether somebody interrupted it before everything had had its turn.
    pub interrupted: bool,
    /// Names of the jobs that are gone, in the order in which they went.
    pub removed: Vec<String>,
    /// Jobs that were meant to go and stayed.
    pub kept: Vec<Kept>,
}

/// A job that was meant to go and stayed.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// Why, as a word.
    pub reason: Stays,
    /// Why, as the end of a sentence that begins with the job.
    pub why: String,
}

impl Cleaned {
    /// Returns the document before anything was done.
    #[must_use]
    pub fn new(dry_run: bool) -> Self {
        Self { schema: SCHEMA, dry_run, interrupted: false, removed: Vec::new(), kept: Vec::new() }
    }

    /// Notes that a job stays.
    pub fn keep(&mut self, name: String, reason: Stays) {
        self.keep_because(name, reason, reason.words().to_owned());
    }

    /// Notes that a job stays, in the words of whoever decided that.
    pub fn keep_because(&mut self, name: String, reason: Stays, why: String) {
        self.kept.push(Kept { name, reason, why });
    }

    /// Returns what stays, in lines: one for each job while they are few, else one for each reason.
    #[must_use]
    pub fn stays(&self) -> Vec<String> {
        let mut groups: BTreeMap<(Stays, String), Vec<&Kept>> = BTreeMap::new();
        for kept in &self.kept {
            // The server's words name the job that they are about.
            let alike = kept.why.replace(&format!(" Job `{}`", kept.name), " them");
            groups.entry((kept.reason, alike)).or_default().push(kept);
        }
        groups.into_iter().flat_map(|((_, alike), group)| lines(&alike, &group)).collect()
    }

    /// Returns how much was removed, or would be.
    #[must_use]
    pub fn summary(&self) -> String {
        let verb = if self.dry_run { "would be removed" } else { "removed" };
        format!("{} {verb}, with pods and files", wording::count(self.removed.len(), "job"))
    }
}

fn lines(alike: &str, group: &[&Kept]) -> Vec<String> {
    if group.len() <= ONE_BY_ONE {
        return group.iter().map(|kept| format!("{} stays: {}", kept.name, kept.why)).collect();
    }
    let mut names: Vec<String> = group.iter().take(NAMED).map(|kept| kept.name.clone()).collect();
    names.push(format!("{} more", group.len() - NAMED));
    vec![format!("{} stay: {alike} ({})", wording::count(group.len(), "job"), wording::list(&names))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_that_stay_for_one_reason_have_one_line() {
        let mut cleaned = Cleaned::new(false);
        cleaned.keep("a".into(), Stays::Changed);
        for number in 0..12 {
            let name = format!("job-{number}");
            let why = format!("you may not delete jobs, while deleting Job `{name}`");
            cleaned.keep_because(name, Stays::Refused, why);
        }
        assert_eq!(
            cleaned.stays(),
            [
                "a stays: it changed since it was listed",
                "12 jobs stay: you may not delete jobs, while deleting them (job-0, job-1, job-2 and 9 more)",
            ]
        );
        let document = serde_json::to_value(&cleaned).unwrap();
        assert_eq!((document["kept"].as_array().unwrap().len(), &document["kept"][0]["reason"]), (13, &serde_json::json!("changed")));
    }
}
