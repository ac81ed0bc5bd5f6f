//! What a text must look like to be the value of a setting, wherever it was written.

use std::time::Duration;

use crate::model::{
    duration,
    identity::{LABEL_VALUE_LIMIT, SizeName},
    launch_plan::{OnInterrupt, OnNoCapacity, OnOutOfMemory, RunAsUser},
    prefect::tracking::TrackingMode,
    quantity::{Cpu, MIB, Memory},
};

/// What a value becomes, or what is wrong with it, in words.
pub(crate) type Parsed<T> = Result<T, String>;

/// The least termination grace: a spot instance has 120 s from its notice to its end, and a flow shall have most of them.
pub(crate) const LEAST_GRACE: Duration = Duration::from_secs(100);
/// The least lease: a follower pushes it forward every few minutes at most, and may lose its connection in between.
const LEAST_LEASE: Duration = Duration::from_secs(10);
/// More replacements than this are no longer for machines that were lost.
const MOST_RETRIES: u32 = 100;

fn at_least(text: &str, least: Duration, why: &str) -> Parsed<Duration> {
    let parsed = duration::parse(text).map_err(|error| error.to_string())?;
    if parsed < least {
        return Err(format!("`{text}` is less than {}: {why}", duration::format_exact(least)));
    }
    Ok(parsed)
}

/// Returns any duration; zero means at once.
pub(crate) fn any_duration(text: &str) -> Parsed<Duration> {
    at_least(text, Duration::ZERO, "")
}

/// Returns a time limit that something can happen within.
pub(crate) fn time_limit(text: &str) -> Parsed<Duration> {
    at_least(text, Duration::from_secs(1), "nothing could happen in that time")
}

/// Returns the time between SIGTERM and SIGKILL.
pub(crate) fn grace(text: &str) -> Parsed<Duration> {
    at_least(text, LEAST_GRACE, "the notice of a spot instance is 120s, and the flow needs most of it")
}

/// Returns how long a job outlives a follower that vanished.
pub(crate) fn lease(text: &str) -> Parsed<Duration> {
    at_least(text, LEAST_LEASE, "a short loss of the connection would end the job")
}

/// Returns a number of replacements.
pub(crate) fn retries(text: &str) -> Parsed<u32> {
    text.parse().ok().filter(|count| *count <= MOST_RETRIES).ok_or_else(|| format!("`{text}` is not a whole number from 0 to {MOST_RETRIES}"))
}

/// Returns CPUs, more than none.
pub(crate) fn cpu(text: &str) -> Parsed<Cpu> {
    let parsed: Cpu = text.parse().map_err(|error| format!("{error}"))?;
    if parsed.0 == 0 { Err(format!("`{text}` is no CPU at all; write it like `2` or `1500m`")) } else { Ok(parsed) }
}

/// Returns memory or storage; less than a mebibyte is a forgotten unit.
pub(crate) fn memory(text: &str) -> Parsed<Memory> {
    let parsed: Memory = text.parse().map_err(|error| format!("{error}"))?;
    if parsed.0 >= MIB {
        return Ok(parsed);
    }
    let number = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    Err(format!("`{text}` is {} bytes; write it like `{number}Mi` or `{number}Gi`", parsed.0))
}

/// Returns an amount that is kept back, which may be none.
pub(crate) fn reserved_cpu(text: &str) -> Parsed<Cpu> {
    text.parse().map_err(|error| format!("{error}"))
}

/// Returns an amount that is kept back, which may be none.
pub(crate) fn reserved_memory(text: &str) -> Parsed<Memory> {
    if text == "0" { Ok(Memory(0)) } else { memory(text) }
}

/// Returns a user number, or what the image says.
pub(crate) fn run_as_user(text: &str) -> Parsed<RunAsUser> {
    if text == "image" {
        return Ok(RunAsUser::Image);
    }
    match text.parse::<i64>() {
        Ok(0) => Err("`0` is root; write `image` to run as the image says".to_owned()),
        Ok(id) if (1..=i64::from(i32::MAX)).contains(&id) => Ok(RunAsUser::Id(id)),
        _ => Err(format!("`{text}` is not a user; write a number such as `65532`, or `image`")),
    }
}

/// Returns whether something is so.
pub(crate) fn truth(text: &str) -> Parsed<bool> {
    text.parse().map_err(|_| format!("must be `true` or `false`, not `{text}`"))
}

/// Returns what an interruption without a terminal does.
pub(crate) fn on_interrupt(text: &str) -> Parsed<OnInterrupt> {
    match text {
        "cancel" => Ok(OnInterrupt::Cancel),
        "detach" => Ok(OnInterrupt::Detach),
        _ => Err(format!("`{text}` is not `cancel` or `detach`")),
    }
}

