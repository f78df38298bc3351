//! Who has to do with whom: through a circle, a group or a direct conversation.

use std::collections::BTreeSet;

use entity::{circle_members, conversations, devices, members, messages, users};
use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect};

use super::{Store, StoreError};
use crate::domain::{CircleId, Principal, Timestamp, UserId};

/// `conversations.kind` of a room; rooms bring nobody together.
const ROOM: i16 = 2;
/// `conversations.kind` of a direct conversation.
const DIRECT: i16 = 0;

impl Store {
    /// Whether two accounts share a circle, or a group or direct conversation in which the
    /// other has written (profiles, signals and calls rest on it).
    pub async fn shares(&self, one: Principal, other: Principal) -> Result<bool, StoreError> {
        if one == other {
            return Ok(true);
        }
        if self.share_circle(one, other).await? {
            return Ok(true);
        }
        let Principal::User(user) = one else { return Ok(false) };
        let written = messages::Entity::find()
            .select_only()
            .column(messages::Column::Id)
            .filter(messages::Column::ConversationId.in_subquery(conversations_of(user)))
            .filter(messages::Column::Sender.eq(other.to_db()))
            .limit(1)
            .into_tuple::<i64>()
            .one(self.reads())
            .await?;
        Ok(written.is_some())
    }

    /// Those with whom somebody shares something, as far as their addresses may be shown: all of them, or those among
    /// the ones named.
    pub async fn list_known(
        &self,
        viewer: Principal,
        among: Option<&[UserId]>,
    ) -> Result<BTreeSet<UserId>, StoreError> {
        let named = among.map(|among| among.iter().map(|id| id.get()).collect::<Vec<_>>());
        let circles: Vec<_> =
            self.circle_ids(viewer).await?.into_iter().map(CircleId::get).collect();
        let mut near = circle_members::Entity::find()
            .select_only()
            .column(circle_members::Column::UserId)
            .filter(circle_members::Column::CircleId.is_in(circles));
        if let Some(named) = &named {
            near = near.filter(circle_members::Column::UserId.is_in(named.clone()));
        }
        let near: Vec<i64> = near.into_tuple().all(self.reads()).await?;
        let mut known: BTreeSet<_> = near.into_iter().map(UserId::new).collect();
        let Principal::User(user) = viewer else { return Ok(known) };
        known.insert(user);
        let mut written = messages::Entity::find()
            .select_only()
            .column(messages::Column::Sender)
            .distinct()
            .filter(messages::Column::ConversationId.in_subquery(conversations_of(user)));
        if let Some(named) = named {
            let rest: Vec<_> =
                named.into_iter().filter(|id| !known.contains(&UserId::new(*id))).collect();
            if rest.is_empty() {
                return Ok(known);
            }
            written = written.filter(messages::Column::Sender.is_in(rest));
        }
        let written: Vec<i64> = written.into_tuple().all(self.reads()).await?;
        known.extend(written.into_iter().filter(|id| *id > 0).map(UserId::new));
        Ok(known)
    }

    /// Notes when the last connections of these accounts ended.
    pub async fn set_last_seen(&self, seen: &[(Principal, Timestamp)]) -> Result<(), StoreError> {
        self.write(async |tx| {
            for (principal, time) in seen {
                match principal {
                    Principal::User(id) => {
                        users::Entity::update_many()
                            .col_expr(users::Column::LastSeen, Expr::value(time.micros()))
                            .filter(users::Column::Id.eq(id.get()))
                            .exec(tx)
                            .await?;
                    }
                    Principal::Device(id) => {
                        devices::Entity::update_many()
                            .col_expr(devices::Column::LastSeen, Expr::value(time.micros()))
                            .filter(devices::Column::Id.eq(id.get()))
                            .exec(tx)
                            .await?;
                    }
                }
            }
            Ok(())
        })
        .await
    }
}

/// The groups and direct conversations somebody is a member of now; a direct one counts
/// from its coming into being.
fn conversations_of(user: UserId) -> SelectStatement {
    Query::select()
        .column((conversations::Entity, conversations::Column::Id))
        .from(conversations::Entity)
        .inner_join(
            members::Entity,
            Expr::col((members::Entity, members::Column::ConversationId))
                .equals((conversations::Entity, conversations::Column::Id)),
        )
        .cond_where(
            Condition::all()
                .add(Expr::col((members::Entity, members::Column::UserId)).eq(user.get()))
                .add(Expr::col((members::Entity, members::Column::Live)).is_not_null())
                .add(Expr::col((conversations::Entity, conversations::Column::Kind)).ne(ROOM))
                .add(Expr::col((conversations::Entity, conversations::Column::DeletedAt)).is_null())
                .add(
                    Condition::any()
                        .add(
                            Expr::col((conversations::Entity, conversations::Column::Kind))
                                .ne(DIRECT),
                        )
                        .add(
                            Expr::col((conversations::Entity, conversations::Column::ShownSince))
                                .is_not_null(),
                        ),
                ),
        )
        .to_owned()
}
