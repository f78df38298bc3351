//! NEO's Socket.IO side against the whole server, row by row of its page.

mod calling;
mod calls;
mod circles;
mod conversations;
mod devices;
mod example;
mod extras;
mod flood;
mod identity;
mod input;
mod listened;
mod logins;
mod messages;
mod order;

use serde_json::{Value, json};

use crate::support::world::{Person, World};

/// Ann and Bob, who share a circle and a conversation that both have joined.
pub(crate) struct Home {
    pub(crate) world: World,
    pub(crate) ann: Person,
    pub(crate) bob: Person,
    pub(crate) circle: i64,
    pub(crate) conversation: i64,
}

impl Home {
    pub(crate) async fn open() -> Self {
        Self::in_world(World::open().await).await
    }

    pub(crate) async fn in_world(world: World) -> Self {
        let (mut ann, mut bob) = (world.person("ann").await, world.person("bob").await);
        let circle = world.circle(&ann, &[&bob]).await;
        let conversation = world.conversation(circle, &ann, &bob).await;
        // The invitations.
        ann.peer.heard().await;
        bob.peer.heard().await;
        ann.peer.join(conversation).await;
        bob.peer.join(conversation).await;
        Self { world, ann, bob, circle, conversation }
    }

    /// An argument that names the conversation.
    pub(crate) fn here(&self) -> Value {
        json!({ "conversation_id": self.conversation })
    }

    /// A message for the conversation.
    pub(crate) fn words(&self, text: &str) -> Value {
        json!({ "conversation_id": self.conversation, "text_message": text })
    }

    /// A third person, who is in the circle but not in the conversation.
    pub(crate) async fn carl(&mut self) -> Person {
        let carl = self.world.person("carl").await;
        self.world.bring(&self.ann, &carl, self.circle).await;
        let mut carl = carl;
        carl.peer.heard().await;
        carl
    }
}
