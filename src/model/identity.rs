//! Names: of jobs, runs, sizes and people, within the limits of Kubernetes.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest name of a Job here. The controller adds six characters for the pod, whose host name is limited to 63.
pub const JOB_NAME_LIMIT: usize = 57;
/// The longest label value of Kubernetes.
pub const LABEL_VALUE_LIMIT: usize = 63;
/// How much of a flow's slug goes into a Job name.
const SLUG_LIMIT: usize = 40;

/// The name of a Job: an RFC 1123 label of at most [`JOB_NAME_LIMIT`] characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobName(String);

/// The identity of one run: the same over attempts, and over reruns after a loss.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

/// The name of a size profile.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SizeName(pub String);

impl JobName {
    /// Returns `<slug of the flow>-<10 base32 characters>`, from at least 50 random bits.
    #[must_use]
    pub fn for_flow(flow: &str, random: [u8; 8]) -> Self {
        let suffix = base32(&random);
        Self(format!("{}-{}", slug(flow, SLUG_LIMIT), &suffix[..10]))
    }

    /// Returns the name that belongs to an idempotency key: two runners with one key cannot both create it.
    ///
    /// `attempt` counts from 1; later attempts under one key get a suffix.
    #[must_use]
    pub fn for_key(key: &str, attempt: u32) -> Self {
        let hash = base32(&Sha256::digest(key.as_bytes()));
        let base = format!("key-{}", &hash[..26]);
        Self(if attempt <= 1 { base } else { format!("{base}-{attempt}") })
    }

    /// Returns the name as it is when Kubernetes would take it for a Job, else what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > JOB_NAME_LIMIT {
            return Err(format!("`{text}` must have 1 to {JOB_NAME_LIMIT} characters, it has {}", text.len()));
        }
        if !text.bytes().all(valid) || text.starts_with('-') || text.ends_with('-') {
            return Err(format!("`{text}` may only have lower-case letters, digits and inner hyphens, such as `{}`", slug(text, SLUG_LIMIT)));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RunId {
    /// Returns an identifier that sorts by time: 48 bits of milliseconds and 80 random bits, in Crockford's base 32 (a ULID).
    #[must_use]
    pub fn new(unix_milliseconds: u64, random: [u8; 10]) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut bytes = [0u8; 16];
        bytes[..6].copy_from_slice(&unix_milliseconds.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random);
        let number = u128::from_be_bytes(bytes);
        let digit = |index: u32| char::from(ALPHABET[usize::try_from(number >> (125 - 5 * index) & 31).unwrap_or(0)]);
        Self((0..26).map(digit).collect())
    }

    /// Returns whether `text` is a whole identifier, and no prefix of one.
    #[must_use]
    pub fn is_whole(text: &str) -> bool {
        text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    }
}

/// Returns lower-case base 32 without padding (RFC 4648), which is valid in names and labels.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    data_encoding::BASE32_NOPAD.encode(bytes).to_lowercase()
}

/// Returns the hexadecimal SHA-256 of some bytes.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

/// Returns `text` as part of a DNS name: lower case, digits and single hyphens, at most `limit` characters, never empty.
#[must_use]
pub fn slug(text: &str, limit: usize) -> String {
    let mut slug = String::new();
    for character in text.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(limit);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "flow".to_owned() } else { slug.to_owned() }
}

/// Returns a label value for any text: itself when it is a short slug, else a slug and a hash, so that two texts never share one.
#[must_use]
pub fn label_value(text: &str) -> String {
    let short = slug(text, LABEL_VALUE_LIMIT);
    if short == text {
        return short;
    }
    let hash = base32(&Sha256::digest(text.as_bytes()));
    format!("{}-{}", slug(text, LABEL_VALUE_LIMIT - 9), &hash[..8])
}

macro_rules! display_as_inner {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    )*};
}
display_as_inner!(JobName, RunId, SizeName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_for_kubernetes() {
        for flow in ["ETL_daily.py", "--", "ünïcode", &"x".repeat(200), "a.b/c d"] {
            let name = JobName::for_flow(flow, [7; 8]);
            assert_eq!(JobName::parse(name.as_str()), Ok(name.clone()), "{flow}");
        }
        assert_eq!(JobName::parse(JobName::for_key("a key", 12).as_str()), Ok(JobName::for_key("a key", 12)));
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", &"x".repeat(58)] {
            assert!(JobName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn label_values_of_two_texts_differ() {
        assert_eq!(label_value("ana"), "ana");
        assert_ne!(label_value("Ana"), label_value("ana"));
        assert_ne!(label_value("ana@x.org"), label_value("ana.x@org"));
        assert!(label_value(&"Z".repeat(300)).len() <= LABEL_VALUE_LIMIT);
    }

    #[test]
    fn run_ids_sort_by_time() {
        assert!(RunId::new(1, [255; 10]) < RunId::new(2, [0; 10]));
        assert_eq!(RunId::new(u64::MAX, [255; 10]).0, "7zzzzzzzzzzzzzzzzzzzzzzzzz");
    }
}
