//! Conversations: begun, looked at, changed by their members.

use super::{Caller, LIST_BYTES, MessageList, Services};
use crate::domain::{
    Circle, CircleId, Conversation, ConversationId, Dialect, Email, Kind, Membership, Posted,
    Principal, Refusal, Text, User, UserId,
};
use crate::policy::{self, Beginning, Invitee, MayRead, Seat, Standing};
use crate::store::{Cap, ListFrom, Opening, StoreError};

/// The longest title, in characters.
const TITLE: usize = 120;

/// A conversation with everything in it.
#[derive(Debug)]
pub struct ConversationContent {
    /// The conversation.
    pub conversation: Conversation,
    /// The circle that owns it.
    pub circle: Option<Circle>,
    /// Who is in it; of a room only the one who asks.
    pub members: Vec<(Membership, User)>,
    /// What was said, oldest first, as far as lists go.
    pub messages: MessageList,
}

/// The first words of a conversation.
#[derive(Debug)]
pub struct FirstMessage {
    /// The words, perhaps none.
    pub text: Text,
    /// Names of files whose bytes will follow.
    pub files: Vec<String>,
}

fn unknown_conversation() -> Refusal {
    Refusal::not_found("there is no such conversation")
}

fn unknown_circle() -> Refusal {
    Refusal::not_found("there is no such circle")
}

impl Services {
    /// A text that a message may hold.
    pub fn text(&self, raw: String) -> Result<Text, Refusal> {
        let most = self.limits().max_text_chars.get();
        Text::new(raw, most).map_err(|error| Refusal::malformed(error.to_string()))
    }

    /// Where a list of messages in an answer ends.
    pub(super) fn cap(&self) -> Cap {
        Cap { messages: self.neo().list_max.get(), bytes: LIST_BYTES }
    }

    /// Messages of a conversation, as far as lists go.
    pub(super) async fn list(
        &self,
        permit: &MayRead,
        from: ListFrom,
        quantity: usize,
    ) -> Result<MessageList, StoreError> {
        let place = Some((permit.kind(), permit.conversation()));
        let entries = self.store().outline(permit, from, quantity, self.cap()).await?;
        Ok(MessageList::new(self.store().clone(), place, entries))
    }

    /// A user by e-mail address.
    async fn addressee(&self, email: &str) -> Result<User, Refusal> {
        let unknown = || Refusal::not_found("there is no user with this e-mail address");
        let email = Email::new(email).ok_or_else(unknown)?;
        self.store().find_user_by_email(&email).await?.ok_or_else(unknown)
    }

    /// Everything about a conversation.
    pub async fn show_conversation(
        &self,
        caller: &Caller,
        id: ConversationId,
        cap: Option<usize>,
    ) -> Result<ConversationContent, Refusal> {
        let standing = self.standing_in(caller, id).await?;
        let permit = policy::may_read(&standing)?;
        let conversation = standing.conversation.clone();
        let circle = match conversation.circle {
            Some(circle) => self.store().find_circle(circle).await?,
            None => None,
        };
        let members = match (conversation.kind, caller.principal) {
            (Kind::Room, Principal::Device(_)) => Vec::new(),
            (Kind::Room, Principal::User(user)) => {
                let own = self.store().find_member(id, user).await?;
                own.into_iter().collect()
            }
            (Kind::Direct | Kind::Group, _) => {
                let members = self.store().list_members(id).await?;
                self.as_seen_by(caller, &conversation, members).await?
            }
        };
        let quantity = cap.unwrap_or(usize::MAX);
        let from = if cap.is_some() { ListFrom::Newest } else { ListFrom::Oldest };
        let messages = self.list(&permit, from, quantity).await?;
        Ok(ConversationContent { conversation, circle, members, messages })
    }

    /// Members of a conversation as one of them sees them: of those who share nothing with it, no addresses.
    pub(super) async fn as_seen_by(
        &self,
        caller: &Caller,
        conversation: &Conversation,
        mut members: Vec<(Membership, User)>,
    ) -> Result<Vec<(Membership, User)>, Refusal> {
        // Its members are all in the circle.
        if conversation.circle.is_some() {
            return Ok(members);
        }
        let named: Vec<_> = members.iter().map(|(_, user)| user.id).collect();
        let known = self.store().list_known(caller.principal, Some(&named)).await?;
        for (_, user) in &mut members {
            if !known.contains(&user.id) {
                *user = user.as_a_stranger();
            }
        }
        Ok(members)
    }

