//! Rooms that a login's multichat connections have joined, so that they can be taken over
//! after a loss: of a connection, or of the whole server.

use entity::{logins, multichat_parked};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use super::{Store, StoreError};
use crate::domain::{ConversationId, LoginId, Place, Principal, Timestamp};

/// The column `until_at` while the connection lives: if the server ends without a word, the
/// connection was lost with it.
const LIVING: i64 = i64::MAX;

/// A room that a login has joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedPlace {
    /// Which login.
    pub login: LoginId,
    /// Which room.
    pub room: ConversationId,
    /// What surely arrived.
    pub confirmed: Place,
    /// Until when it can be taken over; none while its connection lives.
    pub until: Option<Timestamp>,
}

impl Store {
    /// Writes places down, or what is new about them.
    pub async fn keep_places(&self, places: &[ParkedPlace]) -> Result<(), StoreError> {
        if places.is_empty() {
            return Ok(());
        }
        let rows = places.iter().map(|place| multichat_parked::ActiveModel {
            login_id: Set(place.login.get()),
            conversation_id: Set(place.room.get()),
            confirmed_shown: Set(place.confirmed.get()),
            until_at: Set(place.until.map_or(LIVING, Timestamp::micros)),
        });
        let rows: Vec<_> = rows.collect();
        let known = || {
            OnConflict::columns([
                multichat_parked::Column::LoginId,
                multichat_parked::Column::ConversationId,
            ])
            .update_columns([
                multichat_parked::Column::ConfirmedShown,
                multichat_parked::Column::UntilAt,
            ])
            .to_owned()
        };
        self.write(async |tx| {
            multichat_parked::Entity::insert_many(rows)
                .on_conflict(known())
                .exec_without_returning(tx)
                .await?;
            Ok(())
        })
        .await
    }

    /// Notes what surely arrived, where places are still kept.
    pub async fn confirm_places(&self, places: &[ParkedPlace]) -> Result<(), StoreError> {
        if places.is_empty() {
            return Ok(());
        }
        self.write(async |tx| {
            for place in places {
                multichat_parked::Entity::update_many()
                    .col_expr(
                        multichat_parked::Column::ConfirmedShown,
                        Expr::value(place.confirmed.get()),
                    )
                    .filter(multichat_parked::Column::LoginId.eq(place.login.get()))
                    .filter(multichat_parked::Column::ConversationId.eq(place.room.get()))
                    .exec(tx)
                    .await?;
            }
            Ok(())
        })
        .await
    }

    /// Forgets a place.
    pub async fn forget_place(
        &self,
        login: LoginId,
        room: ConversationId,
    ) -> Result<(), StoreError> {
        self.write(async |tx| {
            multichat_parked::Entity::delete_many()
                .filter(multichat_parked::Column::LoginId.eq(login.get()))
                .filter(multichat_parked::Column::ConversationId.eq(room.get()))
                .exec(tx)
                .await?;
            Ok(())
        })
        .await
    }

    /// The places that an earlier run of the server has left, those of living connections kept
    /// until a moment; whose time is over is forgotten. All are, without a moment.
    pub async fn revive_places(
        &self,
        until: Option<Timestamp>,
    ) -> Result<Vec<(ParkedPlace, Principal)>, StoreError> {
        let now = self.clock().now();
        let least = if until.is_some() { now.micros() } else { LIVING };
        self.write(async |tx| {
            if let Some(until) = until {
                multichat_parked::Entity::update_many()
                    .col_expr(multichat_parked::Column::UntilAt, Expr::value(until.micros()))
                    .filter(multichat_parked::Column::UntilAt.eq(LIVING))
                    .exec(tx)
                    .await?;
            }
            multichat_parked::Entity::delete_many()
                .filter(multichat_parked::Column::UntilAt.lte(least))
                .exec(tx)
                .await?;
            Ok(())
        })
        .await?;
        let rows = multichat_parked::Entity::find()
            .find_also_related(logins::Entity)
            .all(self.reads())
            .await?;
        rows.into_iter()
            .filter_map(|(row, login)| Some((row, login?)))
            .map(|(row, login)| {
                let place = ParkedPlace {
                    login: LoginId::new(row.login_id),
                    room: ConversationId::new(row.conversation_id),
                    confirmed: Place::new(row.confirmed_shown),
                    until: Some(Timestamp::from_micros(row.until_at)),
                };
                Ok((place, Principal::from_db(login.principal, "logins")?))
            })
            .collect()
    }
}
