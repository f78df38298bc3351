//! How conversations come into being, and how an administrator or operator ends them.

use entity::{conversation_heads, conversations, messages};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::attachments::announce;
use super::circles::{circle_standing, find_circle};
use super::conversations::{access_to_db, find_conversation, kind_to_db, living};
use super::locks::{lock_circle, lock_conversations, require_administrator, require_staff};
use super::log::{book, pay};
use super::memberships::{admit, bury, changed, changed_for, device_of};
use super::rooms::{listed, listed_for_all};
use super::{Changed, Store, StoreError, Tx, counters};
use crate::domain::{
    Access, CircleId, Conversation, ConversationChange, ConversationId, DeviceId, Event, Kind,
    LinkId, Listing, MessageId, Posted, Principal, Revision, Role, Seq, Text, Timestamp, Topic,
    UserId,
};
use crate::hub::{News, Notice};
use crate::policy::{self, Beginning, MayAdminister, MayKeepRooms, MayStart};

/// The notice by which processes tell each other that there is another room.
pub const ROOM_ADDED: &str = "room_added";
/// The notice by which processes tell each other that a conversation is gone.
pub const CONVERSATION_REMOVED: &str = "conversation_removed";

/// What a group begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Its title.
    pub title: String,
    /// The first words, perhaps none.
    pub text: Text,
    /// Names of files whose bytes will follow.
    pub files: Vec<String>,
}

/// A row for a conversation that nobody is in yet, with its head.
pub(super) async fn found(
    tx: &Tx,
    row: conversations::ActiveModel,
) -> Result<ConversationId, StoreError> {
    let id = conversations::Entity::insert(row).exec(tx).await?.last_insert_id;
    let head = conversation_heads::ActiveModel {
        conversation_id: Set(id),
        last_seq: Set(0),
        last_revision: Set(0),
    };
    conversation_heads::Entity::insert(head).exec_without_returning(tx).await?;
    Ok(ConversationId::new(id))
}

pub(super) fn row(
    kind: Kind,
    access: Access,
    title: &str,
    now: Timestamp,
) -> conversations::ActiveModel {
    conversations::ActiveModel {
        kind: Set(kind_to_db(kind)),
        access: Set(access_to_db(access)),
        title: Set(title.chars().take(255).collect()),
        description: Set(String::new()),
        device_access: Set(false),
        created_at: Set(now.micros()),
        updated_at: Set(now.micros()),
        ..Default::default()
    }
}

impl Store {
    /// Begins a group in a circle with its first message; tells the one who is written to.
    pub async fn start_group(
        &self,
        permit: MayStart,
        opening: Opening,
    ) -> Result<(ConversationId, Posted), StoreError> {
        self.start_paid_group(permit, opening, 0).await
    }

    /// The same, where the first message has a price.
    pub async fn start_paid_group(
        &self,
        permit: MayStart,
        opening: Opening,
        price: i64,
    ) -> Result<(ConversationId, Posted), StoreError> {
        let beginning = permit.beginning();
        let now = self.clock().now();
        let with_device = [beginning.starter, beginning.other]
            .iter()
            .any(|principal| principal.device().is_some());
        let row = conversations::ActiveModel {
            circle_id: Set(Some(beginning.circle.get())),
            device_access: Set(with_device),
            creator: Set(Some(beginning.starter.to_db())),
            ..row(Kind::Group, Access::Members, &opening.title, now)
        };
        self.change(async |tx| {
            require_beginning(tx, beginning).await?;
            let payer = beginning.starter.to_db();
            let charge = pay(tx, payer, price, now).await?;
            let id = found(tx, row).await?;
            let mut link = None;
            if let Principal::User(user) = beginning.starter {
                link = Some(admit(tx, now, id, user, Role::Admin).await?);
            }
            if let Principal::User(user) = beginning.other {
                let role = if link.is_some() { Role::Standard } else { Role::Admin };
                admit(tx, now, id, user, role).await?;
            }
            let posted = open_with(tx, id, beginning.starter, link, &opening, now).await?;
            if let Some(charge) = charge {
                book(tx, payer, posted.message.get(), charge, now).await?;
            }
            let other = beginning.other;
            let mut news = changed_for(other, id, ConversationChange::Invited(other));
            if let Some(group) = find_conversation(tx, id).await? {
                news.append(listed_for_all(tx, &group, Listing::Added).await?);
            }
            // Nobody has joined it yet; its members' mail brings it.
            let (message, sender) = self.as_changed(tx, posted.message).await?;
            let message = std::sync::Arc::new(message);
            let event = Event::MessagePosted { message, sender, aside: None };
            let told = Notice::new([Topic::Conversation(id)], event);
            let news = news.conversation(id, told).bringing([beginning.starter]);
            Ok(Changed { value: (id, posted), news })
        })
        .await
    }

