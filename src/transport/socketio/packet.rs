//! What travels over Socket.IO: plain data, so that a dialect can be tested without a socket.

use std::{borrow::Cow, sync::Arc};

use serde_json::{Value, value::RawValue};

/// An event a client sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// The channel it was sent on.
    pub channel: String,
    /// Its first argument; further ones are ignored.
    pub data: Data,
    /// Where to answer, if the client asked for an acknowledgement.
    pub ack: Option<AckId>,
}

/// The argument of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// There is none.
    Missing,
    /// Well-formed JSON.
    Json(Json),
    /// Bytes, or JSON with bytes inside; they are not kept.
    Binary,
    /// More than one event may hold; it is not kept.
    TooLarge,
    /// JSON that nobody can mean: a number beyond all bounds, brackets a hundred deep.
    Unreadable,
}

/// A piece of JSON as its text, which every reader can do something with.
#[derive(Clone, Debug)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// Its text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The same piece, to be passed on.
    pub fn shared(&self) -> Arc<RawValue> {
        self.0.clone()
    }
}

impl From<Box<RawValue>> for Json {
    fn from(raw: Box<RawValue>) -> Self {
        Self(raw.into())
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        let raw = RawValue::from_string(value.to_string()).expect("a value is JSON");
        Self(raw.into())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

/// The client's number of an event that asks for an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckId(pub i64);

/// What a client is sent.
#[derive(Clone, Debug)]
pub enum Frame {
    /// An event with one argument.
    Emit {
        /// The channel.
        channel: Cow<'static, str>,
        /// The argument; rendered once, however many read it.
        json: Arc<RawValue>,
    },
    /// The answer to an event that asked for one.
    Ack {
        /// Which event.
        to: AckId,
        /// The answer.
        json: Arc<RawValue>,
    },
}

impl Frame {
    /// An event on one of the server's own channels.
    pub const fn emit(channel: &'static str, json: Arc<RawValue>) -> Self {
        Self::Emit { channel: Cow::Borrowed(channel), json }
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Emit { channel, json }, Self::Emit { channel: other, json: theirs }) => {
                channel == other && json.get() == theirs.get()
            }
            (Self::Ack { to, json }, Self::Ack { to: other, json: theirs }) => {
                to == other && json.get() == theirs.get()
            }
            _ => false,
        }
    }
}
