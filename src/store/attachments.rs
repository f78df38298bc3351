//! Files as rows: announced, arrived, replaced, taken away.
//!
//! The bytes lie elsewhere, see `files`; a row that changes its bytes gets another public
//! name, and whoever calls removes what the old one stood for.

use entity::{medias, messages};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
};
use uuid::Uuid;

use super::changes::{Change, changeable, note, told};
use super::locks::require_administrator;
use super::shelves::shelf_under_lock;
use super::{Changed, Store, StoreError, Tx, counters};
use crate::domain::{
    CircleId, DeviceId, Event, FileId, Media, MediaId, MediaOwner, MessageId, Principal, SmileId,
    Timestamp, UserId,
};
use crate::hub::News;
use crate::policy::{self, MayAdminister, MayDiscard, MayFill, MayShelve, Shelf};

/// Bytes that have arrived and lie under a public name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Their public name.
    pub file: FileId,
    /// How many there are.
    pub size: u64,
    /// Their type, as far as it is known.
    pub mime: Option<String>,
    /// The name they came with, made safe.
    pub filename: String,
    /// With its dot; perhaps empty.
    pub extension: String,
}

/// What an administrator may rewrite of a file's description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The name without extension.
    pub filename: Option<String>,
    /// The extension with its dot.
    pub extension: Option<String>,
    /// A note, shown and never used.
    pub directory: Option<String>,
    /// The announced name.
    pub identifier: Option<String>,
}

/// A row as the file it stands for.
pub(super) fn media(row: medias::Model) -> Result<Media, StoreError> {
    let owner = match (row.link_kind, row.message_id, row.user_id, row.device_id, row.circle_id) {
        (0, Some(id), ..) => MediaOwner::Message(MessageId::new(id)),
        (1, _, Some(id), ..) => MediaOwner::User(UserId::new(id)),
        (2, _, _, Some(id), _) => MediaOwner::Device(DeviceId::new(id)),
        (3, _, _, _, Some(id)) => MediaOwner::Circle(CircleId::new(id)),
        (4, ..) => MediaOwner::Smile(SmileId::new(row.id)),
        (kind, ..) => {
            return Err(StoreError::Impossible {
                table: "medias",
                what: format!("link {kind} without its owner in row {}", row.id),
            });
        }
    };
    Ok(Media {
        id: MediaId::new(row.id),
        file: file_id(&row.uuid)?,
        owner,
        purpose: row.purpose,
        identifier: row.identifier,
        filename: row.filename,
        extension: row.extension,
        directory: row.directory,
        mime: row.mime,
        size: row.size.and_then(|size| u64::try_from(size).ok()),
        uploaded: row.uploaded_at.map(Timestamp::from_micros),
        created: Timestamp::from_micros(row.created_at),
    })
}

/// A column as the public name it stands for.
pub(super) fn file_id(raw: &[u8]) -> Result<FileId, StoreError> {
    super::rows::bytes::<16>(raw, "medias").map(|bytes| FileId::new(Uuid::from_bytes(bytes)))
}

/// A row for a file whose bytes will follow.
fn awaited(
    owner: MediaOwner,
    position: usize,
    purpose: &str,
    identifier: &str,
    now: Timestamp,
) -> medias::ActiveModel {
    let mut row = medias::ActiveModel {
        uuid: Set(FileId::random().get().as_bytes().to_vec()),
        position: Set(i16::try_from(position).unwrap_or(i16::MAX)),
        purpose: Set(purpose.to_owned()),
        identifier: Set(identifier.chars().take(1024).collect()),
        directory: Set(String::new()),
        created_at: Set(now.micros()),
        ..Default::default()
    };
    row.link_kind = Set(match owner {
        MediaOwner::Message(id) => {
            row.message_id = Set(Some(id.get()));
            0
        }
        MediaOwner::User(id) => {
            row.user_id = Set(Some(id.get()));
            1
        }
        MediaOwner::Device(id) => {
            row.device_id = Set(Some(id.get()));
            2
        }
        MediaOwner::Circle(id) => {
            row.circle_id = Set(Some(id.get()));
            3
        }
        MediaOwner::Smile(_) => 4,
    });
    row
}

