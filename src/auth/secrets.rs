//! Secrets of the server itself: set by the operator, or made once and kept in the data folder.
//!
//! Processes that start at the same moment agree on one: they make it under a file lock.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;

use crate::settings::Secret;

/// A secret can be neither read nor made.
#[derive(Debug, thiserror::Error)]
#[error("the secret {} can be neither read nor made: {source}", file.display())]
pub struct SecretsError {
    /// Where it should be.
    file: PathBuf,
    /// What the operating system says.
    source: io::Error,
}

/// The secrets of the server itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// Signs tokens, and makes the keys of browser logins.
    pub token: Secret,
    /// Makes TURN passwords.
    pub turn: Secret,
}

impl Secrets {
    /// Takes what is set, and keeps the rest in the data folder, which is made if it is missing.
    pub fn open(data_dir: &Path, token: &Secret, turn: &Secret) -> Result<Self, SecretsError> {
        Ok(Self {
            token: set_or_kept(token, data_dir, "token.secret")?,
            turn: set_or_kept(turn, data_dir, "turn.secret")?,
        })
    }
}

fn set_or_kept(set: &Secret, folder: &Path, name: &str) -> Result<Secret, SecretsError> {
    if !set.is_empty() {
        return Ok(set.clone());
    }
    let file = folder.join(name);
    keep(folder, &file).map(Secret::new).map_err(|source| SecretsError { file, source })
}

/// Reads a secret, or makes it.
fn keep(folder: &Path, file: &Path) -> io::Result<String> {
    if let Some(kept) = read(file)? {
        return Ok(kept);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let lock = owners_only().create(true).open(folder.join("secrets.lock"))?;
    lock.lock()?;
    if let Some(kept) = read(file)? {
        return Ok(kept);
    }
    let secret = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
    let draft = file.with_extension("draft");
    let mut out = owners_only().create(true).truncate(true).open(&draft)?;
    out.write_all(secret.as_bytes())?;
    out.sync_all()?;
    fs::rename(&draft, file)?;
    File::open(folder)?.sync_all()?;
    Ok(secret)
}

fn owners_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// The secret, if it was made; an empty file would let everybody in and is an error.
fn read(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) if text.trim().is_empty() => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"))
        }
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::thread;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_reads_it() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("data");
        let unset = Secret::default();
        let first = Secrets::open(&folder, &unset, &unset).unwrap();
        assert_eq!(Secrets::open(&folder, &unset, &unset).unwrap(), first);
        assert_ne!(first.token, first.turn);
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("token.secret")), 0o600);
        assert_eq!(mode(&folder.join("turn.secret")), 0o600);
    }

    #[test]
    fn a_secret_that_is_set_is_not_kept() {
        let home = tempfile::tempdir().unwrap();
        let set = Secret::new("set");
        let secrets = Secrets::open(home.path(), &set, &set).unwrap();
        assert_eq!(secrets.token.expose(), "set");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn who_starts_at_the_same_moment_agrees() {
        for _ in 0..20 {
            let home = tempfile::tempdir().unwrap();
            let folder = home.path().join("data");
            let unset = Secret::default();
            let made: Vec<_> = thread::scope(|scope| {
                let start = || Secrets::open(&folder, &unset, &unset).unwrap();
                let starts: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            assert!(made.iter().all(|secrets| *secrets == made[0]));
        }
    }

    #[test]
    fn an_empty_secret_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("token.secret"), "\n").unwrap();
        let unset = Secret::default();
        let error = Secrets::open(home.path(), &unset, &unset).unwrap_err().to_string();
        assert!(error.contains("token.secret"), "{error}");
    }
}
