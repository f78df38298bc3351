//! A client's frames on their way to the services, and what comes back of them.

use std::collections::{HashMap, VecDeque};

use super::codec::{About, Called, Meaning};
use super::session::{CourierSession, Tag};
use super::{complaint, encode, extras};
use crate::domain::{
    Addressee, Command, ConversationId, Dialect, Kind, LetterCommand, LetterReply, Outcome,
    RefusalKind, Reply,
};
use crate::session::{Request, Step};
use crate::transport::Close;

/// Names of conversations that one connection may have given.
const NAMES: usize = 4096;

/// What the client called the conversations it began, the latest under each name.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashMap<(u64, bool), ConversationId>,
    order: VecDeque<(u64, bool)>,
}

impl Names {
    fn insert(&mut self, mark: u64, kind: Kind, conversation: ConversationId) {
        let key = (mark, kind == Kind::Group);
        if self.known.insert(key, conversation).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > NAMES
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn find(&self, mark: u64, kind: Option<Kind>) -> Option<ConversationId> {
        let of = |group| self.known.get(&(mark, group)).copied();
        match kind {
            Some(kind) => of(kind == Kind::Group),
            None => of(false).or_else(|| of(true)),
        }
    }
}

fn addressee(session: &CourierSession, called: &Called, kind: Option<Kind>) -> Addressee {
    Addressee { numbered: called.numbered, named: session.names.find(called.mark, kind) }
}

/// A frame that makes sense.
pub(super) fn asked(
    session: &CourierSession,
    about: About,
    meaning: Meaning,
) -> Step<CourierSession> {
    let to = |kind| about.called.as_ref().map(|called| addressee(session, called, kind));
    let to_any = || to(None).unwrap_or(Addressee { numbered: None, named: None });
    let command = match meaning {
        Meaning::Seen(messages) => Command::MarkSeen { messages, dialect: Dialect::Courier },
        Meaning::OpenPersonal { members } => {
            let Some(user) = session.user() else { return Step::idle() };
            let others: Vec<_> = members.iter().filter(|id| **id != user).collect();
            match (others.as_slice(), members.len()) {
                ([other], 1 | 2) => Command::Letters(LetterCommand::OpenPersonal(**other)),
                _ => return Step::reply(complaint::bad_members(&about)),
            }
        }
        Meaning::OpenGroup { members, title, description } => {
            let reference = about.reference.clone();
            Command::Letters(LetterCommand::OpenGroup { members, title, description, reference })
        }
        Meaning::Post { kind, text } => Command::Letters(LetterCommand::Post {
            to: to(Some(kind)).unwrap_or_else(to_any),
            kind,
            text,
            reference: about.reference.clone(),
        }),
        Meaning::Status(messages) => Command::Letters(LetterCommand::Status(messages)),
        Meaning::Describe => Command::Letters(LetterCommand::Describe(to_any())),
        Meaning::DescribeAll => Command::Letters(LetterCommand::DescribeAll),
        Meaning::History { before, limit } => {
            Command::Letters(LetterCommand::ReadBefore { of: to_any(), before, limit })
        }
        Meaning::Typing(typing) => {
            Command::Letters(LetterCommand::SetTyping { to: to_any(), typing })
        }
    };
    Step::ask(Request::run(command, Tag::Asked(about)))
}

/// What became of it.
pub(super) fn answer(
    session: &mut CourierSession,
    about: &About,
    outcome: Outcome,
) -> Step<CourierSession> {
    let reply = match outcome {
        Ok(Reply::Letters(reply)) => reply,
        Ok(_) => return Step::idle(),
        // What was asked may be stored, and may not: the client asks again when it is back.
        Err(refusal) if refusal.kind() == RefusalKind::Unknown => {
            return Step::idle().and_close(Close::Fault);
        }
        Err(refusal) => return Step::reply(complaint::refused(about, &refusal)),
    };
    Step::reply(match reply {
        LetterReply::Opened(conversation) => {
            let group = about.request.as_deref() == Some("init_group");
            let kind = if group { Kind::Group } else { Kind::Direct };
            if let Some(called) = &about.called {
                session.names.insert(called.mark, kind, conversation);
            }
            encode::opened(about, conversation, kind)
        }
        LetterReply::UnknownUsers(users) => complaint::unknown_users(about, &users),
        LetterReply::TooManyMembers { limit } => complaint::group_too_large(about, limit),
        LetterReply::Posted(message) => {
            session.own = Some(message);
            encode::posted(about, message)
        }
        LetterReply::Statuses(found) => extras::statuses(&found),
        LetterReply::Described(found) => extras::described(&found),
        LetterReply::AllDescribed(found) => extras::all_described(&found),
        LetterReply::Read { conversation, kind, page } => {
            extras::history(conversation, kind, &page, &session.manners.public_url)
        }
        LetterReply::Waiting { .. } | LetterReply::Done => return Step::idle(),
    })
}
