//! Dates as NEO's clients read and write them.
//!
//! HTTP answers speak RFC 1123 because an old client's parser takes nothing else; events
//! speak ISO 8601 without a zone. Everything is UTC.

use jiff::civil::{Date, DateTime};
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::domain::Timestamp;

/// Where a date travels, and so how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dates {
    /// In an HTTP answer: `Thu, 30 Aug 2018 02:46:45 GMT`.
    Rest,
    /// In an event: `2018-08-30T02:46:45.120311`.
    Socket,
}

impl Dates {
    /// The date in this form.
    pub fn write(self, time: Timestamp) -> String {
        // A moment beyond the calendar cannot come out of `read_date`; it reads as the epoch.
        let time = jiff::Timestamp::from_microsecond(time.micros()).unwrap_or_default();
        match self {
            Self::Rest => rfc2822::DateTimePrinter::new()
                .timestamp_to_rfc9110_string(&time)
                .unwrap_or_else(|_| "Thu, 01 Jan 1970 00:00:00 GMT".to_owned()),
            Self::Socket => {
                let civil = time.to_zoned(TimeZone::UTC).datetime();
                let whole = civil.strftime("%Y-%m-%dT%H:%M:%S");
                match civil.subsec_nanosecond() / 1_000 {
                    0 => whole.to_string(),
                    micros => format!("{whole}.{micros:06}"),
                }
            }
        }
    }

    /// The date in this form, as JSON.
    pub fn json(self, time: Timestamp) -> Value {
        Value::String(self.write(time))
    }

    /// The date in this form, or `null`.
    pub fn maybe(self, time: Option<Timestamp>) -> Value {
        time.map_or(Value::Null, |time| self.json(time))
    }
}

/// Formats with an offset from UTC; read as civil time the offset is passed over.
const MOMENTS: &[&str] =
    &["%a %b %d %Y %H:%M:%S GMT%z", "%Y-%m-%d %H:%M:%S %z", "%Y-%m-%dT%H:%M:%S%z"];

/// Formats without one; those with a time of day first. Where day and month may both come
/// first, the month does, unless it cannot.
const CIVILS: &[&str] = &[
    "%a, %d %b %Y %H:%M:%S GMT",
    "%A, %d-%b-%y %H:%M:%S GMT",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S UTC %Y",
    "%a %b %d %H:%M:%S GMT %Y",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%d.%m.%Y %H:%M:%S",
];

/// Formats of a day alone.
const DAYS: &[&str] = &[
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%d %B %Y",
    "%d %b %Y",
    "%B %d, %Y",
    "%b %d, %Y",
    "%B %d %Y",
    "%b %d %Y",
    "%a, %d %b %Y",
    "%a %b %d %Y",
];