/// Announces the files of a message that is being posted, in their order.
pub(super) async fn announce(
    tx: &Tx,
    message: MessageId,
    names: &[String],
    now: Timestamp,
) -> Result<Vec<Media>, StoreError> {
    let mut list = Vec::with_capacity(names.len());
    for (position, name) in names.iter().enumerate() {
        let row = awaited(MediaOwner::Message(message), position, "default", name, now);
        list.push(insert(tx, row).await?);
    }
    Ok(list)
}

async fn insert(tx: &Tx, row: medias::ActiveModel) -> Result<Media, StoreError> {
    let id = medias::Entity::insert(row).exec(tx).await?.last_insert_id;
    find(tx, MediaId::new(id)).await?.ok_or_else(|| StoreError::Impossible {
        table: "medias",
        what: format!("file {id} vanished"),
    })
}

async fn find(db: &impl ConnectionTrait, id: MediaId) -> Result<Option<Media>, StoreError> {
    let row = medias::Entity::find_by_id(id.get())
        .filter(medias::Column::DeletedAt.is_null())
        .one(db)
        .await?;
    row.map(media).transpose()
}

/// A file with what it belongs to and how somebody stands to that, until the commit.
async fn find_under_lock(
    tx: &Tx,
    who: Principal,
    id: MediaId,
) -> Result<Option<(Media, Shelf)>, StoreError> {
    let Some(named) = find(tx, id).await? else { return Ok(None) };
    let shelf = shelf_under_lock(tx, who, named.owner).await?;
    // Once more: it may have been replaced while the lock was waited for.
    Ok(find(tx, id).await?.map(|media| (media, shelf)))
}

async fn rewrite(tx: &Tx, id: MediaId, row: medias::ActiveModel) -> Result<(), StoreError> {
    medias::Entity::update_many().set(row).filter(medias::Column::Id.eq(id.get())).exec(tx).await?;
    Ok(())
}

impl Store {
    /// A file that was not deleted.
    pub async fn find_media(&self, id: MediaId) -> Result<Option<Media>, StoreError> {
        find(self.reads(), id).await
    }

    /// The files of an account or circle, oldest first, perhaps of one purpose only.
    pub async fn list_medias(
        &self,
        owner: MediaOwner,
        purpose: Option<&str>,
    ) -> Result<Vec<Media>, StoreError> {
        let (column, id) = match owner {
            MediaOwner::Message(id) => (medias::Column::MessageId, id.get()),
            MediaOwner::User(id) => (medias::Column::UserId, id.get()),
            MediaOwner::Device(id) => (medias::Column::DeviceId, id.get()),
            MediaOwner::Circle(id) => (medias::Column::CircleId, id.get()),
            MediaOwner::Smile(id) => (medias::Column::Id, id.get()),
        };
        let mut rows = medias::Entity::find()
            .filter(column.eq(id))
            .filter(medias::Column::DeletedAt.is_null());
        if let Some(purpose) = purpose {
            rows = rows.filter(medias::Column::Purpose.eq(purpose));
        }
        let rows = rows
            .order_by_asc(medias::Column::Position)
            .order_by_asc(medias::Column::Id)
            .all(self.reads())
            .await?;
        rows.into_iter().map(media).collect()
    }

