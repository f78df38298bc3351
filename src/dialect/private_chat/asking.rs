//! What the packets of a client are followed by.

use std::time::Duration;

use tokio::time::Instant;

use super::codec::{Meaning, Packet, Post};
use super::encode::Mistake;
use super::session::{PrivateChatSession, Tag, dialogs};
use crate::domain::{Command, Dialect, DialogCommand, Draft, MessageId, Text};
use crate::session::{Request, Step};

/// At most one list of active users in this time.
const LISTS: Duration = Duration::from_secs(1);
/// Typing that goes on is looked at so often; the rest is dropped.
const KEYS: Duration = Duration::from_millis(500);
/// How long marks wait for others to join them.
const MARKS: Duration = Duration::from_millis(20);
/// Marks that wait at most.
const MARKS_MAX: usize = 200;

impl PrivateChatSession {
    pub(super) fn take(&mut self, packet: Packet) -> Step<Self> {
        let meaning = match packet.meaning(self.has_extras()) {
            Ok(meaning) => meaning,
            Err(mistake) => return self.mistake(&mistake),
        };
        if let Meaning::MarkSeen(message) = meaning {
            return self.note_seen(message);
        }
        let step = self.flush_marks(Step::idle());
        let ask = |command| dialogs(command, Tag::Quiet);
        match meaning {
            Meaning::Nothing | Meaning::MarkSeen(_) => step,
            Meaning::Post(post) => {
                let next = self.post(packet, post);
                step.and_then(next)
            }
            Meaning::Announce => step.and_ask(ask(DialogCommand::Announce)),
            Meaning::Rest => step.and_ask(ask(DialogCommand::Rest)),
            Meaning::ListOnline => step.and_ask(dialogs(
                DialogCommand::ListOnline(self.opponent_id()),
                Tag::Ask(Box::new(packet)),
            )),
            Meaning::ListActive => {
                let next = self.list_active(true);
                step.and_then(next)
            }
            Meaning::Type(to) => {
                let next = self.type_to(to);
                step.and_then(next)
            }
            Meaning::Read { with, before, limit } => {
                let with = with.unwrap_or_else(|| self.opponent_name().to_owned());
                let read = DialogCommand::Read { with, before, limit };
                step.and_ask(dialogs(read, Tag::Ask(Box::new(packet))))
            }
            Meaning::List => step.and_ask(dialogs(DialogCommand::List, Tag::Ask(Box::new(packet)))),
            Meaning::Edit { message, text } => {
                let Ok(text) = Text::new(text, self.manners.max_text_chars) else {
                    let mistake = packet.blame(Mistake::too_long(self.manners.max_text_chars));
                    return step.and_then(self.mistake(&mistake));
                };
                let edit = DialogCommand::Edit { message, text };
                step.and_ask(dialogs(edit, Tag::Ask(Box::new(packet))))
            }
            Meaning::Remove(message) => {
                let remove = DialogCommand::Remove { message };
                step.and_ask(dialogs(remove, Tag::Ask(Box::new(packet))))
            }
        }
    }

    fn note_seen(&mut self, message: MessageId) -> Step<Self> {
        if !self.seen.contains(&message) {
            self.seen.push(message);
        }
        if self.seen.len() >= MARKS_MAX {
            return self.flush_marks(Step::idle());
        }
        self.due.marks.get_or_insert_with(|| Instant::now() + MARKS);
        self.waking(Step::idle())
    }

    pub(super) fn post(&mut self, packet: Packet, post: Post) -> Step<Self> {
        self.typed = None;
        let Ok(text) = Text::new(post.text.clone(), self.manners.max_text_chars) else {
            let mistake = packet.blame(Mistake::too_long(self.manners.max_text_chars));
            return self.mistake(&mistake);
        };
        let to = post.to.as_deref().unwrap_or(self.opponent_name());
        let (reference, aside) = (post.reference.clone(), post.aside.clone());
        let known = self.opponent.as_ref().filter(|opponent| opponent.user.username == to);
        let command = match known.and_then(|opponent| opponent.conversation) {
            Some(conversation) => {
                let words = Draft::words(conversation, text, Dialect::PrivateChat);
                Command::PostMessage(Draft { reference, aside, ..words })
            }
            None => Command::Dialogs(DialogCommand::Post {
                to: to.to_owned(),
                text,
                reference,
                aside,
                open: self.manners.auto_dialog,
            }),
        };
        let tag = Tag::Post { packet: Box::new(packet), post: Box::new(post) };
        Step::ask(Request::run(command, tag))
    }

    fn type_to(&mut self, to: Option<String>) -> Step<Self> {
        let now = Instant::now();
        let to = to.filter(|to| to != self.opponent_name());
        if let Some((then, whom)) = &self.typed
            && *whom == to
            && now < *then + KEYS
        {
            return Step::idle();
        }
        self.typed = Some((now, to.clone()));
        let known = self.opponent.as_ref().filter(|_| to.is_none());
        let command = match known.and_then(|opponent| opponent.conversation) {
            Some(conversation) => {
                let (typing, dialect) = (true, Dialect::PrivateChat);
                Command::SetTyping { conversation, typing, dialect }
            }
            None => Command::Dialogs(DialogCommand::Type {
                to: to.unwrap_or_else(|| self.opponent_name().to_owned()),
                open: self.manners.auto_dialog,
            }),
        };
        Step::ask(Request::run(command, Tag::Quiet))
    }

    /// The list of active users, now or as soon as it may be sent again.
    pub(super) fn list_active(&mut self, asked: bool) -> Step<Self> {
        let now = Instant::now();
        self.due.asked |= asked;
        if let Some(at) = self.listed.map(|then| then + LISTS).filter(|at| *at > now) {
            self.due.list.get_or_insert(at);
            return self.waking(Step::idle());
        }
        self.due.list = None;
        self.listed = Some(now);
        let (listed, asked) = (self.manners.user_list, std::mem::take(&mut self.due.asked));
        let list = DialogCommand::ListActive { listed, asked };
        Step::ask(dialogs(list, Tag::ListActive))
    }
}
