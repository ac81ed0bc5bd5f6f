//! Amounts of CPU and memory, as Kubernetes writes them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// CPU in millicores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cpu(pub u64);

/// Memory or storage in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Memory(pub u64);

/// A text that is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantityError {
    text: String,
    example: &'static str,
}

impl fmt::Display for QuantityError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` is not an amount; write it like {}", self.text, self.example)
    }
}

impl std::error::Error for QuantityError {}

/// The bytes of one mebibyte.
pub const MIB: u64 = 1 << 20;
/// The bytes of one gibibyte.
pub const GIB: u64 = 1 << 30;

/// Scales a decimal text by `factor / divisor`, rounding up as Kubernetes does; `None` when it is no number or overflows.
fn scale(number: &str, factor: u128, divisor: u128) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 18 || whole.len() > 19 {
        return None;
    }
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: u128 = format!("0{whole}{fraction}").parse().ok()?;
    let divisor = divisor.checked_mul(10u128.pow(u32::try_from(fraction.len()).ok()?))?;
    u64::try_from(digits.checked_mul(factor)?.div_ceil(divisor)).ok()
}

/// Splits `1.5Gi` into `1.5` and `Gi`, and turns an exponent such as `1e3` into its power of ten.
fn split_suffix(text: &str) -> (&str, &str) {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    text.split_at(end)
}

impl FromStr for Cpu {
    type Err = QuantityError;

    /// Parses `2`, `0.5`, `1500m`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, suffix) = split_suffix(text);
        let millicores = match suffix {
            "" => scale(number, 1000, 1),
            "m" => scale(number, 1, 1),
            "u" => scale(number, 1, 1000),
            "n" => scale(number, 1, 1_000_000),
            "k" => scale(number, 1_000_000, 1),
            _ => None,
        };
        millicores.map(Self).ok_or_else(|| QuantityError { text: text.to_owned(), example: "`2`, `0.5` or `1500m`" })
    }
}

impl FromStr for Memory {
    type Err = QuantityError;

    /// Parses `512Mi`, `1.5Gi`, `2G`, `1000000`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, suffix) = split_suffix(text);
        let bytes = match suffix {
            "" => scale(number, 1, 1),
            "m" => scale(number, 1, 1000),
            "k" => scale(number, 1000, 1),
            "M" => scale(number, 1_000_000, 1),
            "G" => scale(number, 1_000_000_000, 1),
            "T" => scale(number, 1_000_000_000_000, 1),
            "P" => scale(number, 1_000_000_000_000_000, 1),
            "Ki" => scale(number, 1 << 10, 1),
            "Mi" => scale(number, 1 << 20, 1),
            "Gi" => scale(number, 1 << 30, 1),
            "Ti" => scale(number, 1 << 40, 1),
            "Pi" => scale(number, 1 << 50, 1),
            exponent => exponent
                .strip_prefix(['e', 'E'])
                .and_then(|power| power.parse().ok())
                .filter(|power| *power <= 18)
                .and_then(|power| scale(number, 10u128.pow(power), 1)),
        };
        bytes.map(Self).ok_or_else(|| QuantityError { text: text.to_owned(), example: "`512Mi`, `6Gi` or `1.5Gi`" })
    }
}

impl Cpu {
    /// Returns the quantity as a manifest has it: `2` or `1500m`.
    #[must_use]
    pub fn to_kubernetes(self) -> String {
        if self.0.is_multiple_of(1000) { (self.0 / 1000).to_string() } else { format!("{}m", self.0) }
    }
}

impl fmt::Display for Cpu {
    /// Writes cores for people: `2`, `1.5`, `0.25`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        formatter.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Memory {
    /// Returns the quantity as a manifest has it, in the largest binary unit that holds it exactly.
    #[must_use]
    pub fn to_kubernetes(self) -> String {
        for (bits, unit) in [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")] {
            if self.0 > 0 && self.0.is_multiple_of(1 << bits) {
                return format!("{}{unit}", self.0 >> bits);
            }
        }
        self.0.to_string()
    }

    /// Returns this many mebibytes.
    #[must_use]
    pub const fn from_mib(mebibytes: u64) -> Self {
        Self(mebibytes * MIB)
    }

    /// Returns whole mebibytes, rounded down.
    #[must_use]
    pub const fn mib(self) -> u64 {
        self.0 / MIB
    }
}

impl fmt::Display for Memory {
    /// Writes the amount for people, with at most one decimal: `512 MiB`, `31.2 GiB`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut unit, mut size) = ("B", 1u64);
        for (name, bytes) in [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1u64 << 40)] {
            if self.0 >= bytes {
                (unit, size) = (name, bytes);
            }
        }
        let tenths = (u128::from(self.0) * 10 + u128::from(size) / 2) / u128::from(size);
        if tenths.is_multiple_of(10) {
            write!(formatter, "{} {unit}", tenths / 10)
        } else {
            write!(formatter, "{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_for_manifests_is_read_again(amount in 0..=1_000_000_000_000_000_000u64) {
            prop_assert_eq!(Cpu(amount).to_kubernetes().parse(), Ok(Cpu(amount)));
            prop_assert_eq!(Memory(amount).to_kubernetes().parse(), Ok(Memory(amount)));
            prop_assert!(!Cpu(amount).to_string().is_empty() && !Memory(amount).to_string().is_empty());
        }

        #[test]
        fn fractions_are_rounded_up(whole in 0u64..1_000_000, thousandths in 0u64..1000, unit in 0usize..4) {
            let (suffix, factor) = [("", 1), ("k", 1000), ("Mi", MIB), ("Gi", GIB)][unit];
            let bytes = (u128::from(whole) * 1000 + u128::from(thousandths)) * u128::from(factor);
            let expected = u64::try_from(bytes.div_ceil(1000)).map(Memory).map_err(drop);
            prop_assert_eq!(format!("{whole}.{thousandths:03}{suffix}").parse::<Memory>().map_err(drop), expected);
        }

        #[test]
        fn only_what_looks_like_an_amount_is_one(text in prop_oneof!["[0-9.eEkmunKMGTPi+\\- é]{0,24}", any::<String>()]) {
            let is_one = text.parse::<Memory>().is_ok() || text.parse::<Cpu>().is_ok();
            let begins = text.starts_with(|first: char| first.is_ascii_digit() || first == '.');
            prop_assert!(!is_one || begins && text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
        }
    }

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, millicores) in [("2", 2000), ("0.5", 500), ("1500m", 1500), (".5", 500), ("1.0005", 1001), ("2k", 2_000_000), ("100n", 1)] {
            assert_eq!(text.parse::<Cpu>(), Ok(Cpu(millicores)), "{text}");
        }
        for (text, bytes) in
            [("512Mi", 512 << 20), ("1.5Gi", 3 << 29), ("2G", 2_000_000_000), ("7", 7), ("1e3", 1000), ("0.5", 1), ("128974848000m", 128_974_848)]
        {
            assert_eq!(text.parse::<Memory>(), Ok(Memory(bytes)), "{text}");
        }
        for text in ["", "-1", "1.2.3", "2 Gi", "2gb", "Mi", "1e99", "99999999999999999999", "."] {
            assert!(text.parse::<Memory>().is_err(), "{text}");
        }
        assert!("1Gi".parse::<Cpu>().is_err());
    }

    #[test]
    fn quantities_are_written_for_manifests_and_for_people() {
        assert_eq!(Cpu(1500).to_kubernetes(), "1500m");
        assert_eq!(Cpu(2000).to_kubernetes(), "2");
        assert_eq!(Cpu(250).to_string(), "0.25");
        assert_eq!(Memory(3 << 29).to_kubernetes(), "1536Mi");
        assert_eq!(Memory(3 << 29).to_string(), "1.5 GiB");
        assert_eq!(Memory(64 << 30).to_string(), "64 GiB");
        assert_eq!(Memory(0).to_string(), "0 B");
    }
}