    /// Announces files that belong to no message: each with the permit for its owner, its
    /// purpose and its name.
    pub async fn shelve(
        &self,
        wanted: Vec<(MayShelve, String, String)>,
    ) -> Result<Vec<Media>, StoreError> {
        let now = self.clock().now();
        self.write(async |tx| {
            let mut list = Vec::with_capacity(wanted.len());
            for (permit, purpose, name) in &wanted {
                let place = shelf_under_lock(tx, permit.by(), permit.owner()).await?;
                policy::may_shelve(permit.by(), &place)?;
                let mut row = awaited(permit.owner(), 0, purpose, name, now);
                // `/media/create` names the file at once, `/media/upload` anew.
                row.filename = Set(Some(name.chars().take(255).collect()));
                list.push(insert(tx, row).await?);
            }
            Ok(list)
        })
        .await
    }

    /// Writes down that the bytes of a file have arrived. Gives the public name of the bytes
    /// they replace, if they do; none at all if the file is no longer wanted.
    pub async fn fill(
        &self,
        permit: MayFill,
        arrived: Arrived,
    ) -> Result<Option<Option<FileId>>, StoreError> {
        let now = self.clock().now();
        self.change(async |tx| {
            let found = find_under_lock(tx, permit.by(), permit.media()).await?;
            let Some((before, place)) = found else {
                return Ok(Changed::quietly(None));
            };
            policy::may_fill(permit.by(), before.id, &place)?;
            let replaced = before.uploaded.is_some();
            let row = medias::ActiveModel {
                uuid: Set(arrived.file.get().as_bytes().to_vec()),
                filename: Set(Some(arrived.filename)),
                extension: Set(Some(arrived.extension)),
                mime: Set(arrived.mime),
                size: Set(i64::try_from(arrived.size).ok()),
                uploaded_at: Set(Some(now.micros())),
                ..Default::default()
            };
            rewrite(tx, before.id, row).await?;
            let news = match before.owner {
                MediaOwner::Message(id) => {
                    let Some(found) = changeable(tx, id).await? else {
                        return Ok(Changed::quietly(None));
                    };
                    let step = if replaced { Step::Replaced } else { Step::Arrived(permit.by()) };
                    self.step(tx, &found, before.id, step).await?
                }
                MediaOwner::User(_)
                | MediaOwner::Device(_)
                | MediaOwner::Circle(_)
                | MediaOwner::Smile(_) => News::none(),
            };
            Ok(Changed { value: Some(replaced.then_some(before.file)), news })
        })
        .await
    }

    /// Takes a file away. Gives the public name of its bytes, if they had arrived; none at
    /// all if it was gone already.
    pub async fn discard(&self, permit: MayDiscard) -> Result<Option<Option<FileId>>, StoreError> {
        let (id, by) = (permit.media(), permit.by());
        let still = async |tx: &Tx| {
            if let Some((_, shelf)) = find_under_lock(tx, by, id).await? {
                policy::may_discard(by, id, &shelf)?;
            }
            Ok(())
        };
        self.discard_media(id, still).await
    }

    /// The same, for administrators and any file.
    pub async fn remove_media(
        &self,
        permit: &MayAdminister,
        id: MediaId,
    ) -> Result<Option<Option<FileId>>, StoreError> {
        let still = async |tx: &Tx| require_administrator(self, tx, permit).await;
        self.discard_media(id, still).await
    }

    async fn discard_media(
        &self,
        id: MediaId,
        still: impl AsyncFnOnce(&Tx) -> Result<(), StoreError>,
    ) -> Result<Option<Option<FileId>>, StoreError> {
        let now = self.clock().now();
        self.change(async |tx| {
            still(tx).await?;
            let Some(before) = find(tx, id).await? else {
                return Ok(Changed::quietly(None));
            };
            let row =
                medias::ActiveModel { deleted_at: Set(Some(now.micros())), ..Default::default() };
            rewrite(tx, id, row).await?;
            let arrived = before.uploaded.is_some();
            let found = match before.owner {
                MediaOwner::Message(id) => changeable(tx, id).await?,
                MediaOwner::User(_)
                | MediaOwner::Device(_)
                | MediaOwner::Circle(_)
                | MediaOwner::Smile(_) => None,
            };
            let news = match found {
                Some(found) => self.step(tx, &found, id, Step::Gone { arrived }).await?,
                None => News::none(),
            };
            // A smile's bytes serve every message that shows it.
            let own = !matches!(before.owner, MediaOwner::Smile(_));
            Ok(Changed { value: Some((arrived && own).then_some(before.file)), news })
        })
        .await
    }