/// Returns whether a Prefect flow is tracked.
pub(crate) fn tracking(text: &str) -> Parsed<TrackingMode> {
    match text {
        "auto" => Ok(TrackingMode::Auto),
        "off" => Ok(TrackingMode::Off),
        "required" => Ok(TrackingMode::Required),
        _ => Err(format!("`{text}` is not `auto`, `off` or `required`")),
    }
}

/// Returns what to do when there is no machine of the size.
pub(crate) fn on_no_capacity(text: &str) -> Parsed<OnNoCapacity> {
    match text {
        "wait" => Ok(OnNoCapacity::Wait),
        "fail" => Ok(OnNoCapacity::Fail),
        "fallback" => Ok(OnNoCapacity::Fallback),
        _ => Err(format!("`{text}` is not `wait`, `fail` or `fallback`")),
    }
}

/// Returns what to do when a flow runs out of memory.
pub(crate) fn on_oom(text: &str) -> Parsed<OnOutOfMemory> {
    match text {
        "fail" => Ok(OnOutOfMemory::Fail),
        "next-size" => Ok(OnOutOfMemory::NextSize),
        _ => Err(format!("`{text}` is not `fail` or `next-size`")),
    }
}

/// Returns any text that is not empty.
pub(crate) fn text(text: &str) -> Parsed<String> {
    if text.trim().is_empty() { Err("the text is empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// Returns a container image.
pub(crate) fn image(text: &str) -> Parsed<String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(format!("`{text}` is not an image; write it like `registry.example/flows:1`"));
    }
    Ok(text.to_owned())
}

/// Returns an address of the web.
pub(crate) fn url(text: &str) -> Parsed<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if rest.is_none_or(str::is_empty) || text.contains(char::is_whitespace) {
        return Err(format!("`{text}` is not an address; write it like `https://example.com`"));
    }
    Ok(text.to_owned())
}

/// Returns a name with a part of a label's alphabet, such as `A-b_c.d`.
fn is_name(text: &str, limit: usize, allowed: impl Fn(u8) -> bool) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= limit && ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || allowed(*byte))
}

fn is_dns_label(text: &str) -> bool {
    is_name(text, 63, |byte| byte == b'-') && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// Returns the name of a namespace (RFC 1123 label).
pub(crate) fn namespace(text: &str) -> Parsed<String> {
    if is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is no name of a namespace: lower-case letters, digits and inner hyphens, at most 63"))
    }
}

/// Returns the name of an object such as a Secret or ServiceAccount (RFC 1123 subdomain).
pub(crate) fn object_name(text: &str) -> Parsed<String> {
    if is_dns_subdomain(text) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is no name of an object in Kubernetes: lower-case letters, digits, inner hyphens and dots, at most 253"))
}

/// Returns the name of a Prefect work pool, by Prefect's own rules.
pub(crate) fn work_pool(text: &str) -> Parsed<String> {
    if text.trim().is_empty() {
        return Err("the name of a work pool is empty".to_owned());
    }
    if let Some(banned) = text.chars().find(|character| "/%&><".contains(*character) || character.is_control()) {
        return Err(format!("`{text}` is no name of a work pool: it has `{}`", banned.escape_debug()));
    }
    if text.to_lowercase().starts_with("prefect") {
        return Err(format!("`{text}` is no name of a work pool: Prefect keeps names that begin with `prefect` for itself"));
    }
    Ok(text.to_owned())
}

/// Returns a label value of Kubernetes, which may be empty.
pub(crate) fn label_value(text: &str) -> Parsed<String> {
    if text.is_empty() || is_name(text, LABEL_VALUE_LIMIT, |byte| b"-_.".contains(&byte)) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` cannot be a label value: letters, digits and inner `-`, `_` and `.`, at most {LABEL_VALUE_LIMIT}"))
}

/// Returns a label or annotation key of Kubernetes: a name, with or without a DNS name before a slash.
pub(crate) fn label_key(text: &str) -> Parsed<String> {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    if prefix.is_none_or(is_dns_subdomain) && is_name(name, 63, |byte| b"-_.".contains(&byte)) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` cannot be a key: write it like `team` or `example.com/team`"))
}

/// Returns the key of a label or annotation that a user may set; some belong to sbrun.
pub(crate) fn own_key(text: &str) -> Parsed<String> {
    const SET_BY_SBRUN: [&str; 3] = ["app.kubernetes.io/managed-by", "cluster-autoscaler.kubernetes.io/safe-to-evict", "karpenter.sh/do-not-disrupt"];
    if text.starts_with("sbrun.dev/") || SET_BY_SBRUN.contains(&text) {
        return Err(format!("`{text}` is set by sbrun itself"));
    }
    label_key(text)
}