/// Reads any common date text; what has no offset is UTC.
pub fn read_date(text: &str) -> Option<Timestamp> {
    let text = shorten(text);
    if let Some(moment) = read_moment(text) {
        return in_calendar(moment);
    }
    in_calendar(read_civil(text)?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Reads the day that a date text names, in whatever zone it was written, as its midnight.
pub fn read_day(text: &str) -> Option<Timestamp> {
    let text = shorten(text);
    let written = read_civil(text).map(DateTime::date);
    let day = written.or_else(|| Some(read_moment(text)?.to_zoned(TimeZone::UTC).date()))?;
    in_calendar(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Without surrounding space, and without the zone's name in brackets that browsers append.
fn shorten(text: &str) -> &str {
    text.split_once(" (").map_or(text, |(date, _)| date).trim()
}

fn read_moment(text: &str) -> Option<jiff::Timestamp> {
    let parsed = text.parse::<jiff::Timestamp>().ok();
    parsed
        .or_else(|| rfc2822::parse(text).ok().map(|zoned| zoned.timestamp()))
        .or_else(|| MOMENTS.iter().find_map(|format| jiff::Timestamp::strptime(format, text).ok()))
}

fn read_civil(text: &str) -> Option<DateTime> {
    let parsed = text.parse::<DateTime>().ok();
    parsed
        .or_else(|| {
            let mut formats = CIVILS.iter().chain(MOMENTS);
            formats.find_map(|format| DateTime::strptime(format, text).ok())
        })
        .or_else(|| DAYS.iter().find_map(|format| Some(Date::strptime(format, text).ok()?.into())))
}

/// Only years that both written forms can say.
fn in_calendar(time: jiff::Timestamp) -> Option<Timestamp> {
    let year = time.to_zoned(TimeZone::UTC).year();
    (1..=9999).contains(&year).then(|| Timestamp::from_micros(time.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_page_shows() {
        let table = [
            (1_535_597_205_120_311, "Thu, 30 Aug 2018 02:46:45 GMT", "2018-08-30T02:46:45.120311"),
            (1_535_597_205_000_000, "Thu, 30 Aug 2018 02:46:45 GMT", "2018-08-30T02:46:45"),
            (1_535_597_205_000_100, "Thu, 30 Aug 2018 02:46:45 GMT", "2018-08-30T02:46:45.000100"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT", "1969-12-31T23:59:59.999999"),
            (i64::MAX, "Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00"),
        ];
        for (micros, rest, socket) in table {
            let time = Timestamp::from_micros(micros);
            assert_eq!(Dates::Rest.write(time), rest);
            assert_eq!(Dates::Socket.write(time), socket);
        }
    }

    #[test]
    fn any_common_date_is_read() {
        let table = [
            ("1995-12-12", "1995-12-12T00:00:00"),
            ("1995-2-2", "1995-02-02T00:00:00"),
            ("1995/02/02", "1995-02-02T00:00:00"),
            ("02/03/1995", "1995-02-03T00:00:00"),
            ("25/03/1995", "1995-03-25T00:00:00"),
            ("2.3.1995", "1995-03-02T00:00:00"),
            ("25 December 1990", "1990-12-25T00:00:00"),
            ("Dec 25, 1990", "1990-12-25T00:00:00"),
            ("1990-12-25T10:11", "1990-12-25T10:11:00"),
            ("1990-12-25 10:11:12.5", "1990-12-25T10:11:12.500000"),
            ("1990-12-25T10:11:12Z", "1990-12-25T10:11:12"),
            ("1990-12-25T10:11:12+02:00", "1990-12-25T08:11:12"),
            (" Tue, 25 Dec 1990 00:00:00 GMT ", "1990-12-25T00:00:00"),
            ("Tue Dec 25 1990 10:00:00 GMT+0200 (CEST)", "1990-12-25T08:00:00"),
            ("Tue Dec 25 10:00:00 1990", "1990-12-25T10:00:00"),
        ];
        for (text, meaning) in table {
            let read = read_date(text).map(|time| Dates::Socket.write(time));
            assert_eq!(read.as_deref(), Some(meaning), "{text}");
        }
    }

    #[test]
    fn a_birthday_is_the_midnight_of_the_day_that_was_written() {
        for text in ["1990-12-25", "1990-12-25T23:11:12+02:00", "Tue Dec 25 1990 01:00:00 GMT+0200"]
        {
            let day = read_day(text).map(|time| Dates::Rest.write(time));
            assert_eq!(day.as_deref(), Some("Tue, 25 Dec 1990 00:00:00 GMT"), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        let bad =
            ["", " ", "soon", "1995-13-01", "1995-02-30", "32/32/1995", "-5000-01-01", "💣", "0"];
        for text in bad {
            assert_eq!(read_date(text), None, "{text}");
            assert_eq!(read_day(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,40}", micros: i64) {
            let _ = (read_date(&text), read_day(&text));
            let _ = Dates::Rest.write(Timestamp::from_micros(micros));
            let _ = Dates::Socket.write(Timestamp::from_micros(micros));
        }
    }
}