    /// Rewrites a file's description; says whether there is such a file.
    pub async fn describe(
        &self,
        permit: &MayAdminister,
        id: MediaId,
        new: Description,
    ) -> Result<bool, StoreError> {
        let cut = |text: String, most: usize| text.chars().take(most).collect::<String>();
        let mut row = medias::ActiveModel::default();
        if let Some(filename) = new.filename {
            row.filename = Set(Some(cut(filename, 255)));
        }
        if let Some(extension) = new.extension {
            row.extension = Set(Some(cut(extension, 32)));
        }
        if let Some(directory) = new.directory {
            row.directory = Set(cut(directory, 1024));
        }
        if let Some(identifier) = new.identifier {
            row.identifier = Set(cut(identifier, 1024));
        }
        self.write(async |tx| {
            require_administrator(self, tx, permit).await?;
            let found = find(tx, id).await?.is_some();
            if found && row != medias::ActiveModel::default() {
                rewrite(tx, id, row).await?;
            }
            Ok(found)
        })
        .await
    }

    /// What a step of one of its files does to a message, and who hears of it.
    async fn step(
        &self,
        tx: &Tx,
        found: &messages::Model,
        media: MediaId,
        step: Step,
    ) -> Result<News, StoreError> {
        let ends_waiting = matches!(step, Step::Arrived(_) | Step::Gone { arrived: false });
        let awaited = found.awaited - i16::from(ends_waiting);
        let completed = ends_waiting && awaited == 0;
        let mut row = messages::ActiveModel { awaited: Set(awaited), ..Default::default() };
        if matches!(step, Step::Gone { .. }) {
            row.media_count = Set(found.media_count - 1);
        }
        let change = match step {
            _ if completed => {
                let place = counters::draw(tx, 1).await?;
                row.shown = Set(place.first().copied());
                Change::Completed
            }
            Step::Arrived(_) => Change::FileArrived,
            Step::Replaced | Step::Gone { .. } => Change::FileChanged,
        };
        note(tx, found, change, row).await?;
        let (message, sender) = self.as_changed(tx, MessageId::new(found.id)).await?;
        let message = std::sync::Arc::new(message);
        let mut news = News::none();
        if let Step::Arrived(by) = step {
            let by = self.face(tx, by).await?;
            let arrived = message.medias.iter().find(|one| one.id == media).cloned();
            if let Some(media) = arrived {
                let event = Event::FileArrived { message: message.clone(), media, by };
                news.append(told(&message, event));
            }
        } else {
            let event = Event::MessageEdited { message: message.clone(), sender: sender.clone() };
            news.append(told(&message, event));
        }
        if completed {
            let event = Event::MessageCompleted { message: message.clone(), sender };
            news.append(told(&message, event));
        }
        Ok(news)
    }

    /// Which of these public names stand for bytes that are still wanted.
    pub async fn filter_wanted(&self, files: &[FileId]) -> Result<Vec<FileId>, StoreError> {
        let names = files.iter().map(|file| file.get().as_bytes().to_vec());
        let rows = medias::Entity::find()
            .filter(medias::Column::Uuid.is_in(names))
            .filter(Expr::col(medias::Column::DeletedAt).is_null())
            .all(self.reads())
            .await?;
        rows.iter().map(|row| file_id(&row.uuid)).collect()
    }
}

/// What happens to one file of a message.
#[derive(Clone, Copy)]
enum Step {
    /// Its bytes came.
    Arrived(Principal),
    /// Other bytes came.
    Replaced,
    /// It was taken away.
    Gone {
        /// Whether its bytes had come.
        arrived: bool,
    },
}
