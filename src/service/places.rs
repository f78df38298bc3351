//! Places that end: told to the room, and forgotten where they were written down.
//!
//! Connections end without waiting for anybody, so one task looks after what they leave.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::domain::{ConnectionId, ConversationId, LoginId, Topic};
use crate::hub::{Hub, Movement, News, Notice};
use crate::store::{ParkedPlace, Store, StoreError};

/// How long confirmations are gathered before they are written.
const GATHERED: Duration = Duration::from_millis(200);

/// What the task is to look after.
#[derive(Debug)]
enum Concern {
    /// A place has ended.
    Gone(Box<Movement>),
    /// Something surely arrived at a place that is kept.
    Confirmed(ConversationId, LoginId),
}

/// Looks after places whose connections have ended. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// Unbounded: there are at most as many entries as places that ended or were confirmed.
    concerns: mpsc::UnboundedSender<Concern>,
    /// For what is done later.
    store: Store,
}

impl Places {
    /// Starts the task; it ends when the last sender is dropped.
    pub(super) fn start(store: Store) -> Self {
        let (concerns, next) = mpsc::unbounded_channel();
        let evictions = store.hub().attendance().evictions();
        tokio::spawn(look_after(store.clone(), next, evictions));
        Self { concerns, store }
    }

    /// Counts a connection out everywhere.
    pub(super) fn end(&self, hub: &Hub, connection: ConnectionId) {
        for movement in hub.attendance().leave_all(connection) {
            self.gone(movement);
        }
    }

    /// A place has ended.
    pub(super) fn gone(&self, movement: Movement) {
        // Without the task the server is on its way down, and nobody wants to know.
        let _ = self.concerns.send(Concern::Gone(Box::new(movement)));
    }

    /// Something surely arrived at a place that is kept.
    pub(super) fn confirmed(&self, room: ConversationId, login: LoginId) {
        let _ = self.concerns.send(Concern::Confirmed(room, login));
    }

    /// Gives up a parked place after a while, if nobody has taken it over.
    pub(super) fn expire_later(&self, room: ConversationId, lost: ConnectionId, after: Duration) {
        let store = self.store.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let now = store.clock().now();
            if let Some(movement) = store.hub().attendance().expire(room, lost, now) {
                end(&store, movement).await;
            }
        });
    }
}

/// Tells a conversation who came or went, if anybody listens to such news.
pub(super) async fn tell(store: &Store, movement: &Movement) {
    let (conversation, topic) = (movement.conversation, Topic::Attendance(movement.conversation));
    if store.hub().is_heard(topic) {
        let notice = Notice::new([topic], movement.event());
        store.tell(News::none().conversation(conversation, notice)).await;
    }
}

/// Tells that a place has ended, and forgets it where it was written down.
pub(super) async fn end(store: &Store, movement: Movement) {
    tell(store, &movement).await;
    if let Some(kept) = movement.attendee.kept {
        forget(store, movement.conversation, kept.login).await;
    }
}

/// Forgets where a login was, unless another connection of it is still there.
async fn forget(store: &Store, room: ConversationId, login: LoginId) {
    if store.hub().attendance().kept(room, login).is_none()
        && let Err(error) = store.forget_place(login, room).await
    {
        complain(&error);
    }
}

async fn look_after(
    store: Store,
    mut next: mpsc::UnboundedReceiver<Concern>,
    mut evictions: mpsc::UnboundedReceiver<(ConversationId, LoginId)>,
) {
    let mut confirmed = HashSet::new();
    let mut due: Option<Instant> = None;
    loop {
        let concern = tokio::select! {
            concern = next.recv() => concern,
            Some((room, login)) = evictions.recv() => {
                forget(&store, room, login).await;
                continue;
            }
            () = async { sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {
                due = None;
                write_confirmed(&store, &mut confirmed).await;
                continue;
            }
        };
        match concern {
            Some(Concern::Gone(movement)) => end(&store, *movement).await,
            Some(Concern::Confirmed(room, login)) => {
                confirmed.insert((room, login));
                due.get_or_insert_with(|| Instant::now() + GATHERED);
            }
            None => return write_confirmed(&store, &mut confirmed).await,
        }
    }
}

async fn write_confirmed(store: &Store, confirmed: &mut HashSet<(ConversationId, LoginId)>) {
    let places: Vec<_> = confirmed
        .drain()
        .filter_map(|(room, login)| {
            let (confirmed, until) = store.hub().attendance().kept(room, login)?;
            Some(ParkedPlace { login, room, confirmed, until })
        })
        .collect();
    if let Err(error) = store.confirm_places(&places).await {
        complain(&error);
    }
}

fn complain(error: &StoreError) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "what a login has joined was not written down");
}
