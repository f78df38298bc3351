//! Listening: who hears a conversation or a circle right now, and who is typing there.

use super::{Caller, Services};
use crate::domain::{CircleId, ConversationId, Dialect, Event, Refusal, Topic};
use crate::hub::{News, Notice};
use crate::policy;

impl Services {
    /// Lets a connection hear a conversation; whoever may enter a room becomes its member.
    pub(super) async fn attend_conversation(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<(), Refusal> {
        self.require_place(caller, conversation).await?;
        let topic = Topic::Conversation(conversation);
        let fresh = self.listen(caller, topic);
        // Who is put out between the decision and the listening is noticed by one of the two.
        let still = self.require_place(caller, conversation).await;
        if still.is_err() && fresh {
            self.leave(caller, topic);
        }
        still
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
        let event = Event::TypingChanged {
            conversation,
            who,
            typing,
            dialect,
            changed: true,
            computed: false,
        };
        let notice = Notice::new([Topic::Conversation(conversation)], event);
        self.store().tell(News::none().conversation(conversation, notice)).await;
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
