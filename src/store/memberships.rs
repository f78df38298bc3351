//! Who belongs to a conversation, and how that changes.
//!
//! An ended membership keeps its row and its number, which old messages name; whoever
//! comes back gets a new one.

use entity::{conversation_heads, conversations, devices, medias, members, messages};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::circles::find_link;
use super::conversations::{find_conversation, living};
use super::locks::{lock_circle, lock_conversations, standing_under_lock};
use super::rooms::{listed, listed_for_all};
use super::standings::seat;
use super::{Changed, Store, StoreError, Tx};
use crate::domain::{
    CircleId, Conversation, ConversationChange, ConversationId, DeviceId, Event, Kind, LinkId,
    Listing, Party, Principal, Role, Timestamp, Topic, UserId,
};
use crate::hub::{News, Notice};
use crate::policy::{
    self, Invitee, MayEnter, MayInvite, MayKick, MayPromote, MayQuit, MayRename, MaySetDevice,
};

/// The column of roles.
const fn role_to_db(role: Role) -> i16 {
    match role {
        Role::Standard => 0,
        Role::Admin => 1,
    }
}

/// Makes a user a member, who has read whatever was there before.
pub(super) async fn admit(
    tx: &Tx,
    now: Timestamp,
    conversation: ConversationId,
    user: UserId,
    role: Role,
) -> Result<LinkId, StoreError> {
    let head = conversation_heads::Entity::find_by_id(conversation.get()).one(tx).await?;
    let seq = head.map_or(0, |head| head.last_seq);
    let newest = messages::Entity::find()
        .filter(messages::Column::ConversationId.eq(conversation.get()))
        .filter(messages::Column::Seq.eq(seq))
        .one(tx)
        .await?;
    let place = newest.map_or(0, |row| row.shown.unwrap_or(row.id));
    let row = members::ActiveModel {
        conversation_id: Set(conversation.get()),
        user_id: Set(user.get()),
        role: Set(role_to_db(role)),
        live: Set(Some(1)),
        joined_seq: Set(seq),
        created_at: Set(now.micros()),
        updated_at: Set(now.micros()),
        delivered_shown: Set(place),
        read_shown: Set(place),
        read_seq: Set(seq),
        courier_shown: Set(place),
        ..Default::default()
    };
    Ok(LinkId::new(members::Entity::insert(row).exec(tx).await?.last_insert_id))
}

async fn set_role(tx: &Tx, now: Timestamp, link: LinkId, role: Role) -> Result<(), StoreError> {
    let row = members::ActiveModel {
        role: Set(role_to_db(role)),
        updated_at: Set(now.micros()),
        ..Default::default()
    };
    members::Entity::update_many()
        .set(row)
        .filter(members::Column::Id.eq(link.get()))
        .exec(tx)
        .await?;
    Ok(())
}

/// Ends a membership; says whether it had been alive. In a group the oldest remaining
/// member takes over, and without one the group ends.
pub(super) async fn end_membership(
    tx: &Tx,
    now: Timestamp,
    conversation: &Conversation,
    link: LinkId,
    hand_over: bool,
) -> Result<bool, StoreError> {
    let row = members::ActiveModel {
        live: Set(None),
        ended_at: Set(Some(now.micros())),
        updated_at: Set(now.micros()),
        ..Default::default()
    };
    let ended = members::Entity::update_many()
        .set(row)
        .filter(members::Column::Id.eq(link.get()))
        .filter(members::Column::Live.eq(1))
        .exec(tx)
        .await?;
    if ended.rows_affected == 0 {
        return Ok(false);
    }
    if conversation.kind == Kind::Group {
        match living(tx, conversation.id).await?.first() {
            Some(oldest) if hand_over => {
                set_role(tx, now, LinkId::new(oldest.id), Role::Admin).await?;
            }
            Some(_) => {}
            None => bury(tx, now, conversation.id).await?,
        }
    }
    Ok(true)
}

