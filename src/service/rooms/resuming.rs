//! Places of lost connections: kept for a while, taken over by the same login, or given up.

use std::time::Duration;

use super::{Caller, Services};
use crate::domain::{
    ConnectionId, ConversationId, Event, Missed, Place, Refusal, RoomReply, Shown, Topic,
};
use crate::hub::{Attendee, Kept, News, Notice};
use crate::policy::{self, MayRead};
use crate::store::{ParkedPlace, StoreError};

/// Messages read at once when a room is taken over.
const PAGE: u32 = 500;

impl Services {
    /// Takes over what the login's lost connections have left, and has the others prove that
    /// they are there. Only those that were opened before this one leave it anything: either
    /// they were lost before that, or it has doubted them. A room in which it is already is
    /// left to another page.
    pub(super) async fn resume(
        &self,
        caller: &Caller,
        doubt: bool,
        keep: Duration,
    ) -> Result<RoomReply, Refusal> {
        let Some(connection) = caller.connection else {
            return Ok(RoomReply::Resumed { rooms: Vec::new(), doubted: false });
        };
        // Asked first: who is gone by now has left its rooms to be found below.
        let mine = Topic::Login(caller.login);
        let doubted = doubt && self.hub().count(mine) > 1;
        let mut rooms: Vec<Missed> = Vec::new();
        for (room, lost) in self.hub().attendance().parked(caller.login) {
            if lost > connection || self.hub().attendance().is_in(room, connection) {
                continue;
            }
            rooms.extend(self.take_over(caller, connection, room, lost).await?);
        }
        if doubted {
            let event = Event::LoginDoubted { login: caller.login, by: connection };
            self.store().tell(News::none().personal(Notice::new([mine], event))).await;
        }
        tracing::debug!(rooms = rooms.len(), doubted, ?keep, "a login has come back");
        Ok(RoomReply::Resumed { rooms, doubted })
    }

    async fn take_over(
        &self,
        caller: &Caller,
        connection: ConnectionId,
        room: ConversationId,
        lost: ConnectionId,
    ) -> Result<Option<Missed>, Refusal> {
        let Some(permit) = self.may_still_read(caller, room).await? else {
            self.give_up(room, lost);
            return Ok(None);
        };
        let topics = [Topic::Conversation(room), Topic::Attendance(room)];
        for topic in topics {
            self.hub().subscribe(connection, topic);
        }
        let Some(kept) = self.hub().attendance().take_over(room, lost, connection) else {
            // Another page was faster, or it has joined by itself meanwhile.
            if !self.hub().attendance().is_in(room, connection) {
                for topic in topics {
                    self.hub().unsubscribe(connection, topic);
                }
            }
            return Ok(None);
        };
        if self.may_still_read(caller, room).await?.is_none() {
            for topic in topics {
                self.hub().unsubscribe(connection, topic);
            }
            self.give_up(room, connection);
            return Ok(None);
        }
        let (login, confirmed) = (caller.login, kept.confirmed);
        let place = ParkedPlace { login, room, confirmed, until: None };
        self.store().keep_places(&[place]).await?;
        let (messages, upto) = self.missed(&permit, confirmed).await?;
        Ok(Some(Missed { room, upto, messages }))
    }

    async fn may_still_read(
        &self,
        caller: &Caller,
        room: ConversationId,
    ) -> Result<Option<MayRead>, StoreError> {
        let standing = self.store().standing_now(caller.principal, room).await?;
        Ok(standing.and_then(|standing| policy::may_read(&standing).ok()))
    }

    fn give_up(&self, room: ConversationId, connection: ConnectionId) {
        if let Some(movement) = self.hub().attendance().leave(room, connection) {
            self.places().gone(movement);
        }
    }

    /// Reads on, a page of each room; rooms that may not be read any more are left out.
    pub(super) async fn read_on(
        &self,
        caller: &Caller,
        behind: Vec<(ConversationId, Place)>,
    ) -> Result<RoomReply, Refusal> {
        let (mut rooms, mut more) = (Vec::new(), false);
        for (room, after) in behind {
            let Some(permit) = self.may_still_read(caller, room).await? else { continue };
            let page = self.store().shown_after(&permit, after, PAGE).await?;
            more |= page.more;
            rooms.push(Missed { room, upto: after.max(page.reached), messages: page.messages });
        }
        Ok(RoomReply::Continued { rooms, more })
    }

    /// Everything that was shown behind a place.
    async fn missed(
        &self,
        permit: &MayRead,
        confirmed: Place,
    ) -> Result<(Vec<Shown>, Place), StoreError> {
        let (mut missed, mut upto) = (Vec::new(), confirmed);
        loop {
            let page = self.store().shown_after(permit, upto, PAGE).await?;
            let stuck = page.reached <= upto;
            upto = upto.max(page.reached);
            missed.extend(page.messages);
            if !page.more || stuck {
                return Ok((missed, upto));
            }
        }
    }

    /// Keeps the places of a connection that was lost.
    pub(super) async fn park(&self, caller: &Caller, keep: Duration) -> Result<RoomReply, Refusal> {
        let Some(connection) = caller.connection else { return Ok(RoomReply::Done) };
        let seconds = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX / 2_000_000);
        let until = self.clock().now().plus_secs(seconds);
        let attendance = self.hub().attendance();
        let parked = attendance.park(connection, until);
        let places = parked.iter().filter_map(|(room, login)| {
            let (confirmed, until) = attendance.kept(*room, *login)?;
            Some(ParkedPlace { login: *login, room: *room, confirmed, until })
        });
        let places: Vec<_> = places.collect();
        for (room, _) in &parked {
            self.places().expire_later(*room, connection, keep);
        }
        self.store().keep_places(&places).await?;
        if !parked.is_empty() {
            let event = Event::RoomsParked { login: caller.login };
            let notice = Notice::new([Topic::Login(caller.login)], event);
            self.store().tell(News::none().personal(notice)).await;
        }
        Ok(RoomReply::Done)
    }

    /// Takes up the places that an earlier run of the server has left; zero gives them up.
    pub async fn revive_rooms(&self, keep: Duration) -> Result<(), StoreError> {
        let seconds = i64::try_from(keep.as_secs()).unwrap_or_default();
        let until = (seconds > 0).then(|| self.clock().now().plus_secs(seconds));
        for (place, principal) in self.store().revive_places(until).await? {
            let Some(who) = self.store().find_party(principal).await? else { continue };
            let connection = self.hub().number();
            let ParkedPlace { login, confirmed, until, room } = place;
            let kept = Some(Kept { login, confirmed, until });
            self.hub().attendance().enter(room, connection, Attendee { who, kept });
            self.places().expire_later(room, connection, keep);
        }
        Ok(())
    }
}
