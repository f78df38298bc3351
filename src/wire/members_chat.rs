//! Dates of members-chat, which its frames and its HTTP API share.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, date as day};

use crate::domain::Timestamp;

/// Counted from here without zones, so that the calendar's last day can be said.
const EPOCH: DateTime = day(1970, 1, 1).at(0, 0, 0, 0);

/// A date as the wire has it: UTC, always six digits behind the point, no zone.
pub fn date(time: Timestamp) -> String {
    // A moment beyond the calendar cannot come out of `read_date`; it reads as the epoch.
    let civil = EPOCH.checked_add(SignedDuration::from_micros(time.micros())).unwrap_or(EPOCH);
    civil.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}

/// A date that somebody has written: with a zone, or without one in UTC, or a day alone.
pub fn read_date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp::from_micros(moment.as_microsecond()));
    }
    let civil = text.parse::<DateTime>().ok();
    let civil = civil.or_else(|| text.parse::<Date>().ok().map(DateTime::from))?;
    let micros = civil.duration_since(EPOCH).as_micros();
    i64::try_from(micros).ok().map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_six_digits_also_when_they_are_zeros() {
        let table = [
            (0, "1970-01-01T00:00:00.000000"),
            (1_662_132_447_857_355, "2022-09-02T15:27:27.857355"),
            (1_662_132_447_000_001, "2022-09-02T15:27:27.000001"),
            (-1, "1969-12-31T23:59:59.999999"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999"),
        ];
        for (micros, text) in table {
            let time = Timestamp::from_micros(micros);
            assert_eq!(date(time), text);
            assert_eq!(read_date(text), Some(time));
        }
    }

    #[test]
    fn dates_are_read_with_a_zone_without_one_and_without_a_time() {
        let noon = Timestamp::from_secs(1_767_571_200);
        for text in ["2026-01-05", "2026-01-05T00:00:00Z", "2026-01-05T01:00:00+01:00"] {
            assert_eq!(read_date(text), Some(noon), "{text}");
        }
        let end = Timestamp::from_secs(253_402_214_400);
        assert_eq!(read_date("9999-12-31"), Some(end));
        for text in ["", "soon", "2026-13-01", "1e9"] {
            assert_eq!(read_date(text), None, "{text}");
        }
    }
}
