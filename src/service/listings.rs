//! Lists of messages that are sent piece by piece: their words are read when there is room for them.

use std::collections::{HashMap, VecDeque};

use crate::domain::{ConversationId, Kind, LinkId, Message, Refusal, Written};
use crate::store::{Entry, Store, pieces};

/// Messages of one list, in its order; kept without their words.
#[derive(Clone, Debug)]
pub struct MessageList {
    store: Store,
    /// Where they were written, if all were in one conversation.
    place: Option<(Kind, ConversationId)>,
    entries: Vec<Entry>,
}

impl MessageList {
    pub(super) const fn new(
        store: Store,
        place: Option<(Kind, ConversationId)>,
        entries: Vec<Entry>,
    ) -> Self {
        Self { store, place, entries }
    }

    /// The pieces in which it is read.
    pub fn pieces(&self) -> impl Iterator<Item = &[Entry]> {
        pieces(&self.entries)
    }

    /// Those that were written under these memberships, one membership after the other, and how many each has.
    pub fn grouped(&self, links: &[LinkId]) -> (Self, Vec<usize>) {
        let mut own: HashMap<_, Vec<_>> = links.iter().map(|link| (*link, Vec::new())).collect();
        for entry in &self.entries {
            if let Some(entries) = entry.link.and_then(|link| own.get_mut(&link)) {
                entries.push(*entry);
            }
        }
        let (mut entries, mut counts) = (Vec::new(), Vec::new());
        for link in links {
            let mut some = own.remove(link).unwrap_or_default();
            counts.push(some.len());
            entries.append(&mut some);
        }
        (Self { store: self.store.clone(), place: self.place, entries }, counts)
    }

    /// Reads it message by message.
    pub const fn reader(&self) -> Reader<'_> {
        Reader { list: self, rest: self.entries.as_slice(), ready: VecDeque::new() }
    }

    /// The messages of a piece, without their files. One that was removed meanwhile is left out.
    pub async fn messages(&self, piece: &[Entry]) -> Result<Vec<Message>, Refusal> {
        Ok(match self.place {
            Some((kind, conversation)) => {
                self.store.read_messages(kind, conversation, piece).await?
            }
            None => self.store.messages_of(piece).await?,
        })
    }

    /// The same with their files and by what right they were written.
    pub async fn written(&self, piece: &[Entry]) -> Result<Vec<Written>, Refusal> {
        let Some((kind, conversation)) = self.place else { return Ok(Vec::new()) };
        Ok(self.store.read_written(kind, conversation, piece).await?)
    }
}

/// Where somebody is in a list.
#[derive(Debug)]
pub struct Reader<'a> {
    list: &'a MessageList,
    rest: &'a [Entry],
    ready: VecDeque<Option<Message>>,
}

impl Reader<'_> {
    /// The next message, without its files; none if it was removed meanwhile.
    pub async fn next(&mut self) -> Result<Option<Message>, Refusal> {
        if self.ready.is_empty()
            && let Some(piece) = pieces(self.rest).next()
        {
            self.rest = &self.rest[piece.len()..];
            let found = self.list.messages(piece).await?;
            let mut found: HashMap<_, _> =
                found.into_iter().map(|message| (message.id, message)).collect();
            self.ready.extend(piece.iter().map(|entry| found.remove(&entry.id)));
        }
        Ok(self.ready.pop_front().flatten())
    }
}
