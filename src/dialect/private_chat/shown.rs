//! What happens in dialogs, as one socket shows it.
//!
//! The page decides by the author of a message alone where it belongs, so what it must not
//! show has to be kept from it here.

use std::time::Duration;

use tokio::time::Instant;

use super::encode::{self, Copy};
use super::session::PrivateChatSession;
use crate::domain::{Aside, Dialect, Message, MessageId, Party, UserId};
use crate::session::{Delivery, Step};
use crate::transport::websocket::Utf8Bytes;

/// At most one notice of typing in this time.
const NOTICES: Duration = Duration::from_secs(1);

impl PrivateChatSession {
    /// To whom a message of a direct conversation is written, if this socket shows it.
    pub(super) fn receiver(
        &self,
        pair: (UserId, UserId),
        author: UserId,
        message: MessageId,
    ) -> Option<&str> {
        let owner = self.owner.as_ref()?;
        let (low, high) = pair;
        let other = if owner.id == low { high } else { low };
        if author == owner.id {
            // Elsewhere the page would show it in the wrong dialog.
            if self.opponent_id() == Some(other) {
                return Some(self.opponent_name());
            }
            let copy = self.copies.iter().find(|(id, ..)| *id == message);
            return copy.map(|(_, receiver, _)| &**receiver);
        }
        let here = self.opponent_id() == Some(author);
        let elsewhere = !here && self.manners.sockets.are_open(owner.id, author);
        (!elsewhere).then_some(owner.username.as_str())
    }

    pub(super) fn show_message(
        &mut self,
        delivery: &Delivery,
        message: &Message,
        sender: &Party,
        aside: Option<&Aside>,
    ) -> Step<Self> {
        let (Some(pair), Some(author)) = (delivery.pair(), sender.user()) else {
            return Step::idle();
        };
        let Some(receiver) = self.receiver(pair, author.id, message.id) else {
            return Step::idle();
        };
        let aside = aside.filter(|aside| aside.dialect == Dialect::PrivateChat);
        let copy = Copy { message, author: &author.username, receiver, aside, reference: None };
        let (style, manners) = (self.style, &self.manners);
        let own = self.copies.iter().position(|(id, ..)| *id == message.id);
        let reference = own.and_then(|index| self.copies[index].2.clone());
        let packet = if let Some(reference) = &reference {
            let copy = Copy { reference: Some(reference), ..copy };
            encode::new_message(copy, style, manners)
        } else {
            let rendition = (Dialect::PrivateChat, style.rendition());
            let rendered =
                delivery.render(rendition, |_| encode::new_message(copy, style, manners));
            rendered.as_ref().clone()
        };
        let incoming = Some(author.id) == self.opponent_id();
        if let Some(index) = own {
            self.copies.remove(index);
        }
        let Some(packet) = packet else { return Step::idle() };
        match message.place.filter(|_| incoming) {
            Some(place) => Step::send(packet).and_shows(message.conversation, place),
            None => Step::send(packet),
        }
    }

    /// A change of a message, which only those with extras hear of.
    pub(super) fn show_change(
        &self,
        delivery: &Delivery,
        message: &Message,
        sender: &Party,
        encode: impl FnOnce(Copy<'_>) -> Utf8Bytes,
    ) -> Step<Self> {
        let (Some(pair), Some(author)) = (delivery.pair(), sender.user()) else {
            return Step::idle();
        };
        let receiver = self.receiver(pair, author.id, message.id);
        let is_told = self.has_extras() && message.place.is_some();
        let (true, Some(receiver)) = (is_told, receiver) else {
            return Step::idle();
        };
        let copy =
            Copy { message, author: &author.username, receiver, aside: None, reference: None };
        Step::send(encode(copy))
    }

    pub(super) fn show_read(
        &self,
        delivery: &Delivery,
        reader: &Party,
        marked: impl Iterator<Item = MessageId>,
    ) -> Step<Self> {
        let Some(opponent) = &self.opponent else { return Step::idle() };
        let is_here = reader.user().is_some_and(|reader| reader.id == opponent.user.id);
        if delivery.pair().is_none() || !is_here {
            return Step::idle();
        }
        Step::send_all(marked.map(|message| encode::read(&opponent.user.username, message)))
    }

    pub(super) fn show_typing(
        &mut self,
        delivery: &Delivery,
        who: &Party,
        event: (bool, bool, Dialect),
    ) -> Step<Self> {
        let (typing, changed, dialect) = event;
        let Some(opponent) = &self.opponent else { return Step::idle() };
        let is_here = who.user().is_some_and(|who| who.id == opponent.user.id);
        let told = changed || dialect == Dialect::PrivateChat;
        if delivery.pair().is_none() || !is_here || !told || !(typing || self.has_extras()) {
            return Step::idle();
        }
        let now = Instant::now();
        if typing {
            if self.shown_typing.is_some_and(|then| now < then + NOTICES) {
                return Step::idle();
            }
            self.shown_typing = Some(now);
        }
        Step::idle().and_send_ephemeral(encode::typing(&opponent.user.username, typing))
    }

    /// Somebody came or went, as those hear it who have a dialog with them.
    pub(super) fn show_presence(&mut self, who: &Party, online: bool) -> Step<Self> {
        let (Some(owner), Some(who)) = (self.owner_id(), who.user()) else { return Step::idle() };
        let opponent = self.opponent.as_mut();
        let here = opponent.is_some_and(|opponent| {
            let here = opponent.user.id == who.id;
            if here {
                opponent.online = online;
            }
            here
        });
        if !here && (who.id == owner || self.manners.announce_bound) {
            return Step::idle();
        }
        if !online {
            return Step::send(encode::gone_offline(&who.username));
        }
        // Without the opponent in it the page would take the opponent for offline.
        let beside = self.opponent.as_ref().filter(|opponent| !here && opponent.online);
        let beside = beside.map(|opponent| opponent.user.username.as_str());
        Step::send(encode::came_online(&who.username, beside))
    }
}
