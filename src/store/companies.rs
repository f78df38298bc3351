//! Circles, as they change: made, renamed, joined, left, removed.
//!
//! Who leaves a circle leaves its conversations in the same transaction. As long as somebody
//! is in a circle, somebody keeps it.

use entity::{circle_invites, circle_members, circles, conversations};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use super::circles::{circle, find_circle, find_link, links};
use super::locks::{
    circle_standing_under_lock, lock_circle, lock_conversations, require_administrator,
};
use super::{Changed, Store, StoreError, Tx};
use crate::domain::{
    Circle, CircleChange, CircleId, CircleLink, ConversationId, Event, InviteId, Principal,
    Privilege, Topic, UserId,
};
use crate::hub::{News, Notice};
use crate::policy::{
    self, MayAdminister, MayAnswerInvite, MayInviteToCircle, MayKickFromCircle, MayQuitCircle,
    MayRenameCircle,
};

/// Something about a circle, for those who listen to it.
pub(super) fn changed(circle: CircleId, change: CircleChange) -> Notice {
    Notice::new([Topic::Circle(circle)], Event::CircleChanged { circle, change })
}

impl Store {
    /// Makes a circle with its first member.
    pub async fn start_circle(&self, user: UserId, name: &str) -> Result<Circle, StoreError> {
        let now = self.clock().now().micros();
        self.change(async |tx| {
            let row = circles::ActiveModel {
                name: Set(name.to_owned()),
                created_at: Set(now),
                updated_at: Set(now),
                ..Default::default()
            };
            let row = row.insert(tx).await?;
            let made = CircleId::new(row.id);
            self.insert_link(tx, made, user, Privilege::Regular).await?;
            let news = News::none().bringing([Principal::User(user)]);
            Ok(Changed { value: circle(row, None), news })
        })
        .await
    }

    async fn insert_link(
        &self,
        tx: &Tx,
        circle: CircleId,
        user: UserId,
        privilege: Privilege,
    ) -> Result<(), StoreError> {
        let now = self.clock().now().micros();
        let row = circle_members::ActiveModel {
            circle_id: Set(circle.get()),
            user_id: Set(user.get()),
            privilege: Set(privilege.as_str().to_owned()),
            // Who makes a circle keeps it, whoever becomes `ADMIN` later.
            keeper: Set(privilege == Privilege::Regular),
            created_at: Set(now),
            updated_at: Set(now),
            ..Default::default()
        };
        circle_members::Entity::insert(row).exec_without_returning(tx).await?;
        Ok(())
    }

    /// Renames a circle, or just tells that it was touched; says whether it still was there.
    pub async fn rename_circle(
        &self,
        permit: MayRenameCircle,
        name: Option<String>,
    ) -> Result<bool, StoreError> {
        let id = permit.circle();
        let row = circles::ActiveModel {
            name: name.map_or_else(Default::default, Set),
            updated_at: Set(self.clock().now().micros()),
            ..Default::default()
        };
        self.change(async |tx| {
            policy::may_rename_circle(&circle_standing_under_lock(tx, permit.by(), id).await?)?;
            let done = circles::Entity::update_many()
                .set(row)
                .filter(circles::Column::Id.eq(id.get()))
                .filter(circles::Column::DeletedAt.is_null())
                .exec(tx)
                .await?;
            let news = News::none().circle(id, changed(id, CircleChange::Updated));
            Ok(Changed { value: done.rows_affected > 0, news })
        })
        .await
    }

    /// Invites somebody. Who is invited already is `Duplicate` of `uq_circle_invites_circle_id_user_id`.
    pub async fn invite_to_circle(
        &self,
        permit: MayInviteToCircle,
    ) -> Result<Option<InviteId>, StoreError> {
        let (id, user) = (permit.circle(), permit.user());
        let now = self.clock().now().micros();
        self.change(async |tx| {
            let standing = circle_standing_under_lock(tx, permit.by(), id).await?;
            let inside = find_link(tx, id, user).await?.is_some();
            // Who is invited already is told by the database.
            policy::may_invite_to_circle(&standing, user, inside, false)?;
            let row = circle_invites::ActiveModel {
                circle_id: Set(id.get()),
                user_id: Set(user.get()),
                created_at: Set(now),
                updated_at: Set(now),
                ..Default::default()
            };
            let row = circle_invites::Entity::insert(row).exec(tx).await?;
            let invite = InviteId::new(row.last_insert_id);
            let event = Event::CircleChanged { circle: id, change: CircleChange::Invited(invite) };
            let inbox = Topic::Inbox(Principal::User(user));
            let news = News::none().circle(id, Notice::new([inbox], event));
            Ok(Changed { value: Some(invite), news })
        })
        .await
    }

    /// Makes the invited user a member; says whether the invitation still was there.
    pub async fn join_circle(&self, permit: MayAnswerInvite) -> Result<bool, StoreError> {
        let (id, user) = (permit.circle(), permit.user());
        self.change(async |tx| {
            lock_circle(tx, id).await?;
            if !forget_invite(tx, permit.invite()).await? || find_circle(tx, id).await?.is_none() {
                return Ok(Changed::quietly(false));
            }
            self.insert_link(tx, id, user, Privilege::Member).await?;
            let who = self.face(tx, Principal::User(user)).await?;
            let news = News::none().circle(id, changed(id, CircleChange::Joined(who)));
            Ok(Changed { value: true, news })
        })
        .await
    }

    /// Forgets an invitation; says whether it still was there.
    pub async fn reject_invite(&self, permit: MayAnswerInvite) -> Result<bool, StoreError> {
        self.write(async |tx| forget_invite(tx, permit.invite()).await).await
    }

