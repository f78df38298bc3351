//! What commands print: JSON, one object a line.

use std::io::{self, Write as _};

use serde_json::{Value, json};

use crate::domain::{Access, Conversation, Timestamp, User};
use crate::wire::members_chat::date;

/// Prints an object; a reader that has gone away is an error like any other.
pub(super) fn print(value: &Value) -> io::Result<()> {
    print_line(&value.to_string())
}

/// Prints a bare line.
pub(super) fn print_line(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| unwritten(&error))
}

/// What is said when a result reaches nobody.
pub(super) fn unwritten(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("standard output cannot be written: {error}"))
}

/// A user, as commands print one.
pub(super) fn user(user: &User) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "username": user.username,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "birthday": user.birthday.map(day),
        "is_active": user.active,
        "is_superuser": user.superuser,
        "is_staff": user.staff,
        "is_employee": user.employee,
        "premium_until": user.premium_until.map(moment),
        "balance": user.balance,
        "created": moment(user.created),
    })
}

/// A room, as commands print one.
pub(super) fn room(room: &Conversation) -> Value {
    json!({
        "id": room.id,
        "title": room.title,
        "description": room.description,
        "staff_only": room.access == Access::Staff,
        "created": moment(room.created),
    })
}

/// RFC 3339 in UTC.
pub(super) fn moment(time: Timestamp) -> String {
    let exact = jiff::Timestamp::from_microsecond(time.micros());
    // The calendar's last day, which is how some write "for ever".
    exact.map_or_else(|_| format!("{}Z", date(time)), |time| time.to_string())
}

/// The day alone.
fn day(time: Timestamp) -> String {
    moment(time).chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_programs_read_them() {
        let time = Timestamp::from_micros(1_535_597_205_120_000);
        assert_eq!(moment(time), "2018-08-30T02:46:45.12Z");
        assert_eq!(day(time), "2018-08-30");
    }
}
