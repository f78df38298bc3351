//! Passwords: Argon2id, on threads of their own, a few at a time.
//!
//! An account that does not exist, or has no password, costs the same work as one that has.
//! Keyboards write `é` as one character or as two; passwords are compared in NFC, where both
//! are one. Older hashes are of the bytes as they were typed.

use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use unicode_normalization::UnicodeNormalization;

/// A password could not be hashed; nothing a user could do about it.
#[derive(Debug, thiserror::Error)]
#[error("a password could not be hashed: {0}")]
pub struct PasswordError(String);

/// Hashes and compares passwords.
#[derive(Clone, Debug)]
pub struct Passwords {
    /// As many as there are processors: more would only share them.
    turns: Arc<Semaphore>,
}

/// Whether a password was the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was not.
    Wrong,
    /// It was.
    Right,
    /// It was, but its hash is of an older kind and should be made anew.
    Outdated,
}

/// The right to hash once.
#[derive(Debug)]
pub(super) struct Turn(OwnedSemaphorePermit);

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

impl Passwords {
    /// With a turn for each processor.
    pub fn new() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self { turns: Arc::new(Semaphore::new(processors)) }
    }

    /// What to store of a new password.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        let turn = self.turn().await;
        run(turn, move || hash(&password)).await?.map_err(PasswordError)
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Turn {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        Turn(turn.expect("the semaphore is never closed"))
    }
}

impl Turn {
    /// Whether the password is the one that was stored; if not, says so before the turn ends.
    pub(super) async fn verify(
        self,
        stored: Option<String>,
        password: String,
        wrong: impl FnOnce() + Send + 'static,
    ) -> Verdict {
        let work = move || {
            let verdict = verify(stored.as_deref(), &password);
            if verdict == Verdict::Wrong {
                wrong();
            }
            verdict
        };
        run(self, work).await.unwrap_or(Verdict::Wrong)
    }
}

/// Runs it on a thread for such work; the turn ends with it, even if nobody waits any more.
async fn run<T: Send + 'static>(
    turn: Turn,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PasswordError> {
    let done = spawn_blocking(move || {
        let result = work();
        drop(turn.0);
        result
    });
    done.await.map_err(|error| PasswordError(error.to_string()))
}

fn hash(password: &str) -> Result<String, String> {
    let hash = Argon2::default().hash_password(normal(password).as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| error.to_string())
}

fn normal(password: &str) -> String {
    password.nfc().collect()
}

fn verify(stored: Option<&str>, password: &str) -> Verdict {
    let Ok(hash) = PasswordHash::new(stored.unwrap_or_else(|| decoy())) else {
        return Verdict::Wrong;
    };
    let matches = |text: &str| {
        Argon2::default().verify_password(text.as_bytes(), &hash).is_ok() && stored.is_some()
    };
    let normal = normal(password);
    if matches(&normal) {
        return Verdict::Right;
    }
    if normal != password && matches(password) {
        return Verdict::Outdated;
    }
    Verdict::Wrong
}

/// What is compared with where nothing is stored; made like any other, so that it costs the same.
fn decoy() -> &'static str {
    static DECOY: OnceLock<String> = OnceLock::new();
    DECOY.get_or_init(|| hash("nobody's").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let passwords = Passwords::new();
        let stored = passwords.hash("grüße".to_owned()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(stored, passwords.hash("grüße".to_owned()).await.unwrap());
        // As hashes were made before there was a normal form.
        let typed = Argon2::default().hash_password("gru\u{308}ße".as_bytes()).unwrap();
        let typed = typed.to_string();
        let table = [
            (Some(stored.clone()), "grüße", Verdict::Right),
            (Some(stored.clone()), "gru\u{308}ße", Verdict::Right),
            (Some(stored.clone()), "grüsse", Verdict::Wrong),
            (Some(stored.clone()), "gruße", Verdict::Wrong),
            (Some(stored), "", Verdict::Wrong),
            (Some(typed.clone()), "gru\u{308}ße", Verdict::Outdated),
            (Some(typed), "grüße", Verdict::Wrong),
            (None, "nobody's", Verdict::Wrong),
            (None, "gru\u{308}ße", Verdict::Wrong),
            (Some("no hash at all".to_owned()), "no hash at all", Verdict::Wrong),
        ];
        for (stored, password, right) in table {
            let turn = passwords.turn().await;
            assert_eq!(turn.verify(stored, password.to_owned(), || ()).await, right, "{password}");
        }
    }

    #[test]
    fn an_unknown_account_costs_the_same_work() {
        let cost = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(cost(decoy()), cost(&hash("password").unwrap()));
        assert!(PasswordHash::new(decoy()).is_ok());
    }

    #[tokio::test]
    async fn a_wrong_password_is_told_before_the_turn_ends() {
        let passwords = Passwords::new();
        let (told, hears) = std::sync::mpsc::channel();
        let turn = passwords.turn().await;
        let free = passwords.turns.available_permits();
        let turns = Arc::clone(&passwords.turns);
        let wrong = move || told.send(turns.available_permits()).unwrap();
        assert_eq!(turn.verify(None, "x".to_owned(), wrong).await, Verdict::Wrong);
        assert_eq!(hears.recv(), Ok(free));
        assert_eq!(passwords.turns.available_permits(), free + 1);
    }
}
