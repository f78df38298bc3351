//! The bytes of files, on disk under random names of our own.
//!
//! Bytes are first written under a temporary name, then made durable and renamed, so a
//! name that the database knows always stands for all of its bytes. What the database does
//! not know (any more) is swept away.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::domain::FileId;

/// How many of the first bytes are kept to guess the type by.
const HEAD: usize = 8 * 1024;
/// Younger files are left alone: their rows may be on their way.
const GRACE: Duration = Duration::from_hours(1);
/// How many names the database is asked about at once.
const ASKED: usize = 500;
/// The folder of what has not arrived whole.
const INCOMING: &str = "incoming";

/// Where bytes lie. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Files {
    root: Arc<Path>,
}

/// Bytes on their way in; dropped before they are kept, they are gone.
#[derive(Debug)]
pub struct Incoming {
    files: Files,
    id: FileId,
    file: Option<File>,
    size: u64,
    head: Vec<u8>,
}

/// Bytes that lie under their name.
#[derive(Debug)]
pub struct Kept {
    /// Their name.
    pub id: FileId,
    /// How many there are.
    pub size: u64,
    /// The first of them.
    pub head: Vec<u8>,
}

/// What sweeping can fail at.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The disk.
    #[error("the folder of files cannot be read")]
    Disk(#[from] io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Files {
    /// Opens the folder of files below the data directory; makes it if it is missing.
    pub async fn open(data_dir: &Path) -> io::Result<Self> {
        let root = data_dir.join("files");
        let mut make = fs::DirBuilder::new();
        make.recursive(true);
        #[cfg(unix)]
        make.mode(0o700);
        make.create(root.join(INCOMING)).await?;
        Ok(Self { root: root.into() })
    }

    fn path(&self, id: FileId) -> PathBuf {
        let name = id.get().simple().to_string();
        // A folder of some thousand files is as far as some tools go.
        self.root.join(&name[..2]).join(name)
    }

    fn incoming(&self, id: FileId) -> PathBuf {
        self.root.join(INCOMING).join(id.get().simple().to_string())
    }

    /// Begins to take bytes in, under a new name.
    pub async fn receive(&self) -> io::Result<Incoming> {
        let id = FileId::random();
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(self.incoming(id)).await?;
        let (files, file) = (self.clone(), Some(file));
        Ok(Incoming { files, id, file, size: 0, head: Vec::new() })
    }

    /// The bytes of a name, to be read piece by piece, and their number; none if they are lost.
    pub async fn open_file(&self, id: FileId) -> io::Result<Option<(File, u64)>> {
        match File::open(self.path(id)).await {
            Ok(file) => {
                let size = file.metadata().await?.len();
                Ok(Some((file, size)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the bytes of a name. What cannot be removed now is swept later.
    pub async fn discard(&self, id: FileId) {
        if let Err(error) = fs::remove_file(self.path(id)).await
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the bytes of a file could not be removed yet");
        }
    }

    /// Sweeps now and every so often, until it is dropped.
    pub async fn keep_swept(self, store: Store, every: Duration) {
        let mut turns = tokio::time::interval(every);
        loop {
            turns.tick().await;
            match self.sweep(&store).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "swept files that nobody needs"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "files could not be swept");
                }
            }
        }
    }

    /// Removes what nobody will ask for any more; says how many files that was.
    pub async fn sweep(&self, store: &Store) -> Result<usize, SweepError> {
        let mut removed = 0;
        let mut folders = fs::read_dir(&self.root).await?;
        while let Some(folder) = folders.next_entry().await? {
            if !folder.file_type().await?.is_dir() {
                continue;
            }
            let old = old_files(&folder.path()).await?;
            let incoming = folder.file_name() == INCOMING;
            for some in old.chunks(ASKED) {
                let wanted = if incoming { Vec::new() } else { store.filter_wanted(some).await? };
                for id in some.iter().filter(|id| !wanted.contains(id)) {
                    let path = if incoming { self.incoming(*id) } else { self.path(*id) };
                    match fs::remove_file(path).await {
                        Ok(()) => removed += 1,
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        Ok(removed)
    }
}

/// The files of a folder that have lain there for a while; others' files are not ours to see.
async fn old_files(folder: &Path) -> io::Result<Vec<FileId>> {
    let mut old = Vec::new();
    let mut entries = fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| Uuid::try_parse(name).ok()) else { continue };
        let age = entry.metadata().await?.modified()?.elapsed().unwrap_or_default();
        if age >= GRACE {
            old.push(FileId::new(id));
        }
    }
    Ok(old)
}

impl Incoming {
    /// Takes a piece.
    pub async fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(piece).await?;
        }
        self.size += piece.len() as u64;
        let missing = HEAD - self.head.len();
        self.head.extend_from_slice(&piece[..piece.len().min(missing)]);
        Ok(())
    }

    /// How many bytes have come.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The first of the bytes that have come.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Makes what has come durable, under its name.
    pub async fn keep(mut self) -> io::Result<Kept> {
        if let Some(file) = &mut self.file {
            file.flush().await?;
            file.sync_all().await?;
        }
        let path = self.files.path(self.id);
        let folder = path.parent().unwrap_or(&self.files.root).to_owned();
        fs::create_dir_all(&folder).await?;
        fs::rename(self.files.incoming(self.id), &path).await?;
        self.file = None;
        // The name is durable with its folder, and a new folder with the one above.
        File::open(&folder).await?.sync_all().await?;
        File::open(&self.files.root).await?.sync_all().await?;
        Ok(Kept { id: self.id, size: self.size, head: std::mem::take(&mut self.head) })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // One unlinking; if it fails the sweep comes by.
            let _ = std::fs::remove_file(self.files.incoming(self.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_is_kept_can_be_read_and_what_is_dropped_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).await.unwrap();
        let mut incoming = files.receive().await.unwrap();
        incoming.write(b"hello ").await.unwrap();
        incoming.write(b"world").await.unwrap();
        let kept = incoming.keep().await.unwrap();
        assert_eq!((kept.size, kept.head.as_slice()), (11, b"hello world".as_slice()));
        let (mut file, size) = files.open_file(kept.id).await.unwrap().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!((text.as_str(), size), ("hello world", 11));
        files.discard(kept.id).await;
        assert!(files.open_file(kept.id).await.unwrap().is_none());
        files.discard(kept.id).await;

        let dropped = files.receive().await.unwrap();
        let path = files.incoming(dropped.id);
        assert!(path.exists());
        drop(dropped);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_head_stays_small_however_much_comes() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).await.unwrap();
        let mut incoming = files.receive().await.unwrap();
        for _ in 0..5 {
            incoming.write(&[7; 5000]).await.unwrap();
        }
        let kept = incoming.keep().await.unwrap();
        assert_eq!((kept.size, kept.head.len()), (25_000, HEAD));
    }
}