/// Ends a conversation with its memberships and files. Its messages stay where they are
/// and are found no more.
pub(super) async fn bury(
    tx: &Tx,
    now: Timestamp,
    conversation: ConversationId,
) -> Result<(), StoreError> {
    conversations::Entity::update_many()
        .col_expr(conversations::Column::DeletedAt, Expr::val(now.micros()))
        .filter(conversations::Column::Id.eq(conversation.get()))
        .exec(tx)
        .await?;
    members::Entity::update_many()
        .set(members::ActiveModel {
            live: Set(None),
            ended_at: Set(Some(now.micros())),
            ..Default::default()
        })
        .filter(members::Column::ConversationId.eq(conversation.get()))
        .filter(members::Column::Live.eq(1))
        .exec(tx)
        .await?;
    let messages = messages::Entity::find()
        .select_only()
        .column(messages::Column::Id)
        .filter(messages::Column::ConversationId.eq(conversation.get()))
        .filter(messages::Column::MediaCount.gt(0));
    medias::Entity::update_many()
        .col_expr(medias::Column::DeletedAt, Expr::val(now.micros()))
        .filter(medias::Column::MessageId.in_subquery(sea_orm::QueryTrait::into_query(messages)))
        .filter(medias::Column::DeletedAt.is_null())
        .exec(tx)
        .await?;
    Ok(())
}

/// The device of a circle, if it has one.
pub(super) async fn device_of(
    db: &impl ConnectionTrait,
    circle: Option<CircleId>,
) -> Result<Option<DeviceId>, StoreError> {
    let Some(circle) = circle else { return Ok(None) };
    let row = devices::Entity::find()
        .filter(devices::Column::CircleId.eq(circle.get()))
        .filter(devices::Column::Live.eq(1))
        .one(db)
        .await?;
    Ok(row.map(|device| DeviceId::new(device.id)))
}

/// Something about a conversation, for those who listen to it.
pub(super) fn changed(conversation: ConversationId, change: ConversationChange) -> Notice {
    let event = Event::ConversationChanged { conversation, change };
    Notice::new([Topic::Conversation(conversation)], event)
}

/// Something about a conversation, for one account alone.
pub(super) fn changed_for(
    principal: Principal,
    conversation: ConversationId,
    change: ConversationChange,
) -> News {
    let event = Event::ConversationChanged { conversation, change };
    News::none().conversation(conversation, Notice::new([Topic::Inbox(principal)], event))
}

impl Store {
    /// Makes somebody a member of a group.
    ///
    /// A group without a circle has at most `most`.
    pub async fn invite(&self, permit: MayInvite, most: usize) -> Result<LinkId, StoreError> {
        let (conversation, user) = (permit.conversation(), permit.invitee());
        let now = self.clock().now();
        self.change_members(conversation, async |tx| {
            require_invitation(tx, &permit, most).await?;
            let link = admit(tx, now, conversation, user, Role::Standard).await?;
            let invited = Principal::User(user);
            let change = ConversationChange::Invited(invited);
            let mut news = changed_for(invited, conversation, change);
            if let Some(group) = find_conversation(tx, conversation).await? {
                news.append(listed(&group, Listing::Added, [user]));
            }
            Ok(Changed { value: link, news })
        })
        .await
    }

    /// Gives a user a place in a room; one who has it keeps it.
    pub async fn enter(&self, permit: MayEnter) -> Result<(), StoreError> {
        let (room, user) = (permit.room(), permit.user());
        let now = self.clock().now();
        let entered = self
            .change_members(room, async |tx| {
                let standing = standing_under_lock(tx, Principal::User(user), room).await?;
                policy::may_enter(&standing)?;
                if standing.seat.is_some() {
                    return Ok(Changed::quietly(()));
                }
                admit(tx, now, room, user, Role::Standard).await?;
                Ok(Changed::quietly(()))
            })
            .await;
        match entered {
            Err(StoreError::Duplicate { .. }) => Ok(()),
            other => other,
        }
    }

    /// Hands the administration over.
    pub async fn promote(&self, permit: MayPromote) -> Result<(), StoreError> {
        let (conversation, user) = (permit.conversation(), permit.user());
        let now = self.clock().now();
        self.change_members(conversation, async |tx| {
            let standing = standing_under_lock(tx, permit.promoter(), conversation).await?;
            let target = seat(tx, conversation, user.get()).await?;
            let permit = policy::may_promote(&standing, user, target)?;
            set_role(tx, now, permit.by(), Role::Standard).await?;
            set_role(tx, now, permit.link(), Role::Admin).await?;
            let change = ConversationChange::Promoted(user);
            let news = changed_for(Principal::User(user), conversation, change);
            Ok(Changed { value: (), news })
        })
        .await
    }

