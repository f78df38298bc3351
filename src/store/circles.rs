//! Circles, as they are read: who is in them, who is invited, how one stands to them.
//!
//! Removed circles are as if they had never been.

use std::collections::HashMap;

use entity::{circle_invites, circle_members, circles, devices, users};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::conversations::NAMED;
use super::{Store, StoreError};
use crate::domain::{
    Circle, CircleId, CircleLink, CircleLinkId, DeviceId, Invite, InviteId, Principal, Privilege,
    Timestamp, User, UserId,
};
use crate::policy::{CircleSeat, CircleStanding};

/// A row as the circle it stands for.
pub(super) fn circle(row: circles::Model, device: Option<i64>) -> Circle {
    Circle {
        id: CircleId::new(row.id),
        name: row.name,
        created: Timestamp::from_micros(row.created_at),
        updated: Timestamp::from_micros(row.updated_at),
        device: device.map(DeviceId::new),
    }
}

/// A row as the place in a circle it stands for.
pub(super) fn link(row: &circle_members::Model) -> Result<CircleLink, StoreError> {
    let privilege = Privilege::parse(&row.privilege).ok_or_else(|| StoreError::Impossible {
        table: "circle_members",
        what: format!("the privilege {} in row {}", row.privilege, row.id),
    })?;
    Ok(CircleLink {
        id: CircleLinkId::new(row.id),
        user: UserId::new(row.user_id),
        circle: CircleId::new(row.circle_id),
        privilege,
        keeper: row.keeper,
        created: Timestamp::from_micros(row.created_at),
        updated: Timestamp::from_micros(row.updated_at),
    })
}

fn invite(row: &circle_invites::Model) -> Invite {
    Invite {
        id: InviteId::new(row.id),
        user: UserId::new(row.user_id),
        circle: CircleId::new(row.circle_id),
        created: Timestamp::from_micros(row.created_at),
        updated: Timestamp::from_micros(row.updated_at),
    }
}

/// A circle that has not been removed, with its device.
pub(super) async fn find_circle(
    db: &impl ConnectionTrait,
    id: CircleId,
) -> Result<Option<Circle>, StoreError> {
    let row = circles::Entity::find_by_id(id.get())
        .filter(circles::Column::DeletedAt.is_null())
        .one(db)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let device = devices::Entity::find()
        .filter(devices::Column::CircleId.eq(id.get()))
        .filter(devices::Column::Live.eq(1))
        .one(db)
        .await?;
    Ok(Some(circle(row, device.map(|device| device.id))))
}

/// How a principal stands to a circle, if there is such a circle.
pub(super) async fn circle_standing(
    db: &impl ConnectionTrait,
    principal: Principal,
    id: CircleId,
) -> Result<Option<CircleStanding>, StoreError> {
    let Some(circle) = find_circle(db, id).await? else { return Ok(None) };
    let link = match principal {
        Principal::User(user) => find_link(db, id, user).await?,
        Principal::Device(_) => None,
    };
    let seat = link.map(|CircleLink { privilege, keeper, .. }| CircleSeat { privilege, keeper });
    Ok(Some(CircleStanding { principal, circle, seat }))
}

/// A user's place in a circle.
pub(super) async fn find_link(
    db: &impl ConnectionTrait,
    circle: CircleId,
    user: UserId,
) -> Result<Option<CircleLink>, StoreError> {
    let row = circle_members::Entity::find()
        .filter(circle_members::Column::CircleId.eq(circle.get()))
        .filter(circle_members::Column::UserId.eq(user.get()))
        .one(db)
        .await?;
    row.as_ref().map(link).transpose()
}

/// The places in a circle, oldest first.
pub(super) async fn links(
    db: &impl ConnectionTrait,
    circle: CircleId,
) -> Result<Vec<CircleLink>, StoreError> {
    let rows = circle_members::Entity::find()
        .filter(circle_members::Column::CircleId.eq(circle.get()))
        .order_by_asc(circle_members::Column::Id)
        .all(db)
        .await?;
    rows.iter().map(link).collect()
}

/// Whether two accounts belong to one circle.
pub(super) async fn share_circle(
    db: &impl ConnectionTrait,
    one: Principal,
    other: Principal,
) -> Result<bool, StoreError> {
    let ones = circle_ids(db, one).await?;
    if ones.is_empty() {
        return Ok(false);
    }
    let others = circle_ids(db, other).await?;
    Ok(ones.iter().any(|id| others.contains(id)))
}

async fn circle_ids(
    db: &impl ConnectionTrait,
    principal: Principal,
) -> Result<Vec<CircleId>, StoreError> {
    let ids: Vec<_> = match principal {
        Principal::User(user) => circle_members::Entity::find()
            .filter(circle_members::Column::UserId.eq(user.get()))
            .all(db)
            .await?
            .into_iter()
            .map(|row| row.circle_id)
            .collect(),
        Principal::Device(device) => devices::Entity::find_by_id(device.get())
            .filter(devices::Column::Live.eq(1))
            .one(db)
            .await?
            .map(|row| row.circle_id)
            .into_iter()
            .collect(),
    };
    Ok(ids.into_iter().map(CircleId::new).collect())
}

impl Store {
    /// A circle that has not been removed.
    pub async fn find_circle(&self, id: CircleId) -> Result<Option<Circle>, StoreError> {
        find_circle(self.reads(), id).await
    }