    /// A direct conversation comes into being with its first message: the other end is told.
    pub async fn appear(&self, conversation: &Conversation, by: UserId) -> Result<(), StoreError> {
        let (id, now) = (conversation.id, self.clock().now());
        let other = conversation.other_end(by).filter(|other| *other != by);
        self.change(async |tx| {
            let appeared = conversations::Entity::update_many()
                .col_expr(conversations::Column::ShownSince, Expr::value(now.micros()))
                .filter(conversations::Column::Id.eq(id.get()))
                .filter(conversations::Column::ShownSince.is_null())
                .exec(tx)
                .await?;
            self.forget_standings_of(id);
            let brought = [Some(by), other].into_iter().flatten().map(Principal::User);
            let told = other.filter(|_| appeared.rows_affected > 0).map(Principal::User);
            let Some(other) = told else {
                return Ok(Changed { value: (), news: News::none().bringing(brought) });
            };
            let by = self.face(tx, Principal::User(by)).await?;
            let begun = Event::DialogBegun { conversation: id, by };
            let news = changed_for(other, id, ConversationChange::Invited(other))
                .conversation(id, Notice::new([Topic::Inbox(other)], begun))
                .bringing(brought);
            Ok(Changed { value: (), news })
        })
        .await?;
        // Once more: who read the standing before the commit may have kept it.
        self.forget_standings_of(id);
        Ok(())
    }

    /// The direct conversation of two users, which is made if it is not there. Nobody is
    /// told before somebody writes in it.
    pub async fn open_direct(
        &self,
        one: UserId,
        other: UserId,
    ) -> Result<Conversation, StoreError> {
        if let Some(found) = self.find_direct(one, other).await? {
            return Ok(found);
        }
        let (low, high) = (one.min(other), one.max(other));
        let now = self.clock().now();
        let row = conversations::ActiveModel {
            direct_low: Set(Some(low.get())),
            direct_high: Set(Some(high.get())),
            creator: Set(Some(Principal::User(one).to_db())),
            ..row(Kind::Direct, Access::Members, "", now)
        };
        let made = self
            .write(async |tx| {
                let id = found(tx, row).await?;
                admit(tx, now, id, low, Role::Standard).await?;
                if low != high {
                    admit(tx, now, id, high, Role::Standard).await?;
                }
                find_conversation(tx, id).await
            })
            .await;
        match made {
            Ok(Some(conversation)) => Ok(conversation),
            // Somebody else was faster.
            Err(StoreError::Duplicate { .. }) | Ok(None) => {
                self.find_direct(one, other).await?.ok_or_else(|| StoreError::Impossible {
                    table: "conversations",
                    what: format!("the pair {low}, {high} is taken and cannot be found"),
                })
            }
            Err(error) => Err(error),
        }
    }

    /// A group in a circle that nobody is in; none if there is no such circle.
    pub async fn add_empty_group(
        &self,
        permit: &MayAdminister,
        circle: CircleId,
        title: &str,
    ) -> Result<Option<Conversation>, StoreError> {
        let now = self.clock().now();
        let row = conversations::ActiveModel {
            circle_id: Set(Some(circle.get())),
            ..row(Kind::Group, Access::Members, title, now)
        };
        let made = self
            .write(async |tx| {
                require_administrator(self, tx, permit).await?;
                lock_circle(tx, circle).await?;
                if find_circle(tx, circle).await?.is_none() {
                    return Ok(None);
                }
                let id = found(tx, row).await?;
                find_conversation(tx, id).await
            })
            .await;
        match made {
            Err(StoreError::Dangling(_)) => Ok(None),
            other => other,
        }
    }

    /// Ends any conversation; says whether there was one.
    pub async fn remove_conversation(
        &self,
        permit: &MayAdminister,
        id: ConversationId,
    ) -> Result<bool, StoreError> {
        let still = async |tx: &Tx| require_administrator(self, tx, permit).await;
        self.end_conversation(id, still, |_| true).await
    }

    /// A room that everybody may enter, or staff alone.
    pub async fn add_room(
        &self,
        permit: &MayKeepRooms,
        title: &str,
        description: &str,
        access: Access,
    ) -> Result<Conversation, StoreError> {
        let now = self.clock().now();
        let row = conversations::ActiveModel {
            description: Set(description.chars().take(2000).collect()),
            ..row(Kind::Room, access, title, now)
        };
        let made = self
            .change(async |tx| {
                require_staff(tx, permit).await?;
                let id = found(tx, row).await?;
                self.notify(tx, ROOM_ADDED, id.get(), None).await?;
                let made = find_conversation(tx, id).await?;
                let news = made.as_ref().map(|room| listed(room, Listing::Added, []));
                Ok(Changed { value: made, news: news.unwrap_or_default() })
            })
            .await?;
        made.ok_or_else(|| StoreError::Impossible {
            table: "conversations",
            what: "a room vanished while it was made".to_owned(),
        })
    }

