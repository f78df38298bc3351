//! What a client is told when its command is not carried out.

use std::borrow::Cow;

/// A refusal the client hears about; the connection stays open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    kind: RefusalKind,
    text: Cow<'static, str>,
}

/// The kinds of refusal; programs rely on them, through `RefusalKind::code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The client has not said who it is, or what it said does not hold (any more).
    Unidentified,
    /// It was right once, and its time is over.
    Expired,
    /// The password was wrong.
    WrongPassword,
    /// The account exists and is switched off, or not yet switched on.
    Inactive,
    /// There is no such thing.
    NotFound,
    /// The client is known and may not do this.
    Forbidden,
    /// It is so already, or the name is taken.
    Conflict,
    /// What was sent makes no sense.
    Malformed,
    /// More bytes than allowed.
    TooLarge,
    /// Too often; try again after so many seconds.
    TooOften {
        /// Seconds until the next try has a chance.
        retry_after: u64,
    },
    /// It costs more coins than the account has.
    TooPoor {
        /// What it costs.
        price: i64,
        /// What there is.
        balance: i64,
    },
    /// The account has as many connections as it may have.
    TooManyConnections,
    /// The called party has no connection.
    Offline,
    /// There are as many as there may be.
    RoomFull,
    /// Our fault, and nothing was stored; the details are in the log.
    Unavailable,
    /// Our fault, and it is not known whether it was stored; the same reference finds out.
    Unknown,
}

impl RefusalKind {
    /// A name that programs may rely on; the wording of the text may change, this may not.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unidentified => "unidentified",
            Self::Expired => "expired",
            Self::WrongPassword => "wrong_password",
            Self::Inactive => "inactive",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::TooOften { .. } => "rate_limited",
            Self::TooPoor { .. } => "insufficient_balance",
            Self::TooManyConnections => "too_many_connections",
            Self::Offline => "offline",
            Self::RoomFull => "room_full",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
        }
    }
}

impl Refusal {
    /// A refusal with its sentence for people.
    pub fn new(kind: RefusalKind, text: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, text: text.into() }
    }

    /// The client has not said who it is.
    pub fn unidentified() -> Self {
        Self::new(RefusalKind::Unidentified, "say who you are first")
    }

    /// There is no such thing.
    pub fn not_found(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RefusalKind::NotFound, text)
    }

    /// The client may not do this.
    pub fn forbidden(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RefusalKind::Forbidden, text)
    }

    /// It is so already.
    pub fn conflict(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RefusalKind::Conflict, text)
    }

    /// What was sent makes no sense.
    pub fn malformed(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RefusalKind::Malformed, text)
    }

    /// Our fault, and nothing was stored.
    pub fn unavailable() -> Self {
        Self::new(RefusalKind::Unavailable, "the server could not do this right now")
    }

    /// Our fault, and it is not known whether it was stored.
    pub fn unknown() -> Self {
        Self::new(RefusalKind::Unknown, "the server does not know whether this was stored")
    }

    /// What kind it is.
    pub const fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// Whether it comes again too soon.
    pub const fn is_too_often(&self) -> bool {
        matches!(self.kind(), RefusalKind::TooOften { .. })
    }

    /// Whether it says nothing about the one who asked.
    pub const fn is_our_fault(&self) -> bool {
        matches!(self.kind, RefusalKind::Unavailable | RefusalKind::Unknown)
    }

    /// The kind's name, for programs.
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }
}