    /// The conversations of a circle in which the caller takes part.
    pub async fn list_conversations(
        &self,
        caller: &Caller,
        circle: CircleId,
    ) -> Result<Vec<Conversation>, Refusal> {
        let standing = self.store().circle_standing(caller.principal, circle).await?;
        policy::may_see_circle(&standing.ok_or_else(unknown_circle)?)?;
        match caller.principal {
            Principal::User(user) => {
                let all = self.store().list_memberships(user).await?;
                let found = all.into_iter().map(|(_, conversation)| conversation);
                Ok(found.filter(|found| found.circle == Some(circle)).collect())
            }
            Principal::Device(_) => {
                let mut all = self.store().list_conversations_of_circle(circle).await?;
                all.retain(|conversation| conversation.device_access);
                Ok(all)
            }
        }
    }

    /// Begins a conversation of two users in a circle.
    pub async fn write_first_to(
        &self,
        caller: &Caller,
        email: &str,
        circle: CircleId,
        first: FirstMessage,
    ) -> Result<(ConversationId, Posted), Refusal> {
        let other = self.addressee(email).await?;
        self.store().find_circle(circle).await?.ok_or_else(unknown_circle)?;
        self.start(caller, Principal::User(other.id), circle, "Conversation", first).await
    }

    /// Begins a conversation of a user with the circle's device.
    pub async fn write_first_to_device(
        &self,
        caller: &Caller,
        circle: CircleId,
        title: Option<String>,
        first: FirstMessage,
    ) -> Result<(ConversationId, Posted), Refusal> {
        let standing = self.store().circle_standing(caller.principal, circle).await?;
        let standing = standing.ok_or_else(unknown_circle)?;
        policy::may_see_circle(&standing)?;
        let device = standing.circle.device;
        let device = device.ok_or_else(|| Refusal::not_found("the circle has no device"))?;
        let title = title.unwrap_or(standing.circle.name);
        self.start(caller, Principal::Device(device), circle, &title, first).await
    }

    /// Begins a conversation of the circle's device with a user.
    pub async fn write_first_by_device(
        &self,
        caller: &Caller,
        email: &str,
        first: FirstMessage,
    ) -> Result<(ConversationId, Posted), Refusal> {
        let other = self.addressee(email).await?;
        let Principal::Device(device) = caller.principal else {
            return Err(Refusal::forbidden("only devices may do this"));
        };
        let device = self.store().find_device(device).await?.ok_or_else(Refusal::unidentified)?;
        let other = Principal::User(other.id);
        self.start(caller, other, device.circle, "NewConversation", first).await
    }

    async fn start(
        &self,
        caller: &Caller,
        other: Principal,
        circle: CircleId,
        title: &str,
        first: FirstMessage,
    ) -> Result<(ConversationId, Posted), Refusal> {
        check_title(title)?;
        let starter = caller.principal;
        let beginning = Beginning {
            starter,
            other,
            circle,
            starter_inside: self.is_inside(starter, circle).await?,
            other_inside: self.is_inside(other, circle).await?,
        };
        let permit = policy::may_start(beginning)?;
        self.pace_groups(starter)?;
        let opening = Opening { title: title.to_owned(), text: first.text, files: first.files };
        let price = self.log().default_price(Dialect::Neo);
        Ok(self.store_for(caller).start_paid_group(permit, opening, price).await?)
    }

    async fn is_inside(&self, principal: Principal, circle: CircleId) -> Result<bool, StoreError> {
        let standing = self.store().circle_standing(principal, circle).await?;
        Ok(standing.is_some_and(|standing| standing.belongs()))
    }