    /// How a principal stands to a circle, if there is such a circle.
    pub async fn circle_standing(
        &self,
        principal: Principal,
        id: CircleId,
    ) -> Result<Option<CircleStanding>, StoreError> {
        circle_standing(self.reads(), principal, id).await
    }

    /// A user's place in a circle.
    pub async fn find_circle_link(
        &self,
        circle: CircleId,
        user: UserId,
    ) -> Result<Option<CircleLink>, StoreError> {
        find_link(self.reads(), circle, user).await
    }

    /// The circles a user is in, oldest membership first.
    pub async fn list_circles_of(
        &self,
        user: UserId,
    ) -> Result<Vec<(CircleLink, Circle)>, StoreError> {
        let rows = circle_members::Entity::find()
            .find_also_related(circles::Entity)
            .filter(circle_members::Column::UserId.eq(user.get()))
            .filter(circles::Column::DeletedAt.is_null())
            .order_by_asc(circle_members::Column::Id)
            .all(self.reads())
            .await?;
        let rows: Vec<_> = rows.into_iter().filter_map(|(row, of)| Some((row, of?))).collect();
        let devices = self.devices_of(rows.iter().map(|(_, of)| of.id)).await?;
        let with_device = |of: circles::Model| {
            let device = devices.get(&of.id).copied();
            circle(of, device)
        };
        rows.into_iter().map(|(row, of)| Ok((link(&row)?, with_device(of)))).collect()
    }

    /// Who is in a circle, oldest membership first.
    pub async fn list_circle_members(
        &self,
        circle: CircleId,
    ) -> Result<Vec<(CircleLink, User)>, StoreError> {
        let rows = circle_members::Entity::find()
            .find_also_related(users::Entity)
            .filter(circle_members::Column::CircleId.eq(circle.get()))
            .order_by_asc(circle_members::Column::Id)
            .all(self.reads())
            .await?;
        rows.into_iter()
            .filter_map(|(row, user)| {
                let user = self.user(user?);
                Some(link(&row).map(|link| (link, user)))
            })
            .collect()
    }

    /// An invitation that is pending.
    pub async fn find_invite(&self, id: InviteId) -> Result<Option<Invite>, StoreError> {
        let row = circle_invites::Entity::find_by_id(id.get()).one(self.reads()).await?;
        Ok(row.as_ref().map(invite))
    }

    /// Whether a user is invited into a circle.
    pub async fn is_invited(&self, circle: CircleId, user: UserId) -> Result<bool, StoreError> {
        let row = circle_invites::Entity::find()
            .filter(circle_invites::Column::CircleId.eq(circle.get()))
            .filter(circle_invites::Column::UserId.eq(user.get()));
        Ok(row.one(self.reads()).await?.is_some())
    }

    /// The invitations of a user, oldest first.
    pub async fn list_invites_of(&self, user: UserId) -> Result<Vec<(Invite, Circle)>, StoreError> {
        let rows = circle_invites::Entity::find()
            .find_also_related(circles::Entity)
            .filter(circle_invites::Column::UserId.eq(user.get()))
            .filter(circles::Column::DeletedAt.is_null())
            .order_by_asc(circle_invites::Column::Id)
            .all(self.reads())
            .await?;
        let rows: Vec<_> = rows.into_iter().filter_map(|(row, of)| Some((row, of?))).collect();
        let devices = self.devices_of(rows.iter().map(|(_, of)| of.id)).await?;
        let with_device = |of: circles::Model| {
            let device = devices.get(&of.id).copied();
            circle(of, device)
        };
        Ok(rows.into_iter().map(|(row, of)| (invite(&row), with_device(of))).collect())
    }

    /// Who is invited into a circle, oldest first.
    pub async fn list_invites_into(
        &self,
        circle: CircleId,
    ) -> Result<Vec<(Invite, User)>, StoreError> {
        let rows = circle_invites::Entity::find()
            .find_also_related(users::Entity)
            .filter(circle_invites::Column::CircleId.eq(circle.get()))
            .order_by_asc(circle_invites::Column::Id)
            .all(self.reads())
            .await?;
        Ok(rows
            .into_iter()
            .filter_map(|(row, user)| Some((invite(&row), self.user(user?))))
            .collect())
    }

    /// Whether two accounts belong to one circle.
    pub async fn share_circle(&self, one: Principal, other: Principal) -> Result<bool, StoreError> {
        share_circle(self.reads(), one, other).await
    }

    /// The circles an account belongs to.
    pub async fn circle_ids(&self, principal: Principal) -> Result<Vec<CircleId>, StoreError> {
        circle_ids(self.reads(), principal).await
    }

    /// The devices of circles, by circle.
    async fn devices_of(
        &self,
        circles: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, i64>, StoreError> {
        let (circles, mut found): (Vec<_>, _) = (circles.collect(), HashMap::new());
        for circles in circles.chunks(NAMED) {
            let rows: Vec<(i64, i64)> = devices::Entity::find()
                .select_only()
                .column(devices::Column::CircleId)
                .column(devices::Column::Id)
                .filter(devices::Column::CircleId.is_in(circles.iter().copied()))
                .filter(devices::Column::Live.eq(1))
                .into_tuple()
                .all(self.reads())
                .await?;
            found.extend(rows);
        }
        Ok(found)
    }
}
