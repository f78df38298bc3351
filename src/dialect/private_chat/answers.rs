//! What becomes of what a client asked, as its socket answers it.

use std::sync::Arc;

use serde_json::json;

use super::codec::{Packet, Post};
use super::encode::{self, Copy, Mistake};
use super::session::{Opponent, PrivateChatSession, Tag, dialogs};
use crate::domain::{DialogCommand, DialogReply, Outcome, Refusal, RefusalKind, Reply};
use crate::session::Step;
use crate::transport::Close;

/// Own messages whose copies are still to come, at most.
const COPIES: usize = 64;

impl PrivateChatSession {
    pub(super) fn identified(&mut self, outcome: Outcome) -> Step<Self> {
        match outcome {
            Ok(Reply::Identified(identified)) => {
                let Some(owner) = identified.who.user() else {
                    return Step::idle().and_close(Close::Refused("invalid session"));
                };
                self.owner = Some(Arc::clone(owner));
                self.connection = Some(identified.connection);
                Step::ask(dialogs(DialogCommand::Meet(self.named.clone()), Tag::Meet))
            }
            Ok(_) => Step::idle(),
            Err(refusal) if refusal.kind() == RefusalKind::TooManyConnections => {
                Step::idle().and_close(Close::TooMany)
            }
            Err(refusal) if refusal.is_our_fault() => Step::idle().and_close(Close::Fault),
            Err(_) => Step::idle().and_close(Close::Refused("invalid session")),
        }
    }

    pub(super) fn met(&mut self, outcome: Outcome) -> Step<Self> {
        match outcome {
            Ok(Reply::Dialogs(DialogReply::Met { user, conversation })) => {
                let Some(owner) = self.owner_id() else { return Step::idle() };
                let online = user.online;
                let seat = self.manners.sockets.take(owner, user.id);
                self.opponent = Some(Opponent { user, online, conversation, _seat: seat });
                Step::idle()
            }
            Ok(_) => Step::idle(),
            Err(refusal) if refusal.kind() == RefusalKind::NotFound => {
                Step::send(encode::user_not_found(&self.named))
            }
            Err(_) => Step::idle().and_close(Close::Fault),
        }
    }

    pub(super) fn posted(&mut self, packet: Packet, post: Post, outcome: Outcome) -> Step<Self> {
        let (posted, to) = match outcome {
            Ok(Reply::Posted(posted)) => (posted, None),
            Ok(Reply::Dialogs(DialogReply::Posted { posted, conversation, to })) => {
                if let Some(opponent) = &mut self.opponent
                    && opponent.user.id == to.id
                {
                    opponent.conversation = Some(conversation);
                    (posted, None)
                } else {
                    (posted, Some(to))
                }
            }
            Ok(_) => return Step::idle(),
            Err(refusal) => return self.not_posted(packet, post, &refusal),
        };
        let reference = packet.reference.clone().filter(|_| self.has_extras());
        if posted.duplicate {
            let show = DialogCommand::Show(posted.message);
            return Step::ask(dialogs(show, Tag::Ask(Box::new(packet))));
        }
        if to.is_some() || reference.is_some() {
            let receiver =
                to.map_or_else(|| self.opponent_name().into(), |to| to.username.as_str().into());
            self.copies.truncate(COPIES - 1);
            self.copies.push_front((posted.message, receiver, reference));
        }
        Step::idle()
    }

    pub(super) fn not_posted(
        &mut self,
        packet: Packet,
        post: Post,
        refusal: &Refusal,
    ) -> Step<Self> {
        if refusal.kind() == RefusalKind::NotFound {
            // The conversation may have been removed since; then it is looked for anew.
            let removed = self.opponent.as_mut().and_then(|opponent| opponent.conversation.take());
            let to = post.to.as_deref().unwrap_or(self.opponent_name());
            if removed.is_some() && to == self.opponent_name() {
                return self.post(packet, post);
            }
            return Step::send(encode::user_not_found(to));
        }
        self.refused(&packet, refusal)
    }

    pub(super) fn refused(&self, packet: &Packet, refusal: &Refusal) -> Step<Self> {
        if refusal.kind() == RefusalKind::Unknown {
            return Step::idle().and_close(Close::Fault);
        }
        self.mistake(&packet.blame(Mistake::refused(refusal)))
    }

    pub(super) fn vouched(&mut self, packet: Packet, outcome: Outcome) -> Step<Self> {
        match outcome {
            Ok(_) => self.take(packet),
            Err(refusal) if refusal.is_our_fault() => self.refused(&packet, &refusal),
            Err(_) => self.mistake(&packet.blame(Mistake::bad_session())),
        }
    }

    pub(super) fn answered(&mut self, packet: &Packet, outcome: Outcome) -> Step<Self> {
        let reply = match outcome {
            Ok(Reply::Dialogs(reply)) => reply,
            Ok(_) => return Step::idle(),
            Err(refusal) => return self.refused(packet, &refusal),
        };
        let reference = packet.reference.as_ref().filter(|_| self.has_extras());
        match reply {
            DialogReply::Online { names, seen } => {
                if let Some(opponent) = &mut self.opponent {
                    opponent.online = names.contains(&opponent.user.username);
                }
                Step::send(encode::gone_online(names, self.opponent_name())).and_seen(seen)
            }
            DialogReply::Page { page, with, seen } => {
                let Some(owner) = &self.owner else { return Step::idle() };
                let copies = page.messages.iter().filter_map(|shown| {
                    let author = shown.sender.user()?;
                    let receiver = if author.id == owner.id { &with } else { owner };
                    let copy = Copy {
                        message: &shown.message,
                        author: &author.username,
                        receiver: &receiver.username,
                        aside: None,
                        reference: None,
                    };
                    Some((copy, seen.contains(&shown.message.id)))
                });
                let (more, name) = (page.more, &with.username);
                Step::reply(encode::history(name, copies, more, reference, &self.manners))
            }
            DialogReply::Dialogs(list) => {
                let value: Vec<_> = list
                    .iter()
                    .map(|dialog| {
                        json!({
                            "username": dialog.with.username,
                            "online": dialog.with.online,
                            "unread": dialog.unread,
                            "last_message_id": dialog.newest,
                        })
                    })
                    .collect();
                let answer = json!({"type": "dialogs", "value": value});
                Step::reply(encode::answer(&answer, reference))
            }
            DialogReply::Shown { shown, to } => {
                let Some(author) = shown.sender.user() else { return Step::idle() };
                let copy = Copy {
                    message: &shown.message,
                    author: &author.username,
                    receiver: &to.username,
                    aside: None,
                    reference,
                };
                let copy = encode::new_message(copy, self.style, &self.manners);
                copy.map_or_else(Step::idle, Step::send)
            }
            DialogReply::Met { .. }
            | DialogReply::Posted { .. }
            | DialogReply::Dropped
            | DialogReply::Done
            | DialogReply::Active(_) => Step::idle(),
        }
    }
}
