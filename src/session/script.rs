//! A stage for session tests: the client speaks, the server answers, events happen.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

use super::{Delivery, Intent, Output, Request, Session, Step};
use crate::domain::{Event, Outcome, UserId};
use crate::transport::Close;

/// A play in which the test takes all parts but the session's.
pub(crate) struct Script<S: Session> {
    session: S,
    written: VecDeque<Output<S::Outgoing>>,
    asked: VecDeque<Request<S::Tag>>,
    unbound: bool,
    closed: Option<Close>,
}

impl<S: Session> Script<S>
where
    S::Outgoing: Debug + PartialEq,
    S::Tag: Debug,
{
    /// The connection is up.
    pub(crate) fn open(mut session: S) -> Self {
        let step = session.on_open();
        Self::begun(session, step)
    }

    /// The connection is up, and the session has wanted this already.
    pub(crate) fn begun(session: S, step: Step<S>) -> Self {
        let mut script = Self {
            session,
            written: VecDeque::new(),
            asked: VecDeque::new(),
            unbound: false,
            closed: None,
        };
        script.note(step);
        script
    }

    fn note(&mut self, step: Step<S>) {
        self.written.extend(step.outputs);
        self.asked.extend(step.requests);
        self.unbound |= step.unbind;
        self.closed = self.closed.or(step.close);
    }

    /// The client sends a frame.
    pub(crate) fn client(mut self, frame: S::Incoming) -> Self {
        let step = self.session.on_frame(frame);
        self.note(step);
        self
    }

    /// The session has asked for this, in the form `Debug` writes, and is told the outcome.
    #[track_caller]
    pub(crate) fn asks(mut self, intent: &Intent, outcome: Outcome) -> Self {
        let Request { intent: asked, tag } = self.asked.pop_front().expect("nothing was asked");
        assert_eq!(format!("{asked:?}"), format!("{intent:?}"));
        let step = self.session.on_outcome(tag, outcome);
        self.note(step);
        self
    }

    /// What was written up to now is of no interest.
    pub(crate) fn forget_what_was_read(&mut self) {
        self.written.clear();
    }

    /// The time that a step has asked for has passed.
    pub(crate) fn wakes(mut self) -> Self {
        let step = self.session.on_wake();
        self.note(step);
        self
    }

    /// Something happens that the session listens to.
    pub(crate) fn event(self, event: Event) -> Self {
        self.event_between(None, event)
    }

    /// The same, in the direct conversation of two users.
    pub(crate) fn event_between(mut self, pair: Option<(UserId, UserId)>, event: Event) -> Self {
        let step = self.session.on_event(&Arc::new(Delivery::new(event).between(pair)));
        self.note(step);
        self
    }

    /// The same, in a room, told as mail.
    pub(crate) fn event_in_room(mut self, event: Event) -> Self {
        let step = self.session.on_event(&Arc::new(Delivery::new(event).in_room(true)));
        self.note(step);
        self
    }

    /// The client reads exactly these frames.
    #[track_caller]
    pub(crate) fn client_reads(mut self, frames: impl IntoIterator<Item = S::Outgoing>) -> Self {
        let frames: Vec<_> = frames.into_iter().collect();
        let read: Vec<_> = self
            .written
            .drain(..)
            .filter_map(|output| match output {
                Output::Frame(frame) | Output::Reply(frame) | Output::Ephemeral(frame) => {
                    Some(frame)
                }
                Output::Join(_) | Output::Leave(_) => None,
            })
            .collect();
        assert_eq!(read, frames);
        assert!(self.asked.is_empty(), "still asked: {:?}", self.asked);
        self
    }

    /// The connection no longer speaks for anybody.
    #[track_caller]
    pub(crate) fn ends_unbound(self) -> Self {
        assert!(self.unbound);
        self
    }

    /// The server ends the connection.
    #[track_caller]
    pub(crate) fn closes(self, close: Close) {
        assert_eq!(self.closed, Some(close));
    }
}