    /// Ends a room and puts everybody out; says whether there was one.
    pub async fn remove_room(
        &self,
        permit: &MayKeepRooms,
        id: ConversationId,
    ) -> Result<bool, StoreError> {
        let still = async |tx: &Tx| require_staff(tx, permit).await;
        self.end_conversation(id, still, |found| found.kind == Kind::Room).await
    }

    async fn end_conversation(
        &self,
        id: ConversationId,
        still: impl AsyncFnOnce(&Tx) -> Result<(), StoreError>,
        wanted: impl Fn(&Conversation) -> bool,
    ) -> Result<bool, StoreError> {
        self.change_members(id, async |tx| {
            still(tx).await?;
            lock_conversations(tx, [id]).await?;
            let Some(conversation) = find_conversation(tx, id).await?.filter(&wanted) else {
                return Ok(Changed::quietly(false));
            };
            let device = device_of(tx, conversation.circle).await?;
            let news = self.remove_conversation_in(tx, id, device).await?;
            Ok(Changed { value: true, news })
        })
        .await
    }

    /// Ends a conversation within a transaction, and puts everybody out: members, and the
    /// device of its circle. The caller forgets the standings.
    pub(super) async fn remove_conversation_in(
        &self,
        tx: &Tx,
        id: ConversationId,
        device: Option<DeviceId>,
    ) -> Result<News, StoreError> {
        let topic = Topic::Conversation(id);
        let mut notice = changed(id, ConversationChange::Deleted);
        let members = living(tx, id).await?;
        let room = find_conversation(tx, id).await?;
        for member in &members {
            notice = notice.evicting(Principal::User(UserId::new(member.user_id)), topic);
        }
        if let Some(device) = device {
            notice = notice.evicting(Principal::Device(device), topic);
        }
        bury(tx, self.clock().now(), id).await?;
        self.notify(tx, CONVERSATION_REMOVED, id.get(), None).await?;
        let mut news = News::none().conversation(id, notice);
        if let Some(room) = room {
            let users = members.iter().map(|member| UserId::new(member.user_id));
            news.append(listed(&room, Listing::Removed, users));
        }
        Ok(news)
    }
}

/// Judges a beginning anew, behind the lock of its circle.
async fn require_beginning(tx: &Tx, beginning: Beginning) -> Result<(), StoreError> {
    let Beginning { starter, other, circle, .. } = beginning;
    lock_circle(tx, circle).await?;
    let inside = async |who| {
        let standing = circle_standing(tx, who, circle).await?;
        Ok::<_, StoreError>(standing.is_some_and(|standing| standing.belongs()))
    };
    let (starter_inside, other_inside) = (inside(starter).await?, inside(other).await?);
    policy::may_start(Beginning { starter_inside, other_inside, ..beginning })?;
    Ok(())
}

/// Stores the message that a conversation begins with.
async fn open_with(
    tx: &Tx,
    conversation: ConversationId,
    author: Principal,
    link: Option<LinkId>,
    opening: &Opening,
    now: Timestamp,
) -> Result<Posted, StoreError> {
    let id = counters::draw(tx, 1).await?.into_iter().next().unwrap_or_default();
    let files = i16::try_from(opening.files.len()).unwrap_or(i16::MAX);
    let row = messages::ActiveModel {
        id: Set(id),
        conversation_id: Set(conversation.get()),
        seq: Set(1),
        revision: Set(1),
        shown: Set((files == 0).then_some(id)),
        sender: Set(author.to_db()),
        link_id: Set(link.map(LinkId::get)),
        client_key: Set(Uuid::now_v7().as_bytes().to_vec()),
        kind: Set(0),
        text: Set(opening.text.as_str().to_owned()),
        media_count: Set(files),
        awaited: Set(files),
        created_at: Set(now.micros()),
        ..Default::default()
    };
    messages::Entity::insert(row).exec_without_returning(tx).await?;
    conversation_heads::Entity::update_many()
        .col_expr(conversation_heads::Column::LastSeq, Expr::val(1))
        .col_expr(conversation_heads::Column::LastRevision, Expr::val(1))
        .filter(conversation_heads::Column::ConversationId.eq(conversation.get()))
        .exec(tx)
        .await?;
    let message = MessageId::new(id);
    let medias = announce(tx, message, &opening.files, now).await?;
    let (seq, revision) = (Seq::new(1), Revision::new(1));
    Ok(Posted { message, seq, revision, medias, duplicate: false })
}
