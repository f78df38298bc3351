//! Listening: who hears a conversation or a circle right now, and who is typing there.

use std::collections::BTreeSet;

use super::typing::Saying;
use super::{Caller, Services, places};
use crate::domain::{Attending, CircleId, ConversationId, Dialect, Kind, Refusal, Topic};
use crate::hub::{Attendee, Kept};
use crate::policy;

impl Services {
    /// Lets a connection hear a conversation; whoever may enter a room becomes its member.
    pub(super) async fn attend_conversation(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<(), Refusal> {
        self.attend(caller, conversation, None).await
    }

    /// The same, and of whom everything may be shown there.
    pub(super) async fn attend_and_know(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<Attending, Refusal> {
        self.attend_conversation(caller, conversation).await?;
        let standing = self.standing_in(caller, conversation).await?;
        let in_circle = standing.conversation.circle.is_some();
        let is_room = standing.conversation.kind == Kind::Room;
        let known = if in_circle {
            BTreeSet::new()
        } else if is_room {
            self.store().list_known(caller.principal, None).await?
        } else {
            let members = self.store().list_members(conversation).await?;
            let members: Vec<_> = members.into_iter().map(|(_, user)| user.id).collect();
            self.store().list_known(caller.principal, Some(&members)).await?
        };
        Ok(Attending { in_circle, is_room, known })
    }

    /// The same, and its place may outlive the connection.
    pub(super) async fn attend(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        kept: Option<Kept>,
    ) -> Result<(), Refusal> {
        self.require_place(caller, conversation).await?;
        let who = self.store().find_party(caller.principal).await?;
        let who = who.ok_or_else(Refusal::unidentified)?;
        let topic = Topic::Conversation(conversation);
        let fresh = self.listen(caller, topic);
        let attendance = self.hub().attendance();
        let entered = caller.connection.and_then(|connection| {
            attendance.enter(conversation, connection, Attendee { who, kept })
        });
        // Who is put out between the decision and the listening is noticed by one of the two.
        let still = self.require_place(caller, conversation).await;
        if still.is_err() {
            if fresh {
                self.leave(caller, topic);
            }
            if let Some(movement) = entered {
                attendance.leave(conversation, movement.connection);
            }
        } else if let Some(movement) = entered {
            places::tell(self.store(), &movement).await;
        }
        still
    }

    /// Makes a connection deaf to a conversation; it need not have attended it.
    pub(super) async fn leave_conversation(&self, caller: &Caller, conversation: ConversationId) {
        self.leave(caller, Topic::Conversation(conversation));
        let Some(connection) = caller.connection else { return };
        if let Some(movement) = self.hub().attendance().leave(conversation, connection) {
            // Who leaves hears of it as well, if it listens to such news.
            places::end(self.store(), movement).await;
        }
        self.leave(caller, Topic::Attendance(conversation));
    }

    /// Lets a connection hear a circle.
    pub(super) async fn attend_circle(
        &self,
        caller: &Caller,
        circle: CircleId,
    ) -> Result<(), Refusal> {
        self.require_sight(caller, circle).await?;
        let topic = Topic::Circle(circle);
        let fresh = self.listen(caller, topic);
        let still = self.require_sight(caller, circle).await;
        if still.is_err() && fresh {
            self.leave(caller, topic);
        }
        still
    }

    /// Makes a connection deaf to a topic; it need not have heard it.
    pub(super) fn leave(&self, caller: &Caller, topic: Topic) {
        if let Some(connection) = caller.connection {
            self.hub().unsubscribe(connection, topic);
        }
    }

    /// Tells a conversation that somebody types, or no longer.
    pub(super) async fn set_typing(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        typing: bool,
        dialect: Dialect,
    ) -> Result<(), Refusal> {
        let _permit = policy::may_type(&*self.take_part(caller, conversation).await?)?;
        let Some(who) = self.store().find_party(caller.principal).await? else {
            return Err(Refusal::unidentified());
        };
        let connection = caller.connection;
        let saying = Saying { who, connection, conversation, typing, dialect };
        self.typing().say(saying).await;
        Ok(())
    }

    fn listen(&self, caller: &Caller, topic: Topic) -> bool {
        caller.connection.is_some_and(|connection| self.hub().subscribe(connection, topic))
    }

    async fn require_place(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<(), Refusal> {
        policy::may_join(&*self.take_part_now(caller, conversation).await?).map(drop)
    }

    async fn require_sight(&self, caller: &Caller, circle: CircleId) -> Result<(), Refusal> {
        let standing = self.store().circle_standing(caller.principal, circle).await?;
        let standing = standing.ok_or_else(|| Refusal::not_found("no such circle"))?;
        policy::may_see_circle(&standing).map(drop)
    }
}