/// Returns the name of an environment variable.
pub(crate) fn variable_name(text: &str) -> Parsed<String> {
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if starts && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is no name of an environment variable"))
}

/// Returns the name of a size: usable as a label value, and not empty.
pub(crate) fn size_name(text: &str) -> Parsed<SizeName> {
    if text.is_empty() {
        return Err("the name of a size is empty".to_owned());
    }
    label_value(text).map(SizeName)
}

/// Returns name and value of `NAME=value`.
pub(crate) fn assignment(text: &str) -> Parsed<(String, String)> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`; write it like `NAME=value`"))?;
    Ok((variable_name(name)?, value.to_owned()))
}

/// Returns key and value of a label, `key=value`.
pub(crate) fn label(text: &str) -> Parsed<(String, String)> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`; write it like `key=value`"))?;
    Ok((own_key(key)?, label_value(value)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_variable_s_value_is_whatever_follows_the_first_equals_sign(name in "[A-Za-z_][A-Za-z0-9_]{0,20}", value in any::<String>()) {
            prop_assert_eq!(assignment(&format!("{name}={value}")), Ok((name, value)));
        }

        #[test]
        fn a_label_that_is_taken_is_what_was_typed_and_kubernetes_takes_it_too(key in "\\PC{0,20}|[a-z./-]{0,30}", value in "\\PC{0,10}|[A-Za-z0-9._-]{0,70}") {
            let typed = format!("{key}={value}");
            if let Ok((key, value)) = label(&typed) {
                prop_assert_eq!(format!("{key}={value}"), typed.as_str());
                let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                let is_name = |text: &str| text.len() <= 63 && text.bytes().all(inner)
                    && text.bytes().next().is_none_or(|byte| byte.is_ascii_alphanumeric()) && text.bytes().last().is_none_or(|byte| byte.is_ascii_alphanumeric());
                let name = key.rsplit_once('/').map_or(key.as_str(), |(_, name)| name);
                prop_assert!(!name.is_empty() && is_name(name) && is_name(&value), "{typed}");
            }
        }

        #[test]
        fn no_value_makes_a_reader_panic(text in any::<String>()) {
            drop((grace(&text), memory(&text), run_as_user(&text), retries(&text), size_name(&text), namespace(&text), object_name(&text), label_key(&text)));
        }
    }

    #[test]
    fn each_value_is_taken_or_answered_with_an_example() {
        assert_eq!(grace("100s"), Ok(Duration::from_secs(100)));
        assert_eq!(grace("30s"), Err("`30s` is less than 1m40s: the notice of a spot instance is 120s, and the flow needs most of it".into()));
        assert_eq!(time_limit("0s"), Err("`0s` is less than 1s: nothing could happen in that time".into()));
        assert_eq!(any_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(memory("512"), Err("`512` is 512 bytes; write it like `512Mi` or `512Gi`".into()));
        assert_eq!(memory("600m"), Err("`600m` is 1 bytes; write it like `600Mi` or `600Gi`".into()));
        assert_eq!(run_as_user("image"), Ok(RunAsUser::Image));
        assert_eq!(run_as_user("1000"), Ok(RunAsUser::Id(1000)));
        for bad in ["0", "-1", "root", "99999999999"] {
            assert!(run_as_user(bad).is_err(), "{bad}");
        }
        assert_eq!(retries("3"), Ok(3));
        assert!(retries("101").is_err() && retries("-1").is_err() && retries("x").is_err());
        assert_eq!(assignment("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert!(assignment("1A=b").is_err() && assignment("A").is_err());
        assert!(label("sbrun.dev/user=x").is_err() && label("team=a b").is_err());
        assert_eq!(label("example.com/team=data"), Ok(("example.com/team".into(), "data".into())));
    }

    #[test]
    fn names_are_those_of_kubernetes() {
        for good in ["a", "m7i.large", "x-1_y", &"a".repeat(63)] {
            assert!(size_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "ä", &"a".repeat(64)] {
            assert!(size_name(bad).is_err(), "{bad}");
        }
        assert!(namespace("flows").is_ok() && namespace("Flows").is_err() && namespace("a.b").is_err());
        assert!(object_name("a.b").is_ok() && object_name("a..b").is_err() && object_name("").is_err());
        assert!(label_key("eks.amazonaws.com/nodegroup").is_ok() && label_key("a/b/c").is_err() && label_key("/b").is_err());
    }
}
