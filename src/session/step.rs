//! What a session wants done.

use std::time::Duration;

use super::Session;
use crate::domain::{Command, ConversationId, Credentials, Place, PresenceMark};
use crate::transport::Close;

/// What is to be carried out, before it is known what becomes of it.
#[derive(Clone, Debug)]
pub enum Intent {
    /// Find out who this is, and let the connection speak for that account.
    Identify(Credentials),
    /// Let the connection speak for nobody any more.
    Forget,
    /// Carry out a command.
    Run(Command),
}

/// Something to carry out, and what the dialect needs to answer it.
#[derive(Clone, Debug)]
pub struct Request<T> {
    /// What.
    pub intent: Intent,
    /// What the answer will have to mention.
    pub tag: T,
}

impl<T> Request<T> {
    /// A command to run.
    pub const fn run(command: Command, tag: T) -> Self {
        Self { intent: Intent::Run(command), tag }
    }
}

/// Something for the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<F> {
    /// A frame that must arrive.
    Frame(F),
    /// A command's own reply, which is as long as it was asked for.
    Reply(F),
    /// A frame that may be lost when the reader lags behind.
    Ephemeral(F),
    /// The transport's own group of this name shall count the connection in.
    Join(String),
    /// The transport's own group of this name shall count the connection out.
    Leave(String),
}

/// What a session wants done, in this order: outputs, requests, the end.
#[derive(Debug)]
pub struct Step<S: Session> {
    pub(super) outputs: Vec<Output<S::Outgoing>>,
    pub(super) requests: Vec<Request<S::Tag>>,
    pub(super) shown: Vec<(ConversationId, Place)>,
    pub(super) seen: Option<PresenceMark>,
    pub(super) unbind: bool,
    pub(super) wake: Option<Duration>,
    pub(super) doubt: Option<Duration>,
    pub(super) close: Option<Close>,
}

impl<S: Session> Step<S> {
    /// Nothing.
    pub const fn idle() -> Self {
        Self {
            outputs: Vec::new(),
            requests: Vec::new(),
            shown: Vec::new(),
            seen: None,
            unbind: false,
            wake: None,
            doubt: None,
            close: None,
        }
    }

    /// Send one frame.
    pub fn send(frame: S::Outgoing) -> Self {
        Self::idle().and_send(frame)
    }

    /// Send these frames.
    pub fn send_all(frames: impl IntoIterator<Item = S::Outgoing>) -> Self {
        Self { outputs: frames.into_iter().map(Output::Frame).collect(), ..Self::idle() }
    }

    /// Send these outputs.
    pub fn put(outputs: Vec<Output<S::Outgoing>>) -> Self {
        Self { outputs, ..Self::idle() }
    }

    /// Send a command's own reply, however long it is.
    pub fn reply(frame: S::Outgoing) -> Self {
        Self::idle().and_reply(frame)
    }

    /// Carry out one request.
    pub fn ask(request: Request<S::Tag>) -> Self {
        Self { requests: vec![request], ..Self::idle() }
    }

    /// The same, with its frames as part of a command's own reply.
    #[must_use]
    pub fn in_reply(mut self) -> Self {
        let reply = |output| match output {
            Output::Frame(frame) => Output::Reply(frame),
            other => other,
        };
        self.outputs = self.outputs.into_iter().map(reply).collect();
        self
    }

    /// Whether something is to be carried out, so that an outcome will follow.
    pub const fn is_asking(&self) -> bool {
        !self.requests.is_empty()
    }

    /// And send one frame.
    #[must_use]
    pub fn and_send(mut self, frame: S::Outgoing) -> Self {
        self.outputs.push(Output::Frame(frame));
        self
    }

    /// And send a command's own reply, however long it is.
    #[must_use]
    pub fn and_reply(mut self, frame: S::Outgoing) -> Self {
        self.outputs.push(Output::Reply(frame));
        self
    }

    /// And carry out one request, after those before it.
    #[must_use]
    pub fn and_ask(mut self, request: Request<S::Tag>) -> Self {
        self.requests.push(request);
        self
    }

    /// And everything that the other step wants, behind what this one wants.
    #[must_use]
    pub fn and_then(mut self, other: Self) -> Self {
        self.outputs.extend(other.outputs);
        self.requests.extend(other.requests);
        self.shown.extend(other.shown);
        self.seen = other.seen.or(self.seen);
        self.unbind |= other.unbind;
        self.wake = other.wake.or(self.wake);
        self.doubt = other.doubt.or(self.doubt);
        self.close = self.close.or(other.close);
        self
    }

    /// And call the session again after this time, in the place of what was said before.
    #[must_use]
    pub const fn and_wake(mut self, after: Duration) -> Self {
        self.wake = Some(after);
        self
    }

    /// And end the connection as a lost one unless the client answers within this time.
    #[must_use]
    pub const fn and_doubt(mut self, within: Duration) -> Self {
        self.doubt = Some(within);
        self
    }

    /// And send one frame that may be lost.
    #[must_use]
    pub fn and_send_ephemeral(mut self, frame: S::Outgoing) -> Self {
        self.outputs.push(Output::Ephemeral(frame));
        self
    }

    /// And count the connection into the transport's group.
    #[must_use]
    pub fn and_join(mut self, group: String) -> Self {
        self.outputs.push(Output::Join(group));
        self
    }

    /// And count the connection out of the transport's group.
    #[must_use]
    pub fn and_leave(mut self, group: String) -> Self {
        self.outputs.push(Output::Leave(group));
        self
    }

    /// And these outputs show the message at this place; once the client proves that they
    /// arrived, it counts as delivered.
    #[must_use]
    pub fn and_shows(mut self, conversation: ConversationId, place: Place) -> Self {
        self.shown.push((conversation, place));
        self
    }

    /// And these outputs show everybody's presence as of a mark: what happened before it is
    /// told no more.
    #[must_use]
    pub const fn and_seen(mut self, seen: PresenceMark) -> Self {
        self.seen = Some(seen);
        self
    }

    /// And let the connection speak for nobody any more, at once.
    #[must_use]
    pub const fn and_unbind(mut self) -> Self {
        self.unbind = true;
        self
    }

    /// And end the connection.
    #[must_use]
    pub const fn and_close(mut self, close: Close) -> Self {
        self.close = Some(close);
        self
    }
}