    /// Puts a member out; says whether it still was one.
    pub async fn kick(&self, permit: MayKick) -> Result<bool, StoreError> {
        let (id, kicked) = (permit.conversation(), Principal::User(permit.user()));
        let now = self.clock().now();
        self.change_members(id, async |tx| {
            let standing = standing_under_lock(tx, permit.by(), id).await?;
            let target = seat(tx, id, permit.user().get()).await?;
            let permit = policy::may_kick(&standing, permit.user(), target)?;
            let conversation = standing.conversation;
            let ended = end_membership(tx, now, &conversation, permit.link(), false).await?;
            let (user, by) = (self.face(tx, kicked).await?, self.face(tx, permit.by()).await?);
            let news = if ended { put_out(&conversation, user, Some(by)) } else { News::none() };
            Ok(Changed { value: ended, news })
        })
        .await
    }

    /// Ends one's own membership; says whether there still was one.
    pub async fn quit(&self, permit: MayQuit) -> Result<bool, StoreError> {
        let (id, leaver) = (permit.conversation(), Principal::User(permit.user()));
        let now = self.clock().now();
        self.change_members(id, async |tx| {
            let standing = standing_under_lock(tx, leaver, id).await?;
            let permit = policy::may_quit(&standing)?;
            let conversation = standing.conversation;
            let ended = end_membership(tx, now, &conversation, permit.link(), true).await?;
            let user = self.face(tx, leaver).await?;
            let news = if ended { put_out(&conversation, user, None) } else { News::none() };
            Ok(Changed { value: ended, news })
        })
        .await
    }

    /// Takes a user out of all conversations of a circle, within the transaction that takes
    /// it out of the circle; `by` is who put it out, if it did not go by itself. The caller
    /// forgets the standings.
    pub(super) async fn leave_conversations_of(
        &self,
        tx: &Tx,
        circle: CircleId,
        user: &Party,
        by: Option<&Party>,
    ) -> Result<News, StoreError> {
        let Some(id) = user.principal().user() else { return Ok(News::none()) };
        let here = members::Entity::find()
            .find_also_related(conversations::Entity)
            .filter(members::Column::UserId.eq(id.get()))
            .filter(members::Column::Live.eq(1))
            .filter(conversations::Column::CircleId.eq(circle.get()))
            .filter(conversations::Column::DeletedAt.is_null())
            .order_by_asc(members::Column::Id);
        let rows = here.clone().all(tx).await?;
        let named = rows.iter().map(|(row, _)| ConversationId::new(row.conversation_id));
        lock_conversations(tx, named).await?;
        // Once more: another node may have put somebody out while the locks were waited for.
        let rows = here.all(tx).await?;
        let mut news = News::none();
        for (row, found) in rows {
            let Some(found) = found else { continue };
            let conversation = super::conversations::conversation(found)?;
            let now = self.clock().now();
            if !end_membership(tx, now, &conversation, LinkId::new(row.id), true).await? {
                continue;
            }
            news.append(put_out(&conversation, user.clone(), by.cloned()));
        }
        Ok(news)
    }

    /// Changes a group's title, and whether the device takes part; none if the group is gone.
    pub async fn update_conversation(
        &self,
        permit: MayRename,
        title: Option<String>,
        device: Option<MaySetDevice>,
    ) -> Result<Option<Conversation>, StoreError> {
        let id = permit.conversation();
        let row = conversations::ActiveModel {
            title: title.map_or_else(Default::default, Set),
            device_access: device.as_ref().map_or_else(Default::default, |device| Set(device.on())),
            updated_at: Set(self.clock().now().micros()),
            ..Default::default()
        };
        self.change_members(id, async |tx| {
            let standing = standing_under_lock(tx, permit.by(), id).await?;
            policy::may_rename(&standing)?;
            if let Some(device) = &device {
                policy::may_set_device(&standing, device.on())?;
            }
            let before = Some(standing.conversation);
            let value = update(tx, id, row).await?;
            let mut notice = changed(id, ConversationChange::Updated);
            if let Some(now) = value.as_ref().filter(|now| !now.device_access)
                && let Some(device) = device_of(tx, now.circle).await?
            {
                notice = notice.evicting(Principal::Device(device), Topic::Conversation(id));
            }
            let mut news = News::none();
            if let Some(now) = &value {
                news = news.conversation(id, notice);
                if before.is_some_and(|before| before.title != now.title) {
                    news.append(listed_for_all(tx, now, Listing::Changed).await?);
                }
            }
            Ok(Changed { value, news })
        })
        .await
    }

