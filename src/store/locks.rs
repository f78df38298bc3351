//! Locks of what changes together, and the facts as they are under them.
//!
//! A circle's row comes first, then the heads of conversations in the order of their ids, as the log's batches lock
//! them. Whoever changes a membership, or writes because of one, waits there for whoever else does: what a permit
//! rests on is read again behind the lock, and holds until the commit.

use std::collections::BTreeSet;

use entity::{circles, counters, logins, users};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QuerySelect, Statement,
};

use super::circles::circle_standing;
use super::counters::MESSAGES;
use super::log::lock_heads;
use super::standings::standing;
use super::{Store, StoreError, Tx};
use crate::domain::{CircleId, ConversationId, LoginId, Principal, Refusal, UserId};
use crate::policy::{self, CircleStanding, MayAdminister, MayKeepRooms, Standing};

/// The advisory lock of PostgreSQL that every batch shares; a number that nothing else uses.
pub(super) const BATCHES: i64 = 0x006b_6c61_7473_6368;

/// Nobody else changes the circle or who is in it until the commit.
pub(super) async fn lock_circle(tx: &Tx, id: CircleId) -> Result<(), StoreError> {
    circles::Entity::find_by_id(id.get()).lock_exclusive().one(tx).await?;
    Ok(())
}

/// Nobody else changes these conversations, who is in them or what is said there until the commit.
pub(super) async fn lock_conversations(
    tx: &Tx,
    ids: impl IntoIterator<Item = ConversationId>,
) -> Result<(), StoreError> {
    let ids: BTreeSet<_> = ids.into_iter().map(ConversationId::get).collect();
    if !ids.is_empty() {
        lock_heads(tx, &ids).await?;
    }
    Ok(())
}

/// How a principal stands to a conversation, until the commit.
pub(super) async fn standing_under_lock(
    tx: &Tx,
    principal: Principal,
    id: ConversationId,
) -> Result<Standing, StoreError> {
    lock_conversations(tx, [id]).await?;
    let found = standing(tx, principal, id).await?;
    found.ok_or_else(|| Refusal::not_found("there is no such conversation").into())
}

/// How a principal stands to a circle, until the commit.
pub(super) async fn circle_standing_under_lock(
    tx: &Tx,
    principal: Principal,
    id: CircleId,
) -> Result<CircleStanding, StoreError> {
    lock_circle(tx, id).await?;
    let found = circle_standing(tx, principal, id).await?;
    found.ok_or_else(|| Refusal::not_found("there is no such circle").into())
}

/// Comes last in a transaction that ends logins or takes rights from an account: whatever the log has checked by then
/// is committed before it, and what it checks later sees the end.
pub(super) async fn wait_for_batches(tx: &Tx) -> Result<(), StoreError> {
    match tx.get_database_backend() {
        DbBackend::Postgres => {
            let lock = "SELECT pg_advisory_xact_lock($1)";
            let lock = Statement::from_sql_and_values(DbBackend::Postgres, lock, [BATCHES.into()]);
            tx.execute_raw(lock).await?;
        }
        // Batches hold the counter from before they look until their commit.
        DbBackend::MySql => {
            counters::Entity::find_by_id(MESSAGES).lock_exclusive().one(tx).await?;
        }
        // There one transaction writes at a time.
        _ => {}
    }
    Ok(())
}

/// Refuses whoever does not administer the server any more.
pub(super) async fn require_administrator(
    store: &Store,
    tx: &Tx,
    permit: &MayAdminister,
) -> Result<(), StoreError> {
    require_active_administrator(store, tx, permit.user()).await
}

/// The same, by number.
pub(super) async fn require_active_administrator(
    store: &Store,
    tx: &Tx,
    user: UserId,
) -> Result<(), StoreError> {
    let row = users::Entity::find_by_id(user.get()).lock_shared().one(tx).await?;
    let row = row.filter(|row| row.deleted_at.is_none()).ok_or_else(Refusal::unidentified)?;
    policy::may_administer(&store.user(row))?;
    Ok(())
}

/// Refuses whoever is not staff any more.
pub(super) async fn require_staff(tx: &Tx, permit: &MayKeepRooms) -> Result<(), StoreError> {
    let Some(user) = permit.user() else { return Ok(()) };
    policy::may_keep_rooms(user, is_staff(tx, user).await?)?;
    Ok(())
}

async fn is_staff(tx: &Tx, user: UserId) -> Result<bool, StoreError> {
    let row = users::Entity::find_by_id(user.get()).lock_shared().one(tx).await?;
    Ok(row.is_some_and(|user| user.is_active && (user.is_staff || user.is_superuser)))
}

impl Store {
    /// The same store for what somebody asks: nothing is stored any more once the login has ended.
    #[must_use]
    pub fn acting(&self, principal: Principal, login: LoginId) -> Self {
        Self { acting: Some((principal, login)), ..self.clone() }
    }

    /// Refuses whoever this store acts for, if the login has ended; it does not end before the commit.
    pub(super) async fn require_login(&self, tx: &Tx) -> Result<(), StoreError> {
        let Some((principal, login)) = self.acting else { return Ok(()) };
        let row = logins::Entity::find_by_id(login.get())
            .filter(logins::Column::Principal.eq(principal.to_db()))
            .filter(logins::Column::EndedAt.is_null())
            .lock_shared()
            .one(tx)
            .await?;
        row.map(drop).ok_or_else(|| login_over().into())
    }
}

/// What somebody is told whose login has ended.
pub(super) fn login_over() -> Refusal {
    Refusal::new(crate::domain::RefusalKind::Unidentified, "the login has ended")
}
