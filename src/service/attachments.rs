//! Files: announced, brought piece by piece, read, found, deleted.

use crate::domain::{
    CircleId, DeviceId, FileId, Media, MediaId, MediaOwner, Message, Party, Principal, Refusal,
    RefusalKind, UserId,
};
use crate::policy::{self, MayAdminister, Shelf};
use crate::store::{Arrived, Description, Incoming};

use super::naming::{safe_name, sniff};
use super::{Caller, Services, found};

/// A file to be announced for somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// What it is for.
    pub purpose: String,
    /// Its name.
    pub name: String,
    /// What it will belong to; none means the caller.
    pub owner: Option<MediaOwner>,
}

/// Bytes on their way in; dropped before the end, they are gone.
#[derive(Debug)]
pub struct Upload {
    media: Media,
    incoming: Incoming,
    most: u64,
}

/// A file whose bytes can be read.
#[derive(Debug)]
pub struct Opened {
    /// What it is.
    pub media: Media,
    /// Its bytes.
    pub file: tokio::fs::File,
    /// How many there are.
    pub size: u64,
}

/// What a file belongs to, whole.
#[derive(Debug)]
pub enum Belonging {
    /// A message.
    Message(Box<Message>),
    /// A user or a device.
    Party(Party),
    /// A circle.
    Circle(crate::domain::Circle),
    /// Nothing that is left.
    Nothing,
}

impl Upload {
    /// Takes a piece; refuses as soon as there are too many bytes.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        if self.incoming.size() + piece.len() as u64 > self.most {
            return Err(too_large(self.most));
        }
        self.incoming.write(piece).await.map_err(|error| unwritable(&error))
    }
}

fn too_large(most: u64) -> Refusal {
    let text = format!("a file may have at most {most} bytes (limits.upload_bytes)");
    Refusal::new(RefusalKind::TooLarge, text)
}

pub(super) fn unwritable(error: &std::io::Error) -> Refusal {
    tracing::error!(%error, "the bytes of a file could not be stored");
    Refusal::unavailable()
}

fn unknown_file() -> Refusal {
    Refusal::not_found("there is no such file")
}

impl Services {
    /// The names under which a message's files are announced, if they are not too many.
    pub fn file_names(
        &self,
        raw: impl IntoIterator<Item = String>,
    ) -> Result<Vec<String>, Refusal> {
        let most = self.limits().files_per_message.get();
        let mut names = Vec::new();
        for name in raw {
            if names.len() == most {
                let text =
                    format!("a message may have at most {most} files (limits.files_per_message)");
                return Err(Refusal::malformed(text));
            }
            names.push(name.chars().filter(|c| *c != '\0').take(1024).collect());
        }
        Ok(names)
    }

    /// Begins to take in the bytes of a file; `announced` is how many are to come, if known.
    pub async fn begin_upload(
        &self,
        caller: &Caller,
        id: MediaId,
        announced: Option<u64>,
    ) -> Result<Upload, Refusal> {
        let (media, facts) = self.file_for(caller, id).await?;
        policy::may_fill(caller.principal, id, &facts)?;
        let most = self.limits().upload_bytes.get() as u64;
        if announced.is_some_and(|size| size > most) {
            return Err(too_large(most));
        }
        let incoming = self.files().receive().await.map_err(|error| unwritable(&error))?;
        Ok(Upload { media, incoming, most })
    }

    /// Ends an upload; the file has arrived.
    pub async fn finish_upload(
        &self,
        caller: &Caller,
        upload: Upload,
        name: Option<&str>,
    ) -> Result<(), Refusal> {
        let id = upload.media.id;
        let (filename, extension) = safe_name(name.unwrap_or(&upload.media.identifier));
        let kept = upload.incoming.keep().await.map_err(|error| unwritable(&error))?;
        let arrived = Arrived {
            file: kept.id,
            size: kept.size,
            mime: Some(sniff(&kept.head, &extension)),
            filename,
            extension,
        };
        match self.fill(caller, id, arrived).await {
            Ok(replaced) => {
                if let Some(old) = replaced {
                    self.files().discard(old).await;
                }
                Ok(())
            }
            // Perhaps they are known to the database after all; if not, they are swept.
            Err(refusal) if refusal.kind() == RefusalKind::Unknown => Err(refusal),
            Err(refusal) => {
                self.files().discard(kept.id).await;
                Err(refusal)
            }
        }
    }

    async fn fill(
        &self,
        caller: &Caller,
        id: MediaId,
        arrived: Arrived,
    ) -> Result<Option<FileId>, Refusal> {
        // Much may have changed while the bytes came.
        let (_, facts) = self.file_for(caller, id).await?;
        let permit = policy::may_fill(caller.principal, id, &facts)?;
        self.store_for(caller).fill(permit, arrived).await?.ok_or_else(unknown_file)
    }

    /// What is known of a file.
    pub async fn show_media(&self, caller: &Caller, id: MediaId) -> Result<Media, Refusal> {
        let (media, facts) = self.file_for(caller, id).await?;
        policy::may_fetch(caller.principal, id, &facts)?;
        Ok(media)
    }

