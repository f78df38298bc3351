//! The first message, by which a client says who it is: a bare number, or a token in one of
//! several forms.

use super::Visit;
use super::codec::{MOST, user_id};
use crate::domain::{Credentials, UserId};
use crate::json::{self, Object};

/// The keys of a first message that is an object.
const KEYS: [&str; 4] = ["user_id", "token", "access_token", "extras"];

/// What the first message says.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Greeting {
    /// Who it says it is, if it says a number.
    pub(super) user: Option<UserId>,
    /// The token that proves it, if there is one.
    pub(super) token: Option<String>,
    /// Whether it asks for more than the original document has.
    pub(super) extras: bool,
}

impl std::fmt::Debug for Greeting {
    /// Keeps tokens out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Greeting").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Reads a first message; none if it is no usable one.
pub(super) fn read(text: &str) -> Option<Greeting> {
    let text = text.trim();
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let plain = |user, token| Some(Greeting { user, token, extras: false });
    if let Some(user) = number(text) {
        return plain(Some(user), None);
    }
    if let Some(word) = text.strip_prefix('"') {
        return plain(Some(number(word.strip_suffix('"')?)?), None);
    }
    if text.starts_with('{') {
        return object(text);
    }
    let token = bearer(text).unwrap_or(text);
    is_token(token).then(|| plain(None, Some(token.to_owned())))?
}

/// By what a first message claims to be somebody, given what the handshake has shown; or why
/// it cannot.
pub(super) fn claim(visit: &Visit, said: Greeting) -> Result<Credentials, &'static str> {
    let (shown, owner) = visit.identity.clone().unzip();
    if let (Some(owner), Some(named)) = (owner, said.user)
        && owner != named
    {
        return Err("user mismatch");
    }
    match (said.token.or(shown), said.user.or(owner)) {
        (Some(token), Some(user)) => Ok(Credentials::TokenOf { token, user }),
        (Some(token), None) => Ok(Credentials::Token(token)),
        (None, Some(user)) => Ok(Credentials::Number { user, local: visit.local }),
        (None, None) => Err("authorization required"),
    }
}

/// What stands behind `Bearer`, in any case.
pub(super) fn bearer(text: &str) -> Option<&str> {
    let (word, rest) = text.trim().split_once(char::is_whitespace)?;
    word.eq_ignore_ascii_case("bearer").then(|| rest.trim())
}

/// One to sixteen digits, leading zeros allowed, within range.
fn number(text: &str) -> Option<UserId> {
    let is_number = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let number: i64 = text.parse().ok().filter(|_| is_number)?;
    (1..=MOST).contains(&number).then(|| UserId::new(number))
}

/// Whether it looks like three parts of a token at all.
fn is_token(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=".contains(&b))
    };
    text.split('.').count() == 3 && text.split('.').all(is_part)
}

fn object(text: &str) -> Option<Greeting> {
    let text = json::tidy(text);
    let keys = Object::read(&text, &KEYS)?;
    let user = match keys.get("user_id") {
        Some(raw) => Some(user_id(raw)?),
        None => None,
    };
    let token = match keys.get("token").or_else(|| keys.get("access_token")) {
        Some(raw) => Some(json::string(raw)?.trim().to_owned()),
        None => None,
    };
    let extras = keys.get("extras").is_some_and(|raw| raw.get() == "true");
    // The header's form is often copied whole.
    let token = token.map(|token| bearer(&token).map(str::to_owned).unwrap_or(token));
    (user.is_some() || token.is_some()).then_some(Greeting { user, token, extras })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_names_a_user_names_the_same_one() {
        let ann = UserId::new(1);
        let token = |token: &str| Ok(Credentials::Token(token.to_owned()));
        let token_of =
            |token: &str, user| Ok(Credentials::TokenOf { token: token.to_owned(), user });
        let number = |local| Ok(Credentials::Number { user: ann, local });
        let nobody = Visit::default();
        let local = Visit { local: true, ..Visit::default() };
        let shown = Visit { identity: Some(("h.h.h".to_owned(), ann)), ..Visit::default() };
        let table = [
            (&nobody, "1", number(false)),
            (&local, "1", number(true)),
            (&nobody, "a.b.c", token("a.b.c")),
            (&nobody, "{\"token\": \"t\", \"user_id\": 7}", token_of("t", UserId::new(7))),
            (&shown, "1", token_of("h.h.h", ann)),
            (&shown, "a.b.c", token_of("a.b.c", ann)),
            (&shown, "{\"token\": \"t\", \"user_id\": 1}", token_of("t", ann)),
            (&shown, "2", Err("user mismatch")),
            (&shown, "{\"token\": \"t\", \"user_id\": 2}", Err("user mismatch")),
        ];
        for (visit, text, claimed) in table {
            assert!(claim(visit, read(text).unwrap()) == claimed, "{text}");
        }
    }

    #[test]
    fn a_first_message_is_a_number_or_a_token() {
        let number = |user| Some((Some(user), None, false));
        let token = |token: &str| Some((None, Some(token.to_owned()), false));
        let table = [
            ("1", number(1)),
            (" 1\n", number(1)),
            ("001", number(1)),
            ("0000000000000001", number(1)),
            ("00000000000000001", None),
            ("9007199254740991", number(MOST)),
            ("9007199254740992", None),
            ("\"1\"", number(1)),
            ("\"01\"", number(1)),
            ("\"\"", None),
            ("\"", None),
            ("\"a.b.c\"", None),
            ("{\"user_id\": 1}", number(1)),
            ("{\"user_id\": \"1\"}", number(1)),
            ("{\"user_id\": 1.5}", None),
            ("{\"user_id\": null}", None),
            ("{\"user_id\": 1, \"extras\": true}", Some((Some(1), None, true))),
            ("{\"user_id\": 1, \"extras\": 1}", number(1)),
            ("eyJ.eyJ.c-_", token("eyJ.eyJ.c-_")),
            ("Bearer a.b.c", token("a.b.c")),
            ("bEARER  a.b.c ", token("a.b.c")),
            ("{\"token\": \"a.b.c\"}", token("a.b.c")),
            ("{\"access_token\": \"a.b.c\"}", token("a.b.c")),
            ("{\"token\": \"Bearer a.b.c\"}", token("a.b.c")),
            ("{\"token\": \"x\", \"user_id\": 2}", Some((Some(2), Some("x".to_owned()), false))),
            ("{\"token\": 5}", None),
            ("{\"extras\": true}", None),
            ("{}", None),
            ("{", None),
            ("[1]", None),
            ("0", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            ("abc", None),
            ("a.b", None),
            ("a..c", None),
            ("Bearer", None),
            ("", None),
            ("\u{0661}", None),
        ];
        for (text, meaning) in table {
            let found = read(text).map(|it| (it.user.map(UserId::get), it.token, it.extras));
            assert_eq!(found, meaning, "{text:?}");
        }
    }
}
