//! Files by their public names, and the smiles that superusers make of pictures.

use super::naming::{image_type, safe_name};
use super::{Caller, Opened, Services};
use crate::domain::{FileId, Media, MediaOwner, Refusal, RefusalKind, SmileId};
use crate::policy;
use crate::store::{Arrived, Incoming, PricedSmile};

/// A picture on its way in; dropped before the end, it is gone.
#[derive(Debug)]
pub struct Picture {
    incoming: Incoming,
    most: u64,
}

/// Why a picture became no smile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSmile {
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
    /// Its bytes are no picture's.
    #[error("the file is not an image (PNG, JPEG, GIF, WebP, AVIF, BMP or SVG)")]
    NotAnImage,
    /// Something else is in the way.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Picture {
    /// Takes a piece; refuses as soon as there are too many bytes.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        if self.incoming.size() + piece.len() as u64 > self.most {
            let text = format!(
                "a file may have at most {} bytes (members_chat.max_file_bytes)",
                self.most
            );
            return Err(Refusal::new(RefusalKind::TooLarge, text));
        }
        self.incoming.write(piece).await.map_err(|error| super::attachments::unwritable(&error))
    }
}

fn unknown_smile(id: SmileId) -> Refusal {
    Refusal::not_found(format!("There is no smile with id {id}."))
}

impl Services {
    /// The bytes behind a public name. Where a token is asked for, only for those who may
    /// read them; nobody else learns that they are there.
    pub async fn open_stored(
        &self,
        caller: Option<&Caller>,
        file: FileId,
    ) -> Result<Opened, Refusal> {
        let absent = || Refusal::not_found("there is no such file");
        let media = self.store().find_media_by_file(file).await?;
        let media = media.filter(|media| media.uploaded.is_some()).ok_or_else(absent)?;
        if let Some(caller) = caller {
            let facts =
                self.store().shelf(caller.principal, media.owner).await?.ok_or_else(absent)?;
            policy::may_fetch(caller.principal, media.id, &facts).map_err(|_| absent())?;
        }
        self.open_bytes(media).await
    }

    /// A file's bytes; those of a smile lie under the smile's own name.
    pub(super) async fn open_bytes(&self, media: Media) -> Result<Opened, Refusal> {
        let failed = |error: std::io::Error| super::attachments::unwritable(&error);
        let mut opened = self.files().open_file(media.file).await.map_err(failed)?;
        if let (None, MediaOwner::Message(id)) = (&opened, media.owner) {
            let message = self.store().find_message(id).await?;
            if let Some(smile) = message.and_then(|message| message.smile) {
                opened = self.files().open_file(smile.file).await.map_err(failed)?;
            }
        }
        let (file, size) = opened.ok_or_else(|| {
            tracing::error!(media = %media.id, "the bytes of a file are lost");
            Refusal::not_found("the file is lost")
        })?;
        Ok(Opened { media, file, size })
    }

    /// Begins to take in a picture that is to become a smile.
    pub async fn begin_smile(&self, caller: &Caller) -> Result<Picture, Refusal> {
        self.require_administrator(caller).await?;
        let incoming = self.files().receive().await;
        let incoming = incoming.map_err(|error| super::attachments::unwritable(&error))?;
        Ok(Picture { incoming, most: self.chats().max_file_bytes.get() as u64 })
    }

    /// Makes a smile of a picture; without a price it costs what every message costs.
    pub async fn finish_smile(
        &self,
        caller: &Caller,
        picture: Picture,
        name: Option<&str>,
        price: Option<u32>,
    ) -> Result<PricedSmile, NoSmile> {
        let permit = self.require_administrator(caller).await?;
        if picture.incoming.size() == 0 {
            return Err(NoSmile::Empty);
        }
        let mime = image_type(picture.incoming.head()).ok_or(NoSmile::NotAnImage)?;
        let kept = picture.incoming.keep().await;
        let kept = kept.map_err(|error| super::attachments::unwritable(&error))?;
        let (filename, extension) = safe_name(name.unwrap_or("smile"));
        let arrived = Arrived {
            file: kept.id,
            size: kept.size,
            mime: Some(mime.to_owned()),
            filename,
            extension,
        };
        let price = price.unwrap_or(self.chats().default_price);
        let made = self.store_for(caller).add_smile(&permit, arrived, price.into()).await;
        match made.map_err(Refusal::from) {
            Ok(smile) => Ok(smile),
            Err(refusal) => {
                // If they are known to the database after all, they stay.
                if refusal.kind() != RefusalKind::Unknown {
                    self.files().discard(kept.id).await;
                }
                Err(refusal.into())
            }
        }
    }

    /// The smiles that can be sent.
    pub async fn list_smiles(&self) -> Result<Vec<PricedSmile>, Refusal> {
        Ok(self.store().list_smiles().await?)
    }

    /// Gives a smile another price.
    pub async fn price_smile(
        &self,
        caller: &Caller,
        id: SmileId,
        price: u32,
    ) -> Result<PricedSmile, Refusal> {
        let permit = self.require_administrator(caller).await?;
        let priced = self.store_for(caller).price_smile(&permit, id, price.into()).await?;
        priced.ok_or_else(|| unknown_smile(id))
    }

    /// Takes a smile out of what can be sent.
    pub async fn retire_smile(&self, caller: &Caller, id: SmileId) -> Result<(), Refusal> {
        let permit = self.require_administrator(caller).await?;
        let retired = self.store_for(caller).retire_smile(&permit, id).await?;
        super::found(retired, || unknown_smile(id))
    }
}
