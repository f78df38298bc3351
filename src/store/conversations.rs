//! Conversations and memberships, as they are read.
//!
//! Removed conversations are as if they had never been; ended memberships are found only
//! where a message names them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use entity::{conversations, members, users};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::{Store, StoreError};
use crate::domain::{
    Access, CircleId, Conversation, ConversationId, Kind, LinkId, Membership, Place, Principal,
    Role, Seq, Timestamp, User, UserId,
};

/// How many ids one statement may name.
pub(super) const NAMED: usize = 1000;

/// A row as the conversation it stands for.
pub(super) fn conversation(row: conversations::Model) -> Result<Conversation, StoreError> {
    let impossible = |what: &str, value: i16| StoreError::Impossible {
        table: "conversations",
        what: format!("{what} {value} in row {}", row.id),
    };
    let kind = match row.kind {
        0 => Kind::Direct,
        1 => Kind::Group,
        2 => Kind::Room,
        other => return Err(impossible("kind", other)),
    };
    let access = match row.access {
        0 => Access::Members,
        1 => Access::Open,
        2 => Access::Staff,
        other => return Err(impossible("access", other)),
    };
    Ok(Conversation {
        id: ConversationId::new(row.id),
        kind,
        access,
        title: row.title,
        description: row.description,
        circle: row.circle_id.map(CircleId::new),
        device_access: row.device_access,
        pair: row.direct_low.map(UserId::new).zip(row.direct_high.map(UserId::new)),
        shown: kind != Kind::Direct || row.shown_since.is_some(),
        creator: row.creator.map(|raw| Principal::from_db(raw, "conversations")).transpose()?,
        created: Timestamp::from_micros(row.created_at),
        updated: Timestamp::from_micros(row.updated_at),
    })
}

/// A row as the membership it stands for.
pub(super) fn membership(row: &members::Model) -> Result<Membership, StoreError> {
    Ok(Membership {
        link: LinkId::new(row.id),
        conversation: ConversationId::new(row.conversation_id),
        user: UserId::new(row.user_id),
        role: role(row.role)?,
        created: Timestamp::from_micros(row.created_at),
        updated: Timestamp::from_micros(row.updated_at),
        read: Place::new(row.read_shown),
        read_seq: Seq::new(row.read_seq),
        read_at: row.read_at.map(Timestamp::from_micros),
        delivered: Place::new(row.delivered_shown),
    })
}

/// A column as the role it stands for.
pub(super) fn role(raw: i16) -> Result<Role, StoreError> {
    match raw {
        0 => Ok(Role::Standard),
        1 => Ok(Role::Admin),
        other => {
            Err(StoreError::Impossible { table: "members", what: format!("the role {other}") })
        }
    }
}

/// The columns of kinds and accesses.
pub(super) const fn kind_to_db(kind: Kind) -> i16 {
    match kind {
        Kind::Direct => 0,
        Kind::Group => 1,
        Kind::Room => 2,
    }
}

/// See [`kind_to_db`].
pub(super) const fn access_to_db(access: Access) -> i16 {
    match access {
        Access::Members => 0,
        Access::Open => 1,
        Access::Staff => 2,
    }
}

/// A conversation that has not been removed.
pub(super) async fn find_conversation(
    db: &impl ConnectionTrait,
    id: ConversationId,
) -> Result<Option<Conversation>, StoreError> {
    let row = conversations::Entity::find_by_id(id.get())
        .filter(conversations::Column::DeletedAt.is_null())
        .one(db)
        .await?;
    row.map(conversation).transpose()
}

/// The living memberships of a conversation, oldest first.
pub(super) async fn living(
    db: &impl ConnectionTrait,
    conversation: ConversationId,
) -> Result<Vec<members::Model>, StoreError> {
    Ok(members::Entity::find()
        .filter(members::Column::ConversationId.eq(conversation.get()))
        .filter(members::Column::Live.eq(1))
        .order_by_asc(members::Column::Id)
        .all(db)
        .await?)
}

impl Store {
    /// A conversation that has not been removed.
    pub async fn find_conversation(
        &self,
        id: ConversationId,
    ) -> Result<Option<Conversation>, StoreError> {
        find_conversation(self.reads(), id).await
    }

    /// All conversations of a circle, oldest first.
    pub async fn list_conversations_of_circle(
        &self,
        circle: CircleId,
    ) -> Result<Vec<Conversation>, StoreError> {
        let rows = conversations::Entity::find()
            .filter(conversations::Column::CircleId.eq(circle.get()))
            .filter(conversations::Column::DeletedAt.is_null())
            .order_by_asc(conversations::Column::Id)
            .all(self.reads())
            .await?;
        rows.into_iter().map(conversation).collect()
    }

