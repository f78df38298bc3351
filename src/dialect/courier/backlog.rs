//! What waits right behind the greeting, and what has to wait until it is out.
//!
//! What happens meanwhile is stored, so it is read with the rest, and only its place is
//! remembered. What the rest never has, own messages and those of rooms, is held here.

use std::collections::{BTreeMap, HashMap};

use super::CourierManners;
use super::encode::{self, Keys};
use super::extras;
use super::session::{CourierSession, Phase, Tag};
use crate::domain::{
    Collecting, Command, ConversationId, LetterCommand, LetterReply, Outcome, Place, Reply, Shown,
};
use crate::session::{Request, Step};
use crate::settings::DeliveryConfirm;
use crate::transport::Close;
use crate::transport::websocket::Utf8Bytes;

/// How far the waiting messages are.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Written so far.
    count: u64,
    /// Whether it is not the one behind the greeting, whose end is told.
    later: bool,
    /// From where on they have to be read once more.
    missed: Option<Place>,
    /// Frames that are not among them, each with its place.
    held: BTreeMap<Place, Utf8Bytes>,
    held_bytes: usize,
}

impl Backlog {
    /// What a connection has missed that was live already.
    pub(super) fn later() -> Self {
        Self { later: true, ..Self::default() }
    }

    /// A message has appeared that is among those that wait.
    pub(super) fn miss(&mut self, place: Place) {
        self.missed = Some(self.missed.map_or(place, |missed| missed.min(place)));
    }

    /// A message has appeared that is not. What a reader this slow has no room for is lost.
    pub(super) fn hold(&mut self, place: Place, frame: Utf8Bytes, manners: &CourierManners) {
        let bytes = self.held_bytes + frame.len();
        if self.held.len() < manners.held_frames && bytes <= manners.held_bytes {
            self.held_bytes = bytes;
            self.held.insert(place, frame);
        }
    }

    /// What is held and comes before a place.
    fn let_go(&mut self, before: Place) -> impl Iterator<Item = Utf8Bytes> + use<> {
        let later = self.held.split_off(&before);
        let gone = std::mem::replace(&mut self.held, later);
        self.held_bytes -= gone.values().map(|frame| frame.len()).sum::<usize>();
        gone.into_values()
    }
}

/// The request for what waits.
pub(super) fn collect(collecting: Collecting) -> Request<Tag> {
    Request::run(Command::Letters(LetterCommand::Collect(collecting)), Tag::Waiting)
}

/// Messages were missed, the first of them at this place, while something was written.
pub(super) fn missed(session: &mut CourierSession, first: Place) -> Step<CourierSession> {
    match &mut session.phase {
        Phase::Unknown => Step::idle(),
        Phase::Waiting { backlog, .. } => {
            backlog.miss(first);
            Step::idle()
        }
        Phase::Live { user } => {
            let user = *user;
            session.phase = Phase::Waiting { user, backlog: Backlog::later() };
            Step::ask(collect(Collecting { from: None, after: Place::new(first.get() - 1) }))
        }
    }
}

/// A page of what waits.
pub(super) fn collected(session: &mut CourierSession, outcome: Outcome) -> Step<CourierSession> {
    let Ok(Reply::Letters(LetterReply::Waiting { messages, next })) = outcome else {
        return Step::idle().and_close(Close::Fault);
    };
    let Phase::Waiting { user, backlog } = &mut session.phase else { return Step::idle() };
    let user = *user;
    let keys = Keys { aliases: session.manners.backlog_aliases, sender: session.extras };
    let mut step = Step::idle();
    let mut reached: HashMap<ConversationId, Place> = HashMap::new();
    for (kind, Shown { message, sender }) in &messages {
        let Some(place) = message.place else { continue };
        let known = session.shown.entry(message.conversation).or_insert(Place::new(0));
        if place <= *known {
            continue;
        }
        *known = place;
        reached.insert(message.conversation, place);
        step = backlog.let_go(place).fold(step, Step::and_reply);
        let url = &session.manners.public_url;
        if let Some(frame) = encode::message(message, sender, *kind, url, keys) {
            step = step.and_reply(frame);
            backlog.count += 1;
        }
    }
    let again = next.or_else(|| {
        let after = Place::new(backlog.missed.take()?.get() - 1);
        Some(Collecting { from: None, after })
    });
    for (conversation, place) in reached {
        step = shows(step, &session.manners, conversation, place);
    }
    if let Some(again) = again {
        return step.and_ask(collect(again));
    }
    let Phase::Waiting { backlog, .. } =
        std::mem::replace(&mut session.phase, Phase::Live { user })
    else {
        return step;
    };
    if session.extras && !backlog.later {
        step = step.and_reply(extras::backlog_done(backlog.count));
    }
    backlog.held.into_values().fold(step, Step::and_reply)
}

/// The step shows everything of a conversation up to a place.
pub(super) fn shows(
    step: Step<CourierSession>,
    manners: &CourierManners,
    conversation: ConversationId,
    place: Place,
) -> Step<CourierSession> {
    match manners.delivery_confirm {
        DeliveryConfirm::Pong => step.and_shows(conversation, place),
        DeliveryConfirm::Write => {
            let arrived = LetterCommand::Arrived { conversation, place };
            step.and_ask(Request::run(Command::Letters(arrived), Tag::Quiet))
        }
    }
}