    /// A file's bytes, to be read piece by piece.
    pub async fn open_media(&self, caller: &Caller, id: MediaId) -> Result<Opened, Refusal> {
        let media = self.show_media(caller, id).await?;
        if media.uploaded.is_none() {
            return Err(Refusal::not_found("the file has not been uploaded yet"));
        }
        self.open_bytes(media).await
    }

    /// Announces files that belong to no message; all of them, or none.
    pub async fn announce(
        &self,
        caller: &Caller,
        wanted: Vec<Announced>,
    ) -> Result<Vec<Media>, Refusal> {
        let mut permits = Vec::with_capacity(wanted.len());
        for one in wanted {
            let owner = one.owner.unwrap_or_else(|| own(caller.principal));
            let facts = self
                .store()
                .shelf(caller.principal, owner)
                .await?
                .ok_or_else(|| unknown_owner(owner))?;
            permits.push((policy::may_shelve(caller.principal, &facts)?, one.purpose, one.name));
        }
        Ok(self.store_for(caller).shelve(permits).await?)
    }

    /// The files that somebody uses for a purpose; none where the caller may not see them.
    pub async fn find_medias(
        &self,
        caller: &Caller,
        owner: Option<MediaOwner>,
        purpose: &str,
    ) -> Result<Vec<Media>, Refusal> {
        let owner = owner.unwrap_or_else(|| own(caller.principal));
        let Some(facts) = self.store().shelf(caller.principal, owner).await? else {
            return Ok(Vec::new());
        };
        let mut list = self.store().list_medias(owner, Some(purpose)).await?;
        list.retain(|media| policy::may_fetch(caller.principal, media.id, &facts).is_ok());
        Ok(list)
    }

    /// Takes a file away.
    pub async fn delete_media(&self, caller: &Caller, id: MediaId) -> Result<(), Refusal> {
        let (_, facts) = self.file_for(caller, id).await?;
        let permit = policy::may_discard(caller.principal, id, &facts)?;
        let orphan = self.store_for(caller).discard(permit).await?.ok_or_else(unknown_file)?;
        self.forget_bytes(orphan).await;
        Ok(())
    }

    /// A file and what it belongs to, for administrators.
    pub async fn inspect_media(
        &self,
        _: &MayAdminister,
        id: MediaId,
    ) -> Result<(Media, Belonging), Refusal> {
        let media = self.store().find_media(id).await?.ok_or_else(unknown_file)?;
        let party = |found: Option<Party>| found.map_or(Belonging::Nothing, Belonging::Party);
        let belonging = match media.owner {
            MediaOwner::Message(id) => self
                .store()
                .find_message(id)
                .await?
                .map_or(Belonging::Nothing, |message| Belonging::Message(message.into())),
            MediaOwner::User(id) => party(self.store().find_party(Principal::User(id)).await?),
            MediaOwner::Device(id) => party(self.store().find_party(Principal::Device(id)).await?),
            MediaOwner::Circle(id) => {
                let circle = self.store().find_circle(id).await?;
                circle.map_or(Belonging::Nothing, Belonging::Circle)
            }
            MediaOwner::Smile(_) => Belonging::Nothing,
        };
        Ok((media, belonging))
    }

    /// Rewrites a file's description, for administrators.
    pub async fn describe_media(
        &self,
        permit: &MayAdminister,
        id: MediaId,
        description: Description,
    ) -> Result<(), Refusal> {
        found(self.store().describe(permit, id, description).await?, unknown_file)
    }

    /// Takes any file away, for administrators.
    pub async fn remove_media(&self, permit: &MayAdminister, id: MediaId) -> Result<(), Refusal> {
        let orphan = self.store().remove_media(permit, id).await?.ok_or_else(unknown_file)?;
        self.forget_bytes(orphan).await;
        Ok(())
    }

    async fn forget_bytes(&self, orphan: Option<FileId>) {
        if let Some(file) = orphan {
            self.files().discard(file).await;
        }
    }

    async fn file_for(&self, caller: &Caller, id: MediaId) -> Result<(Media, Shelf), Refusal> {
        let media = self.store().find_media(id).await?.ok_or_else(unknown_file)?;
        let facts =
            self.store().shelf(caller.principal, media.owner).await?.ok_or_else(unknown_file)?;
        Ok((media, facts))
    }
}

fn own(principal: Principal) -> MediaOwner {
    match principal {
        Principal::User(id) => MediaOwner::User(id),
        Principal::Device(id) => MediaOwner::Device(id),
    }
}

fn unknown_owner(owner: MediaOwner) -> Refusal {
    Refusal::not_found(match owner {
        MediaOwner::Message(_) => "there is no such message",
        MediaOwner::User(_) => "there is no such user",
        MediaOwner::Device(_) => "there is no such device",
        MediaOwner::Circle(_) => "there is no such circle",
        MediaOwner::Smile(_) => "there is no such smile",
    })
}

/// The owner that a request names, the first of these that it does.
pub fn named_owner(
    circle: Option<CircleId>,
    user: Option<UserId>,
    device: Option<DeviceId>,
) -> Option<MediaOwner> {
    circle.map(MediaOwner::Circle).or(user.map(MediaOwner::User)).or(device.map(MediaOwner::Device))
}
