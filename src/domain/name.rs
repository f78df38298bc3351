//! How accounts are called: e-mail addresses and user names.

/// An e-mail address that may name an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Takes an address: something on both sides of an `@`, no space, at most 254 characters.
    pub fn new(raw: &str) -> Option<Self> {
        let raw = raw.trim();
        let (local, host) = raw.rsplit_once('@')?;
        let printable = !raw.contains(|c: char| c.is_whitespace() || c.is_control());
        let fits = printable && raw.chars().count() <= 254 && !local.is_empty() && !host.is_empty();
        fits.then(|| Self(raw.to_owned()))
    }

    /// As typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is compared, so that case does not matter.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }

    /// What precedes the `@`.
    pub fn local_part(&self) -> &str {
        self.0.rsplit_once('@').map_or(self.0.as_str(), |(local, _)| local)
    }
}

/// A user's public handle, compared with case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// Characters a handle has at most.
    const MAX_CHARS: usize = 150;

    /// Takes a handle of 1 to 150 letters, digits and `@`, `.`, `+`, `-`, `_`, not `.` or `..`:
    /// every browser drops these from a path.
    pub fn new(raw: &str) -> Option<Self> {
        let allowed = |c: char| c.is_alphanumeric() || "@.+-_".contains(c);
        let fits = (1..=Self::MAX_CHARS).contains(&raw.chars().count());
        let is_step = matches!(raw, "." | "..");
        (fits && !is_step && raw.chars().all(allowed)).then(|| Self(raw.to_owned()))
    }

    /// A handle made from an address, for those who did not choose one; `numbered` makes it unique.
    pub fn made_from(email: &Email) -> Self {
        let plain = |c: char| if c.is_alphanumeric() || c == '-' { c } else { '_' };
        Self(email.local_part().chars().map(plain).take(Self::MAX_CHARS).collect())
    }

    /// The same with a number behind it.
    #[must_use]
    pub fn numbered(&self, number: u64) -> Self {
        let number = number.to_string();
        let kept = self.0.chars().take(Self::MAX_CHARS - number.len());
        Self(kept.chain(number.chars()).collect())
    }

    /// The handle.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_without_case_and_space() {
        let email = Email::new(" Ann.Lee@Example.org ").unwrap();
        assert_eq!(email.as_str(), "Ann.Lee@Example.org");
        assert_eq!(email.key(), "ann.lee@example.org");
        for bad in ["", "ann", "@example.org", "ann@", "a b@example.org", "a@b\n@c"] {
            assert_eq!(Email::new(bad), None, "{bad}");
        }
        assert_eq!(Email::new(&format!("{}@b", "a".repeat(253))), None);
    }

    #[test]
    fn handles_are_made_from_addresses() {
        let made = |email: &str| Username::made_from(&Email::new(email).unwrap()).0;
        assert_eq!(made("Ann.Lee+x@example.org"), "Ann_Lee_x");
        assert_eq!(made("a-b_9@example.org"), "a-b_9");
        assert_eq!(made("\"a@b\"@example.org"), "_a_b_");
        let long = Username::made_from(&Email::new(&format!("{}@b", "a".repeat(200))).unwrap());
        assert_eq!(long.as_str().len(), 150);
        assert_eq!(long.numbered(12).as_str().len(), 150);
        assert!(long.numbered(12).as_str().ends_with("a12"));
    }

    #[test]
    fn handles_have_few_characters() {
        for good in ["ann", "Ann.Lee@home+1_2-3", "jürgen", "...", ".ann"] {
            assert!(Username::new(good).is_some(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "<b>", "a&b", "\u{0}"] {
            assert_eq!(Username::new(bad), None, "{bad}");
        }
    }
}
