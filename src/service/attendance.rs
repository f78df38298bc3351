//! Listening: who hears a conversation or a circle right now, and who is typing there.

use tokio::sync::mpsc;

use super::typing::Saying;
use super::{Caller, Services};
use crate::domain::{CircleId, ConversationId, Dialect, Refusal, Topic};
use crate::hub::{Attendee, ConnectionId, Hub, Kept, Movement, News, Notice};
use crate::policy;
use crate::store::Store;

impl Services {
    /// Lets a connection hear a conversation; whoever may enter a room becomes its member.
    pub(super) async fn attend_conversation(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<(), Refusal> {
        self.attend(caller, conversation, None).await
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
            tell_movement(self.store(), movement).await;
        }
        still
    }

    /// Makes a connection deaf to a conversation; it need not have attended it.
    pub(super) async fn leave_conversation(&self, caller: &Caller, conversation: ConversationId) {
        self.leave(caller, Topic::Conversation(conversation));
        let Some(connection) = caller.connection else { return };
        if let Some(movement) = self.hub().attendance().leave(conversation, connection) {
            // Who leaves hears of it as well, if it listens to such news.
            tell_movement(self.store(), movement).await;
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

/// Tells a conversation who came or went, if anybody listens to such news.
pub(super) async fn tell_movement(store: &Store, movement: Movement) {
    let (conversation, topic) = (movement.conversation, Topic::Attendance(movement.conversation));
    if store.hub().is_heard(topic) {
        let notice = Notice::new([topic], movement.event());
        store.tell(News::none().conversation(conversation, notice)).await;
    }
}

/// Tells of connections that have ended, which ask nobody to wait.
#[derive(Clone, Debug)]
pub(super) struct AttendanceTeller {
    /// Unbounded: there are at most as many entries as places that ended.
    gone: mpsc::UnboundedSender<Movement>,
}

impl AttendanceTeller {
    /// Starts the task; it ends when the last teller is dropped.
    pub(super) fn start(store: Store) -> Self {
        let (gone, mut next) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(movement) = next.recv().await {
                tell_movement(&store, movement).await;
            }
        });
        Self { gone }
    }

    /// Counts a connection out everywhere.
    pub(super) fn end(&self, hub: &Hub, connection: ConnectionId) {
        for movement in hub.attendance().leave_all(connection) {
            // Without the task the server is on its way down, and nobody wants to know.
            let _ = self.gone.send(movement);
        }
    }
}
