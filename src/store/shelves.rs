//! What a file belongs to, and how somebody stands to that.

use entity::messages;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use super::circles::{circle_standing, share_circle};
use super::locks::{lock_circle, lock_conversations};
use super::messages::find_message;
use super::standings::standing;
use super::{Store, StoreError, Tx};
use crate::domain::{ConversationId, MediaOwner, Principal, Refusal};
use crate::policy::Shelf;

impl Store {
    /// What a file belongs to, and how a principal stands to it right now; none if it is gone.
    pub async fn shelf(
        &self,
        who: Principal,
        owner: MediaOwner,
    ) -> Result<Option<Shelf>, StoreError> {
        shelf(self.reads(), who, owner).await
    }
}

/// The same until the commit: nobody is put out of the conversation or the circle before it.
pub(super) async fn shelf_under_lock(
    tx: &Tx,
    who: Principal,
    owner: MediaOwner,
) -> Result<Shelf, StoreError> {
    match owner {
        MediaOwner::Message(id) => {
            let row = messages::Entity::find_by_id(id.get()).one(tx).await?;
            let conversation = row.map(|row| ConversationId::new(row.conversation_id));
            lock_conversations(tx, conversation).await?;
        }
        MediaOwner::Circle(id) => lock_circle(tx, id).await?,
        MediaOwner::User(_) | MediaOwner::Device(_) | MediaOwner::Smile(_) => {}
    }
    let found = shelf(tx, who, owner).await?;
    found.ok_or_else(|| Refusal::not_found("there is no such file").into())
}

async fn shelf(
    db: &impl ConnectionTrait,
    who: Principal,
    owner: MediaOwner,
) -> Result<Option<Shelf>, StoreError> {
    Ok(match owner {
        MediaOwner::Message(id) => {
            let message = find_message(db, id).await?;
            let Some(message) = message.filter(|message| message.deleted.is_none()) else {
                return Ok(None);
            };
            standing(db, who, message.conversation).await?.map(|standing| Shelf::Message {
                standing,
                author: message.author,
                kind: message.kind,
            })
        }
        MediaOwner::User(owner) => {
            let there = entity::users::Entity::find_by_id(owner.get())
                .filter(entity::users::Column::DeletedAt.is_null())
                .one(db)
                .await?;
            let Some(_) = there else { return Ok(None) };
            let shares_circle = share_circle(db, who, Principal::User(owner)).await?;
            Some(Shelf::User { owner, shares_circle })
        }
        MediaOwner::Device(owner) => {
            let there = entity::devices::Entity::find_by_id(owner.get())
                .filter(entity::devices::Column::Live.eq(1))
                .one(db)
                .await?;
            let Some(_) = there else { return Ok(None) };
            let in_circle = share_circle(db, who, Principal::Device(owner)).await?;
            Some(Shelf::Device { owner, in_circle })
        }
        MediaOwner::Circle(owner) => {
            circle_standing(db, who, owner).await?.map(|standing| Shelf::Circle {
                owner,
                seat: standing.seat,
                own_device: who.device().is_some() && standing.belongs(),
            })
        }
        MediaOwner::Smile(id) => Some(Shelf::Smile(id)),
    })
}
