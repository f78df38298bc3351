//! How `created` looks: the operator's letters, filled in for the operator's time zone.
//!
//! The letters are those of the page this dialect comes from; its settings are taken over as
//! they are.

use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::domain::Timestamp;

/// Months as newspapers write them.
const NEWSPAPER: [&str; 12] = [
    "Jan.", "Feb.", "March", "April", "May", "June", "July", "Aug.", "Sept.", "Oct.", "Nov.",
    "Dec.",
];

/// A format and the zone it is filled in for.
#[derive(Clone, Debug)]
pub(super) struct DateFormat {
    letters: String,
    zone: TimeZone,
}

impl DateFormat {
    /// The zone of this name; one that is not known is UTC, and says so in the log.
    pub(super) fn new(letters: &str, zone: &str) -> Self {
        let found = TimeZone::get(zone).unwrap_or_else(|error| {
            tracing::warn!(%error, zone, "private_chat.time_zone is not known; UTC is used");
            TimeZone::UTC
        });
        Self { letters: letters.to_owned(), zone: found }
    }

    /// A moment in these letters.
    pub(super) fn format(&self, time: Timestamp) -> String {
        let moment = jiff::Timestamp::from_microsecond(time.micros()).unwrap_or_default();
        let moment = moment.to_zoned(self.zone.clone());
        let mut text = String::with_capacity(self.letters.len() * 2);
        let mut letters = self.letters.chars();
        while let Some(letter) = letters.next() {
            if letter == '\\' {
                text.extend(letters.next());
            } else if let Some(filled) = fill(letter, &moment) {
                text.push_str(&filled);
            } else {
                text.push(letter);
            }
        }
        text
    }
}

/// What a letter stands for; nothing for all others, which stand for themselves.
fn fill(letter: char, at: &Zoned) -> Option<String> {
    let twelve = match at.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let half = if at.hour() < 12 { "a.m." } else { "p.m." };
    Some(match letter {
        'd' => format!("{:02}", at.day()),
        'j' => at.day().to_string(),
        'm' => format!("{:02}", at.month()),
        'n' => at.month().to_string(),
        'M' => at.strftime("%b").to_string(),
        'F' => at.strftime("%B").to_string(),
        'N' => NEWSPAPER[usize::from(at.month().unsigned_abs() - 1)].to_owned(),
        'Y' => at.year().to_string(),
        'y' => format!("{:02}", at.year().rem_euclid(100)),
        'D' => at.strftime("%a").to_string(),
        'l' => at.strftime("%A").to_string(),
        'H' => format!("{:02}", at.hour()),
        'G' => at.hour().to_string(),
        'h' => format!("{twelve:02}"),
        'g' => twelve.to_string(),
        'i' => format!("{:02}", at.minute()),
        's' => format!("{:02}", at.second()),
        'a' => half.to_owned(),
        'A' => half.replace('.', "").to_ascii_uppercase(),
        'P' => match (at.hour(), at.minute()) {
            (0, 0) => "midnight".to_owned(),
            (12, 0) => "noon".to_owned(),
            (_, 0) => format!("{twelve} {half}"),
            (_, minute) => format!("{twelve}:{minute:02} {half}"),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn every_letter_means_what_the_page_says() {
        let table = [
            ("d.m.Y H:i:s", "2021-03-05T14:07:09Z", "05.03.2021 14:07:09"),
            ("N j, Y, P", "2021-03-05T14:07:09Z", "March 5, 2021, 2:07 p.m."),
            ("N n M F y", "2021-09-05T00:00:00Z", "Sept. 9 Sep September 21"),
            ("D l G g h a A", "2021-03-05T04:00:00Z", "Fri Friday 4 4 04 a.m. AM"),
            ("G g h a A", "2021-03-05T00:30:00Z", "0 12 12 a.m. AM"),
            ("P", "2021-03-05T00:00:00Z", "midnight"),
            ("P", "2021-03-05T12:00:00Z", "noon"),
            ("P", "2021-03-05T14:00:00Z", "2 p.m."),
            ("P", "2021-03-05T12:05:00Z", "12:05 p.m."),
            (r"\d\a\y d, \\", "2021-03-05T14:07:09Z", r"day 05, \"),
            ("[é] z\\", "2021-03-05T14:07:09Z", "[é] z"),
            ("", "2021-03-05T14:07:09Z", ""),
        ];
        for (letters, moment, text) in table {
            let format = DateFormat::new(letters, "UTC");
            assert_eq!(format.format(at(moment)), text, "{letters} at {moment}");
        }
    }

    #[test]
    fn the_zone_moves_the_clock_in_summer_as_well() {
        let format = DateFormat::new("d.m.Y H:i:s", "Europe/Berlin");
        assert_eq!(format.format(at("2026-01-31T23:30:00Z")), "01.02.2026 00:30:00");
        assert_eq!(format.format(at("2026-07-31T23:30:00Z")), "01.08.2026 01:30:00");
        let unknown = DateFormat::new("H", "Middle/Earth");
        assert_eq!(unknown.format(at("2026-07-31T23:30:00Z")), "23");
    }
}
