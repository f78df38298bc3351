//! Numbers: whole is what has no fraction, however it is written.

use serde_json::value::RawValue;

/// Digits that an `i64` may have.
const DIGITS: i64 = 19;

/// A number without a fraction: `7`, `7.0` and `0.7e1` are the same.
pub fn integer(raw: &RawValue) -> Option<i64> {
    let text = raw.get();
    if !text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return None;
    }
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let leading = digits.len() - digits.trim_start_matches('0').len();
    let significant = digits[leading..].trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // How many digits stand before the point.
    let exponent: i64 = exponent.parse().ok()?;
    let before = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let before = before.checked_sub(i64::try_from(leading).ok()?)?;
    if before > DIGITS {
        return None;
    }
    let zeros = usize::try_from(before).ok()?.checked_sub(significant.len())?;
    format!("{sign}{significant}{}", "0".repeat(zeros)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<i64> {
        integer(&RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn a_number_without_a_fraction_is_an_integer_however_written() {
        let table = [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("-0.0", Some(0)),
            ("0e999999999999999999999", Some(0)),
            ("7", Some(7)),
            ("1.0", Some(1)),
            ("1e0", Some(1)),
            ("1E+2", Some(100)),
            ("0.7e1", Some(7)),
            ("0.007e3", Some(7)),
            ("1200e-2", Some(12)),
            ("-3.000", Some(-3)),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808.0", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1e19", None),
            ("1e400", None),
            ("1e-1", None),
            ("1.5", None),
            ("12e-2", None),
            ("1e99999999999999999999", None),
            ("\"1\"", None),
            ("true", None),
            ("[1]", None),
        ];
        for (text, number) in table {
            assert_eq!(read(text), number, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_number_reads_as_itself(number: i64, zeros in 0..20_usize) {
            proptest::prop_assert_eq!(read(&number.to_string()), Some(number));
            let point = format!("{number}.{}", "0".repeat(zeros + 1));
            proptest::prop_assert_eq!(read(&point), Some(number));
        }
    }
}
