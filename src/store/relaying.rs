//! What the relay asks about accounts.

use std::collections::{HashMap, HashSet};

use entity::{devices, logins, users};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use super::{Store, StoreError};
use crate::domain::{DeviceId, Principal, Timestamp, UserId};

/// Accounts that are named in one statement.
const NAMED: usize = 500;

impl Store {
    /// Since when relay credentials count, of those among these accounts that are active and
    /// have a login that lives (RULINGS 65).
    pub async fn relayed_since(
        &self,
        principals: &[Principal],
    ) -> Result<HashMap<Principal, Timestamp>, StoreError> {
        let mut since = HashMap::new();
        for some in principals.chunks(NAMED) {
            let alive = self.with_living_logins(some).await?;
            let mut note = |principal: Principal, after: Option<i64>| {
                if alive.contains(&principal.to_db()) {
                    // Credentials tell whole seconds.
                    let after = Timestamp::from_micros(after.unwrap_or_default());
                    since.insert(principal, Timestamp::from_secs(after.secs()));
                }
            };
            let ids = some.iter().copied().filter_map(Principal::user).map(UserId::get);
            let rows = users::Entity::find()
                .filter(users::Column::Id.is_in(ids))
                .filter(users::Column::DeletedAt.is_null())
                .filter(users::Column::IsActive.eq(true))
                .all(self.reads())
                .await?;
            for row in rows {
                note(Principal::User(UserId::new(row.id)), row.turn_after);
            }
            let ids = some.iter().copied().filter_map(Principal::device).map(DeviceId::get);
            let rows = devices::Entity::find()
                .filter(devices::Column::Id.is_in(ids))
                .filter(devices::Column::Live.eq(1))
                .filter(devices::Column::Activated.eq(true))
                .all(self.reads())
                .await?;
            for row in rows {
                note(Principal::Device(DeviceId::new(row.id)), row.turn_after);
            }
        }
        Ok(since)
    }

    async fn with_living_logins(
        &self,
        principals: &[Principal],
    ) -> Result<HashSet<i64>, StoreError> {
        let named = principals.iter().map(|principal| principal.to_db());
        let found: Vec<i64> = logins::Entity::find()
            .select_only()
            .column(logins::Column::Principal)
            .filter(logins::Column::Principal.is_in(named))
            .filter(logins::Column::EndedAt.is_null())
            .filter(logins::Column::ExpiresAt.gt(self.clock().now().micros()))
            .into_tuple()
            .all(self.reads())
            .await?;
        Ok(found.into_iter().collect())
    }
}