    /// Changes a group's title, or whether its circle's device takes part.
    pub async fn update_conversation(
        &self,
        caller: &Caller,
        id: ConversationId,
        title: Option<String>,
        device_access: Option<bool>,
    ) -> Result<Conversation, Refusal> {
        title.as_deref().map_or(Ok(()), check_title)?;
        let standing = self.standing_in(caller, id).await?;
        let permit = policy::may_rename(&standing)?;
        // Naming the present state is no change, and asks for no further right.
        let device = device_access.filter(|on| *on != standing.conversation.device_access);
        let device = device.map(|on| policy::may_set_device(&standing, on)).transpose()?;
        let updated = self.store_for(caller).update_conversation(permit, title, device).await?;
        updated.ok_or_else(unknown_conversation)
    }

    /// Lets the circle's device in or out; without a word, whichever it was not.
    pub async fn set_device(
        &self,
        caller: &Caller,
        id: ConversationId,
        on: Option<bool>,
    ) -> Result<(), Refusal> {
        let standing = self.standing_in(caller, id).await?;
        let on = on.unwrap_or(!standing.conversation.device_access);
        let permit = policy::may_set_device(&standing, on)?;
        self.store_for(caller).set_device(permit).await?.ok_or_else(unknown_conversation).map(drop)
    }

    /// Makes somebody a member.
    pub async fn invite(
        &self,
        caller: &Caller,
        id: ConversationId,
        email: &str,
    ) -> Result<(), Refusal> {
        let standing = self.standing_in(caller, id).await?;
        // Who is outside learns nothing about anybody's address.
        policy::may_read(&standing)?;
        let user = self.addressee(email).await?.id;
        let in_circle = match standing.conversation.circle {
            Some(circle) => self.is_inside(Principal::User(user), circle).await?,
            None => false,
        };
        let member = self.store().find_seat(id, user).await?.is_some();
        let permit = policy::may_invite(&standing, Invitee { user, member, in_circle })?;
        if standing.conversation.circle.is_none() {
            self.pace_invitations(caller.principal)?;
        }
        match self.store_for(caller).invite(permit, self.limits().group_members.get()).await {
            Ok(_) => Ok(()),
            Err(StoreError::Duplicate { .. }) => {
                Err(Refusal::conflict("this person is in the conversation already"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Hands the administration to another member.
    pub async fn promote(
        &self,
        caller: &Caller,
        id: ConversationId,
        email: &str,
    ) -> Result<(), Refusal> {
        let (standing, user, seat) = self.member_named(caller, id, email).await?;
        let permit = policy::may_promote(&standing, user, seat)?;
        Ok(self.store_for(caller).promote(permit).await?)
    }

    /// Puts another member out.
    pub async fn kick(
        &self,
        caller: &Caller,
        id: ConversationId,
        email: &str,
    ) -> Result<(), Refusal> {
        let (standing, user, seat) = self.member_named(caller, id, email).await?;
        let permit = policy::may_kick(&standing, user, seat)?;
        require_ended(self.store_for(caller).kick(permit).await?)
    }

    /// Leaves a conversation.
    pub async fn quit(&self, caller: &Caller, id: ConversationId) -> Result<(), Refusal> {
        let standing = self.standing_in(caller, id).await?;
        let permit = policy::may_quit(&standing)?;
        require_ended(self.store_for(caller).quit(permit).await?)
    }

    async fn member_named(
        &self,
        caller: &Caller,
        id: ConversationId,
        email: &str,
    ) -> Result<(std::sync::Arc<Standing>, UserId, Option<Seat>), Refusal> {
        // One answer for both: the other absence that is told here is that of the person.
        let standing = self.store().standing_now(caller.principal, id).await?;
        let standing = standing
            .ok_or_else(|| Refusal::forbidden("you are not a member of this conversation"))?;
        policy::may_read(&standing)?;
        let user = self.addressee(email).await?.id;
        let seat = self.store().find_seat(id, user).await?;
        Ok((standing, user, seat))
    }
}

/// Somebody else may have been faster.
fn require_ended(ended: bool) -> Result<(), Refusal> {
    if ended {
        return Ok(());
    }
    Err(Refusal::forbidden("this person is not a member of the conversation"))
}

fn check_title(title: &str) -> Result<(), Refusal> {
    if title.chars().count() > TITLE {
        let text = format!("a conversation's name may have at most {TITLE} characters");
        return Err(Refusal::malformed(text));
    }
    Ok(())
}
