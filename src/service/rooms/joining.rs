//! Joining a room, reading it, leaving it.
//!
//! A join listens first and reads then: what is told meanwhile is held back by the connection,
//! which knows by the place of what it has read what of that is new.

use std::time::Duration;

use super::{Caller, Services, names, unknown_room};
use crate::domain::{
    ConversationId, MessageId, Past, Place, Refusal, Replay, RoomReply, Shown, Topic,
};
use crate::hub::Kept;
use crate::policy::{self, MayRead};
use crate::store::ParkedPlace;

impl Services {
    pub(super) async fn join_room(
        &self,
        caller: &Caller,
        room: ConversationId,
        past: Past,
        groups: bool,
        keep: Option<Duration>,
    ) -> Result<RoomReply, Refusal> {
        let standing = self.room_of(caller, room, groups).await?;
        let connection = caller.connection.ok_or_else(unknown_room)?;
        if self.hub().attendance().is_in(room, connection) {
            let present = names(&self.hub().attendance().present(room));
            let room = standing.conversation.clone().into();
            return Ok(RoomReply::Joined { room, replay: None, present });
        }
        let kept =
            keep.map(|_| Kept { login: caller.login, confirmed: Place::new(0), until: None });
        self.hub().subscribe(connection, Topic::Attendance(room));
        if let Err(refusal) = self.attend(caller, room, kept).await {
            self.hub().unsubscribe(connection, Topic::Attendance(room));
            return Err(refusal);
        }
        let replay = match self.look_back(caller, room, past, keep.is_some()).await {
            Ok(replay) => replay,
            Err(refusal) => {
                // Who is told that it was not done must not be there.
                self.leave_conversation(caller, room).await;
                return Err(refusal);
            }
        };
        let present = names(&self.hub().attendance().present(room));
        let room = standing.conversation.clone().into();
        Ok(RoomReply::Joined { room, replay: Some(replay), present })
    }

    async fn look_back(
        &self,
        caller: &Caller,
        room: ConversationId,
        past: Past,
        keep: bool,
    ) -> Result<Replay, Refusal> {
        let permit = policy::may_read(&*self.standing_in(caller, room).await?)?;
        let replay = self.read_past(&permit, past).await?;
        if keep {
            self.note_place(caller, &permit, &replay).await?;
        }
        Ok(replay)
    }

    /// Everything before what the connection is shown counts as arrived.
    async fn note_place(
        &self,
        caller: &Caller,
        permit: &MayRead,
        replay: &Replay,
    ) -> Result<(), Refusal> {
        let Some(connection) = caller.connection else { return Ok(()) };
        let room = permit.conversation();
        let first = replay.messages.first().and_then(|shown| shown.message.place);
        let confirmed = match first {
            Some(place) => Place::new(place.get() - 1),
            None => self.newest_place(permit).await?,
        };
        let attendance = self.hub().attendance();
        attendance.confirm(room, connection, confirmed);
        let Some((confirmed, until)) = attendance.kept(room, caller.login) else { return Ok(()) };
        let place = ParkedPlace { login: caller.login, room, confirmed, until };
        Ok(self.store().keep_places(&[place]).await?)
    }

    async fn newest_place(&self, permit: &MayRead) -> Result<Place, Refusal> {
        let newest = self.read_past(permit, Past::Newest(1)).await?;
        let place = newest.messages.last().and_then(|shown| shown.message.place);
        Ok(place.unwrap_or(Place::new(0)))
    }

    pub(super) async fn leave_room(
        &self,
        caller: &Caller,
        room: ConversationId,
        groups: bool,
    ) -> Result<RoomReply, Refusal> {
        let standing = self.room_of(caller, room, groups).await?;
        if let Some(connection) = caller.connection {
            self.typing().left(caller.principal, room, connection).await;
        }
        self.leave_conversation(caller, room).await;
        Ok(RoomReply::Left(standing.conversation.clone().into()))
    }

    pub(super) async fn read_room(
        &self,
        caller: &Caller,
        room: ConversationId,
        past: Past,
    ) -> Result<RoomReply, Refusal> {
        let permit = policy::may_read(&*self.standing_in(caller, room).await?)?;
        Ok(RoomReply::Replay(self.read_past(&permit, past).await?))
    }

    /// Some messages in the order in which they were shown.
    pub(super) async fn read_past(&self, permit: &MayRead, past: Past) -> Result<Replay, Refusal> {
        let most = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        let store = self.store();
        let page = match past {
            Past::Newest(limit) => store.shown_before(permit, None, most(limit)).await?,
            Past::Before(id, limit) => {
                let place = store.place_of(permit, id).await?;
                store.shown_before(permit, Some(place), most(limit)).await?
            }
            Past::After(id, limit) => {
                let place = store.place_of(permit, id).await?;
                store.shown_after(permit, place, most(limit)).await?
            }
        };
        Ok(Replay { messages: page.messages, more: page.more })
    }

    /// A message that the caller has written, once more.
    pub(super) async fn show_own(
        &self,
        caller: &Caller,
        id: MessageId,
    ) -> Result<RoomReply, Refusal> {
        let gone = || Refusal::not_found("there is no such message");
        let message = self.store().find_message(id).await?.ok_or_else(gone)?;
        if message.author != caller.principal || message.deleted.is_some() {
            return Err(gone());
        }
        let sender = self.store().find_party(caller.principal).await?.ok_or_else(gone)?;
        Ok(RoomReply::Shown(Shown { message: message.into(), sender }))
    }

    pub(super) async fn mark_room_read(
        &self,
        caller: &Caller,
        room: ConversationId,
        message: MessageId,
    ) -> Result<RoomReply, Refusal> {
        let found = self.store().find_message(message).await?;
        let found = found.filter(|found| found.conversation == room);
        let found = found.ok_or_else(|| Refusal::not_found("there is no such message"))?;
        self.mark_read(caller, room, found.seq).await?;
        Ok(RoomReply::Done)
    }
}