    /// Lets the circle's device in or out; none if the group is gone.
    pub async fn set_device(
        &self,
        permit: MaySetDevice,
    ) -> Result<Option<Conversation>, StoreError> {
        let (id, on) = (permit.conversation(), permit.on());
        let row = conversations::ActiveModel {
            device_access: Set(on),
            updated_at: Set(self.clock().now().micros()),
            ..Default::default()
        };
        self.change_members(id, async |tx| {
            policy::may_set_device(&standing_under_lock(tx, permit.by(), id).await?, on)?;
            let value = update(tx, id, row).await?;
            let device = device_of(tx, value.as_ref().and_then(|found| found.circle)).await?;
            let notice = match (on, device) {
                (true, _) => changed(id, ConversationChange::DeviceAdded),
                (false, None) => changed(id, ConversationChange::DeviceRemoved(None)),
                (false, Some(device)) => {
                    changed(id, ConversationChange::DeviceRemoved(Some(device)))
                        .evicting(Principal::Device(device), Topic::Conversation(id))
                }
            };
            let news = match value {
                Some(_) => News::none().conversation(id, notice),
                None => News::none(),
            };
            Ok(Changed { value, news })
        })
        .await
    }

    /// A change after which nobody's standing to the conversation is what it was.
    pub(super) async fn change_members<T>(
        &self,
        conversation: ConversationId,
        work: impl AsyncFnOnce(&Tx) -> Result<Changed<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let outcome = self.change(work).await;
        // Also after a failure: the outcome may be unknown.
        self.standings().touch(conversation);
        outcome
    }
}

/// Judges an invitation anew, behind the locks of the circle and the conversation.
async fn require_invitation(tx: &Tx, permit: &MayInvite, most: usize) -> Result<(), StoreError> {
    let (id, user) = (permit.conversation(), permit.invitee());
    let in_circle = match permit.circle() {
        Some(circle) => {
            lock_circle(tx, circle).await?;
            find_link(tx, circle, user).await?.is_some()
        }
        None => false,
    };
    let standing = standing_under_lock(tx, permit.by(), id).await?;
    let member = seat(tx, id, user.get()).await?.is_some();
    policy::may_invite(&standing, Invitee { user, member, in_circle })?;
    if permit.circle().is_none() {
        policy::require_room_for_one(living(tx, id).await?.len(), most)?;
    }
    Ok(())
}

/// Writes a conversation's row and reads it again.
async fn update(
    tx: &Tx,
    id: ConversationId,
    row: conversations::ActiveModel,
) -> Result<Option<Conversation>, StoreError> {
    conversations::Entity::update_many()
        .set(row)
        .filter(conversations::Column::Id.eq(id.get()))
        .exec(tx)
        .await?;
    find_conversation(tx, id).await
}

/// Everybody hears of it, the one who goes included; who hears nothing further.
fn put_out(conversation: &Conversation, user: Party, by: Option<Party>) -> News {
    let (principal, id) = (user.principal(), conversation.id);
    let change = match by {
        Some(by) => ConversationChange::Kicked { user, by },
        None => ConversationChange::Quit(user),
    };
    let notice = changed(id, change).evicting(principal, Topic::Conversation(id));
    let mut news = News::none().conversation(id, notice);
    // An open room is listed for those who are not in it as well.
    if conversation.kind == Kind::Group {
        news.append(listed(conversation, Listing::Removed, principal.user()));
    }
    news
}