    /// Takes a member out at its own wish; says whether it still was one.
    pub async fn quit_circle(&self, permit: MayQuitCircle) -> Result<bool, StoreError> {
        self.leave(permit.circle(), permit.user(), None).await
    }

    /// Puts a member out; says whether it still was one.
    pub async fn kick_from_circle(&self, permit: MayKickFromCircle) -> Result<bool, StoreError> {
        self.leave(permit.circle(), permit.user(), Some(permit.by())).await
    }

    async fn leave(
        &self,
        id: CircleId,
        user: UserId,
        by: Option<UserId>,
    ) -> Result<bool, StoreError> {
        let outcome = self
            .change(async |tx| {
                lock_circle(tx, id).await?;
                let Some(link) = find_link(tx, id, user).await? else {
                    return Ok(Changed::quietly(false));
                };
                if let Some(by) = by {
                    let by = circle_standing_under_lock(tx, Principal::User(by), id).await?;
                    policy::may_kick_from_circle(&by, user, Some(link.id))?;
                }
                let news = self.leave_in(tx, &link, by).await?;
                Ok(Changed { value: true, news })
            })
            .await;
        self.forget_standings();
        outcome
    }

    /// The circle's event first, then that of each conversation.
    async fn leave_in(
        &self,
        tx: &Tx,
        link: &CircleLink,
        by: Option<UserId>,
    ) -> Result<News, StoreError> {
        let principal = Principal::User(link.user);
        let who = self.face(tx, principal).await?;
        let by = match by {
            Some(by) => Some(self.face(tx, Principal::User(by)).await?),
            None => None,
        };
        circle_members::Entity::delete_by_id(link.id.get()).exec(tx).await?;
        let change = match by.clone() {
            Some(by) => CircleChange::Kicked { user: who.clone(), by },
            None => CircleChange::Quit(who.clone()),
        };
        let topic = Topic::Circle(link.circle);
        let notice = changed(link.circle, change).evicting(principal, topic);
        let mut news = News::none().circle(link.circle, notice);
        news.append(self.leave_conversations_of(tx, link.circle, &who, by.as_ref()).await?);
        let left = links(tx, link.circle).await?;
        match left.first() {
            None => news.append(self.remove_circle_in(tx, link.circle).await?),
            Some(oldest) if !left.iter().any(keeps) => self.hand_over(tx, oldest).await?,
            Some(_) => {}
        }
        Ok(news)
    }

    /// The oldest member keeps the circle from now on.
    async fn hand_over(&self, tx: &Tx, oldest: &CircleLink) -> Result<(), StoreError> {
        let row = circle_members::ActiveModel {
            id: Set(oldest.id.get()),
            privilege: Set(Privilege::Regular.as_str().to_owned()),
            keeper: Set(true),
            updated_at: Set(self.clock().now().micros()),
            ..Default::default()
        };
        row.update(tx).await?;
        Ok(())
    }

    /// Removes a circle with everything in it; says whether it still was there.
    pub async fn remove_circle(
        &self,
        permit: &MayAdminister,
        id: CircleId,
    ) -> Result<bool, StoreError> {
        let outcome = self
            .change(async |tx| {
                require_administrator(self, tx, permit).await?;
                lock_circle(tx, id).await?;
                if find_circle(tx, id).await?.is_none() {
                    return Ok(Changed::quietly(false));
                }
                let news = self.remove_circle_in(tx, id).await?;
                Ok(Changed { value: true, news })
            })
            .await;
        self.forget_standings();
        outcome
    }

    /// Everybody hears of it and of nothing further; messages stay where nobody finds them.
    async fn remove_circle_in(&self, tx: &Tx, id: CircleId) -> Result<News, StoreError> {
        let now = self.clock().now();
        let found = find_circle(tx, id).await?;
        let device = found.and_then(|circle| circle.device);
        let mut notice = changed(id, CircleChange::Deleted);
        let everybody = links(tx, id).await?.into_iter().map(|link| Principal::User(link.user));
        let everybody: Vec<_> = everybody.chain(device.map(Principal::Device)).collect();
        for principal in &everybody {
            notice = notice.evicting(*principal, Topic::Circle(id));
        }
        let mut news = News::none().circle(id, notice);
        let rows = conversations::Entity::find()
            .filter(conversations::Column::CircleId.eq(id.get()))
            .filter(conversations::Column::DeletedAt.is_null())
            .all(tx)
            .await?;
        lock_conversations(tx, rows.iter().map(|row| ConversationId::new(row.id))).await?;
        for row in rows {
            let conversation = ConversationId::new(row.id);
            news.append(self.remove_conversation_in(tx, conversation, device).await?);
        }
        circle_invites::Entity::delete_many()
            .filter(circle_invites::Column::CircleId.eq(id.get()))
            .exec(tx)
            .await?;
        circle_members::Entity::delete_many()
            .filter(circle_members::Column::CircleId.eq(id.get()))
            .exec(tx)
            .await?;
        if let Some(device) = device {
            news.append(self.remove_device_in(tx, device).await?);
        }
        circles::Entity::update_many()
            .col_expr(circles::Column::DeletedAt, Expr::value(now.micros()))
            .filter(circles::Column::Id.eq(id.get()))
            .exec(tx)
            .await?;
        Ok(news)
    }
}

fn keeps(link: &CircleLink) -> bool {
    link.keeper || link.privilege == Privilege::Admin
}

async fn forget_invite(tx: &Tx, id: InviteId) -> Result<bool, StoreError> {
    let gone = circle_invites::Entity::delete_by_id(id.get()).exec(tx).await?;
    Ok(gone.rows_affected > 0)
}