    /// All rooms, oldest first.
    pub async fn list_rooms(&self) -> Result<Vec<Conversation>, StoreError> {
        let rows = conversations::Entity::find()
            .filter(conversations::Column::Kind.eq(kind_to_db(Kind::Room)))
            .filter(conversations::Column::DeletedAt.is_null())
            .order_by_asc(conversations::Column::Id)
            .all(self.reads())
            .await?;
        rows.into_iter().map(conversation).collect()
    }

    /// A user's living memberships, each with its conversation, oldest first.
    pub async fn list_memberships(
        &self,
        user: UserId,
    ) -> Result<Vec<(Membership, Conversation)>, StoreError> {
        let rows = members::Entity::find()
            .filter(members::Column::UserId.eq(user.get()))
            .filter(members::Column::Live.eq(1))
            .order_by_asc(members::Column::Id)
            .all(self.reads())
            .await?;
        let ids: Vec<_> = rows.iter().map(|row| row.conversation_id).collect();
        let mut found = HashMap::new();
        for ids in ids.chunks(NAMED) {
            let rows = conversations::Entity::find()
                .filter(conversations::Column::Id.is_in(ids.iter().copied()))
                .filter(conversations::Column::DeletedAt.is_null())
                .all(self.reads())
                .await?;
            for row in rows {
                found.insert(row.id, conversation(row)?);
            }
        }
        rows.iter()
            .filter_map(|row| {
                let conversation = found.get(&row.conversation_id)?.clone();
                let shown = conversation.shown;
                shown.then(|| membership(row).map(|membership| (membership, conversation)))
            })
            .collect()
    }

    /// The living memberships of a conversation with their users, oldest first.
    pub async fn list_members(
        &self,
        conversation: ConversationId,
    ) -> Result<Vec<(Membership, User)>, StoreError> {
        let rows = members::Entity::find()
            .find_also_related(users::Entity)
            .filter(members::Column::ConversationId.eq(conversation.get()))
            .filter(members::Column::Live.eq(1))
            .order_by_asc(members::Column::Id)
            .all(self.reads())
            .await?;
        rows.into_iter()
            .filter_map(|(row, user)| {
                let user = self.user(user?);
                Some(membership(&row).map(|membership| (membership, user)))
            })
            .collect()
    }

    /// Who belongs to these conversations, each in the order of their memberships, oldest first.
    pub async fn list_members_of(
        &self,
        conversations: &[ConversationId],
    ) -> Result<HashMap<ConversationId, Vec<Arc<User>>>, StoreError> {
        let mut belonging: Vec<(i64, i64)> = Vec::new();
        for some in conversations.chunks(NAMED) {
            let rows: Vec<(i64, i64)> = members::Entity::find()
                .select_only()
                .column(members::Column::ConversationId)
                .column(members::Column::UserId)
                .filter(members::Column::ConversationId.is_in(some.iter().map(|id| id.get())))
                .filter(members::Column::Live.eq(1))
                .order_by_asc(members::Column::Id)
                .into_tuple()
                .all(self.reads())
                .await?;
            belonging.extend(rows);
        }
        // Many share the same people: each is read once.
        let named: BTreeSet<_> = belonging.iter().map(|(_, user)| *user).collect();
        let named: Vec<_> = named.into_iter().collect();
        let mut faces = HashMap::new();
        for ids in named.chunks(NAMED) {
            let rows = users::Entity::find()
                .filter(users::Column::Id.is_in(ids.iter().copied()))
                .all(self.reads())
                .await?;
            faces.extend(rows.into_iter().map(|row| (row.id, Arc::new(self.user(row)))));
        }
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for (conversation, user) in belonging {
            if let Some(face) = faces.get(&user) {
                let members = found.entry(ConversationId::new(conversation)).or_default();
                members.push(Arc::clone(face));
            }
        }
        Ok(found)
    }

    /// A user's living membership of a conversation.
    pub async fn find_member(
        &self,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<(Membership, User)>, StoreError> {
        let row = members::Entity::find()
            .find_also_related(users::Entity)
            .filter(members::Column::UserId.eq(user.get()))
            .filter(members::Column::ConversationId.eq(conversation.get()))
            .filter(members::Column::Live.eq(1))
            .one(self.reads())
            .await?;
        let found = row.and_then(|(row, user)| Some((row, self.user(user?))));
        found.map(|(row, user)| Ok((membership(&row)?, user))).transpose()
    }

    /// The direct conversation of two users, if there is one.
    pub async fn find_direct(
        &self,
        one: UserId,
        other: UserId,
    ) -> Result<Option<Conversation>, StoreError> {
        let row = conversations::Entity::find()
            .filter(
                Condition::all()
                    .add(conversations::Column::DirectLow.eq(one.min(other).get()))
                    .add(conversations::Column::DirectHigh.eq(one.max(other).get())),
            )
            .one(self.reads())
            .await?;
        row.map(conversation).transpose()
    }
}
