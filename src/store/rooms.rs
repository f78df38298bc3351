//! Rooms: how staff changes them, and who is told that a list of conversations is another now.
//!
//! Open and staff rooms are listed for everybody, members' groups for their members.

use std::collections::BTreeSet;

use entity::{conversations, members};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use super::conversations::{access_to_db, conversation, find_conversation, living};
use super::locks::{lock_conversations, require_staff};
use super::memberships::changed;
use super::{Changed, Store, StoreError, Tx};
use crate::domain::{
    Access, Conversation, ConversationChange, ConversationId, Event, Kind, Listing, Principal,
    Topic, UserId,
};
use crate::hub::{News, Notice};
use crate::policy::MayKeepRooms;

/// The notice by which processes tell each other that a room is another now.
pub const ROOM_CHANGED: &str = "room_changed";

/// A conversation appears, changes or vanishes in lists: in everybody's, or in those of these
/// users if it is a members' group.
pub(super) fn listed(
    room: &Conversation,
    change: Listing,
    users: impl IntoIterator<Item = UserId>,
) -> News {
    let topics: Vec<_> = match room.kind {
        Kind::Direct => return News::none(),
        Kind::Room => vec![Topic::Rooms],
        Kind::Group => users.into_iter().map(|user| Topic::Inbox(Principal::User(user))).collect(),
    };
    let event = Event::RoomListed { room: room.clone().into(), change };
    News::none().conversation(room.id, Notice::new(topics, event))
}

/// The same, in the lists of all its members.
pub(super) async fn listed_for_all(
    tx: &Tx,
    room: &Conversation,
    change: Listing,
) -> Result<News, StoreError> {
    let users: Vec<_> = match room.kind {
        Kind::Direct | Kind::Room => Vec::new(),
        Kind::Group => {
            living(tx, room.id).await?.iter().map(|row| UserId::new(row.user_id)).collect()
        }
    };
    Ok(listed(room, change, users))
}

impl Store {
    /// Changes a room; none if there is none. Says whether anything is different now. Who loses
    /// access is put out.
    pub async fn update_room(
        &self,
        permit: &MayKeepRooms,
        id: ConversationId,
        title: Option<String>,
        access: Option<Access>,
    ) -> Result<Option<(Conversation, bool)>, StoreError> {
        let now = self.clock().now().micros();
        let updated = self
            .change_members(id, async |tx| {
                require_staff(tx, permit).await?;
                lock_conversations(tx, [id]).await?;
                let found = find_conversation(tx, id).await?;
                let Some(before) = found.filter(|found| found.kind == Kind::Room) else {
                    return Ok(Changed::quietly(None));
                };
                let title = title.filter(|title| *title != before.title);
                let access = access.filter(|access| *access != before.access);
                if title.is_none() && access.is_none() {
                    return Ok(Changed::quietly(Some((before, false))));
                }
                let renamed = title.is_some();
                let row = conversations::ActiveModel {
                    title: title.map_or_else(Default::default, Set),
                    access: access.map_or_else(Default::default, |to| Set(access_to_db(to))),
                    updated_at: Set(now),
                    ..Default::default()
                };
                conversations::Entity::update_many()
                    .set(row)
                    .filter(conversations::Column::Id.eq(id.get()))
                    .exec(tx)
                    .await?;
                self.notify(tx, ROOM_CHANGED, id.get(), None).await?;
                let after = find_conversation(tx, id).await?;
                let news = if renamed {
                    let notice = changed(id, ConversationChange::Updated);
                    News::none().conversation(id, notice)
                } else {
                    News::none()
                };
                Ok(Changed { value: after.map(|after| (after, true)), news })
            })
            .await?;
        if let Some((room, true)) = &updated {
            self.tell_room_changed(room).await?;
        }
        Ok(updated)
    }

    /// Who may not be in a room any more is put out; then everybody is told of its change.
    ///
    /// Runs behind the commit: whoever enters meanwhile is either seen here or sees the change.
    pub(super) async fn tell_room_changed(&self, room: &Conversation) -> Result<(), StoreError> {
        let mut news = self.put_out_strangers(room).await?;
        news.append(listed(room, Listing::Changed, []));
        self.tell(news).await;
        Ok(())
    }

    async fn put_out_strangers(&self, room: &Conversation) -> Result<News, StoreError> {
        if room.access != Access::Staff {
            return Ok(News::none());
        }
        let present = self.hub().attendance().present(room.id);
        let present: BTreeSet<_> = present.iter().map(crate::domain::Party::principal).collect();
        let mut strangers = Vec::new();
        for principal in present {
            let standing = self.standing_now(principal, room.id).await?;
            if !standing.is_some_and(|standing| standing.takes_part()) {
                strangers.push(principal);
            }
        }
        let notice = Notice::putting_out(strangers, room.id);
        Ok(News::none().conversation(room.id, notice))
    }

    /// Rooms that a user may know of, by title: all open and staff rooms, and the user's groups
    /// if they count as rooms.
    pub async fn list_rooms_of(
        &self,
        user: UserId,
        groups: bool,
    ) -> Result<Vec<Conversation>, StoreError> {
        let mut rooms = self.list_rooms().await?;
        if groups {
            let all = self.list_memberships(user).await?;
            let all = all.into_iter().map(|(_, conversation)| conversation);
            rooms.extend(all.filter(|found| found.kind == Kind::Group));
        }
        rooms.sort_by(|a, b| a.title.cmp(&b.title).then(a.id.cmp(&b.id)));
        Ok(rooms)
    }

    /// A conversation that may have been removed, and who belonged to it until then.
    pub(super) async fn find_removed(
        &self,
        id: ConversationId,
    ) -> Result<Option<(Conversation, Vec<UserId>)>, StoreError> {
        let db = self.reads();
        let Some(row) = conversations::Entity::find_by_id(id.get()).one(db).await? else {
            return Ok(None);
        };
        let until = row.deleted_at;
        let room = conversation(row)?;
        let users = match (room.kind, until) {
            (Kind::Group, Some(until)) => members::Entity::find()
                .filter(members::Column::ConversationId.eq(id.get()))
                .filter(members::Column::EndedAt.eq(until))
                .all(db)
                .await?
                .iter()
                .map(|row| UserId::new(row.user_id))
                .collect(),
            _ => Vec::new(),
        };
        Ok(Some((room, users)))
    }
}
