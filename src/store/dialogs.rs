//! Dialogs: the direct conversations that have come into being, as their two ends see them.

use std::collections::BTreeMap;

use entity::{conversations, members, users};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, RelationTrait};

use super::conversations::{NAMED, kind_to_db};
use super::{Store, StoreError};
use crate::domain::{ConversationId, Kind, User, UserId, Username};

impl Store {
    /// A user by handle, in the same case.
    pub async fn find_user_by_username(&self, name: &str) -> Result<Option<User>, StoreError> {
        let Some(name) = Username::new(name) else { return Ok(None) };
        let row = users::Entity::find()
            .filter(users::Column::DeletedAt.is_null())
            .filter(users::Column::Username.eq(name.as_str()))
            .one(self.reads())
            .await?;
        Ok(row.map(|row| self.user(row)))
    }

    /// With whom a user has a dialog, and which it is.
    pub async fn list_dialog_partners(
        &self,
        user: UserId,
    ) -> Result<BTreeMap<UserId, ConversationId>, StoreError> {
        let rows: Vec<(i64, Option<i64>, Option<i64>)> = conversations::Entity::find()
            .join_rev(sea_orm::JoinType::InnerJoin, members::Relation::Conversation.def())
            .select_only()
            .column(conversations::Column::Id)
            .column(conversations::Column::DirectLow)
            .column(conversations::Column::DirectHigh)
            .filter(members::Column::UserId.eq(user.get()))
            .filter(members::Column::Live.eq(1))
            .filter(conversations::Column::Kind.eq(kind_to_db(Kind::Direct)))
            .filter(conversations::Column::ShownSince.is_not_null())
            .filter(conversations::Column::DeletedAt.is_null())
            .into_tuple()
            .all(self.reads())
            .await?;
        let other = |low: i64, high: i64| if low == user.get() { high } else { low };
        Ok(rows
            .into_iter()
            .filter_map(|(id, low, high)| {
                Some((UserId::new(other(low?, high?)), ConversationId::new(id)))
            })
            .collect())
    }

    /// These users, in no order; those who are not there are left out.
    pub async fn list_users_named(
        &self,
        ids: impl IntoIterator<Item = UserId>,
    ) -> Result<Vec<User>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(UserId::get).collect();
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(NAMED) {
            let rows = users::Entity::find()
                .filter(users::Column::Id.is_in(ids.iter().copied()))
                .filter(users::Column::DeletedAt.is_null())
                .all(self.reads())
                .await?;
            found.extend(rows.into_iter().map(|row| self.user(row)));
        }
        Ok(found)
    }
}
