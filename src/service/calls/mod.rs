//! Introducing the parties of a call, and keeping the calls and rooms that the server owns.
//!
//! Who rings, who is told what and when a call ends is decided here once; what the parties
//! say to each other is passed on unread.

mod book;
mod clients;
mod desk;
mod moves;
mod pins;
mod rooms;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{Caller, Services};
use crate::domain::{
    CallCommand, CallMedia, CallReply, CallRoom, CallState, Callee, ConnectionId, Dialect, Draft,
    Email, Event, IceServer, IceServers, JoinedRoom, Kind, PeerId, Principal, Refusal, RefusalKind,
    Reply, Signal, Target, Text,
};
use crate::policy::{self, MayCall, Standing};
use crate::store::log::Tariff;
use book::{Beginning, CallResult};
use rooms::Entry;

pub(super) use desk::{Desk, Errand, Job, attend};

/// Longest text of what became of a call.
const RESULT_CHARS: usize = 64;

impl Services {
    /// A name and password for TURN servers that share our secret.
    pub(super) fn turn_credentials(&self, caller: &Caller) -> Reply {
        let (username, password) = self.rtc().credentials(caller.principal, self.clock().now());
        Reply::TurnCredentials { username, password }
    }

    /// Where the STUN servers are; `host` is what the client itself called us.
    pub(super) fn stun_servers(&self, host: Option<&str>) -> Vec<IceServer> {
        self.rtc().stun_servers(host)
    }

    /// Where the TURN servers are; `host` is what the client itself called us.
    pub(super) fn turn_servers(&self, host: Option<&str>) -> Vec<IceServer> {
        self.rtc().turn_servers(host)
    }

    /// What a browser's connection is made with; `host` is what the client itself called us.
    pub fn ice_servers(&self, caller: &Caller, host: Option<&str>) -> IceServers {
        self.rtc().ice_servers(caller.principal, host, self.clock().now())
    }

    /// Forwards a note to another party of a call; of one's own account, to all connections
    /// but the one that asks.
    pub(super) async fn forward_signal(
        &self,
        caller: &Caller,
        target: Target,
        content: Arc<RawValue>,
    ) -> Result<(), Refusal> {
        let to = self.party_of(target).await?;
        let shares = self.store().shares(caller.principal, to).await?;
        let _permit = policy::may_signal(caller.principal, to, shares)?;
        let mut connections = self.hub().roster().connections(to);
        connections.retain(|connection| caller.connection != Some(*connection));
        if connections.is_empty() {
            return Err(not_connected());
        }
        if to != caller.principal {
            let from = (caller.principal, caller.connection);
            let pinned = self.desk().pins().route(from, (to, &connections), Instant::now());
            connections.retain(|one| pinned.is_none_or(|pinned| pinned == *one));
        }
        let signal = Signal { from: caller.principal, content };
        for connection in connections {
            self.hub().offer_to(connection, Event::SignalSent(signal.clone()));
        }
        Ok(())
    }

    async fn party_of(&self, target: Target) -> Result<Principal, Refusal> {
        match target {
            Target::User(id) => Ok(Principal::User(id)),
            Target::Device(id) => Ok(Principal::Device(id)),
            // Unknown and not connected look alike, so that nobody can probe for accounts.
            Target::Email(email) => {
                let email = Email::new(&email).ok_or_else(not_connected)?;
                let user = self.store().find_user_by_email(&email).await?;
                user.map(|user| Principal::User(user.id)).ok_or_else(not_connected)
            }
        }
    }

    /// Carries out what a connection asks about calls.
    pub(super) async fn call(
        &self,
        caller: &Caller,
        command: CallCommand,
    ) -> Result<CallReply, Refusal> {
        if let CallCommand::IceServers { host } = command {
            return Ok(CallReply::IceServers(self.ice_servers(caller, host.as_deref())));
        }
        let connection = caller.connection;
        let connection = connection
            .ok_or_else(|| Refusal::malformed("calls are held over connections that stay open"))?;
        let (desk, who, now) = (self.desk(), caller.principal, Instant::now());
        let told = match command {
            CallCommand::IceServers { .. } => return Ok(CallReply::Silence),
            CallCommand::JoinRoom { room, media, resume, host } => {
                let joined = self.enter(caller, (room, connection), media, resume, host).await?;
                return Ok(CallReply::Joined(Box::new(joined)));
            }
            CallCommand::LeaveRoom(room) => return Ok(self.go_out(room, connection)),
            CallCommand::ForwardInRoom { room, to, data } => {
                return self.say(room, connection, to, data).await;
            }
            CallCommand::Start { with, media } => {
                self.begin_call(caller, connection, with, media).await?
            }
            CallCommand::Accept(id) => {
                desk.change(|s| s.book.accept(id, who, connection, desk.clients(), now))?
            }
            CallCommand::Decline(id) => {
                desk.change(|s| s.book.decline(id, who, connection, desk.clients(), now))?
            }
            CallCommand::Cancel(id) => {
                desk.change(|s| s.book.cancel(id, who, desk.clients(), now))?
            }
            CallCommand::HangUp { call, failed } => desk
                .change(|s| s.book.hang_up(call, (who, connection), failed, desk.clients(), now))?,
        };
        Ok(CallReply::Call(told))
    }

    async fn begin_call(
        &self,
        caller: &Caller,
        connection: ConnectionId,
        with: Callee,
        media: CallMedia,
    ) -> Result<crate::domain::CallNotice, Refusal> {
        if self.desk().is_behind(caller.principal) {
            let text = "your calls end faster than they can be written down";
            return Err(Refusal::new(RefusalKind::TooOften { retry_after: 1 }, text));
        }
        let (permit, callees) = self.may_call(caller, with).await?;
        let beginning = Beginning { permit, callees, media, connection };
        let (desk, now) = (self.desk(), Instant::now());
        desk.change(|s| s.book.start(beginning, desk.times(), desk.clients(), now))
    }

    /// Whom a call would ring, if it may be made.
    async fn may_call(
        &self,
        caller: &Caller,
        with: Callee,
    ) -> Result<(MayCall, Vec<Principal>), Refusal> {
        let own = caller.principal;
        let to = match with {
            Callee::Conversation(id) => {
                let standing = self.standing_in(caller, id).await?;
                let callees = self.callees_in(&standing).await?;
                return Ok((policy::may_call_in(&standing, callees.len())?, callees));
            }
            Callee::User(id) => Principal::User(id),
            Callee::Device(id) => Principal::Device(id),
        };
        let shares = self.store().shares(own, to).await?;
        let permit = policy::may_call(own, to, shares)?;
        let (Principal::User(one), Principal::User(other)) = (own, to) else {
            return Ok((permit, vec![to]));
        };
        let conversation = self.store_for(caller).open_direct(one, other).await?;
        let standing = self.standing_in(caller, conversation.id).await?;
        Ok((policy::may_call_in(&standing, 1)?, vec![to]))
    }

    /// The others of a conversation, its circle's device among them if it takes part.
    async fn callees_in(&self, standing: &Standing) -> Result<Vec<Principal>, Refusal> {
        let (own, conversation) = (standing.principal, &standing.conversation);
        if conversation.kind == Kind::Room || !standing.takes_part() {
            return Ok(Vec::new());
        }
        let members = self.store().list_members(conversation.id).await?;
        let members: Vec<_> = members.into_iter().map(|(_, user)| user.id).collect();
        let known = self.store().list_known(own, Some(&members)).await?;
        let others = members.into_iter().filter(|user| known.contains(user)).map(Principal::User);
        let mut callees: Vec<_> = others.filter(|other| *other != own).collect();
        if let (true, Some(circle)) = (conversation.device_access, conversation.circle) {
            let circle = self.store().find_circle(circle).await?;
            let device = circle.and_then(|circle| circle.device).map(Principal::Device);
            if let Some(device) = device.filter(|device| *device != own)
                && self.store().shares(own, device).await?
            {
                callees.push(device);
            }
        }
        Ok(callees)
    }

    async fn enter(
        &self,
        caller: &Caller,
        (room, connection): (CallRoom, ConnectionId),
        media: CallMedia,
        resume: Option<String>,
        host: Option<String>,
    ) -> Result<JoinedRoom, Refusal> {
        let (desk, who) = (self.desk(), caller.principal);
        let permit = match room {
            CallRoom::Conversation(id) => policy::may_meet_in(&*self.take_part(caller, id).await?)?,
            CallRoom::Call(id) => {
                let engaged = desk.look(|state| state.book.is_engaged_in(who, id));
                policy::may_meet_for(who, room, engaged)?
            }
        };
        let entered = desk.change(|state| {
            if let CallRoom::Call(id) = room {
                state.book.come_back(id, who, connection);
            }
            let entry = Entry { permit, connection, media, resume };
            state.rooms.enter(entry, desk.times(), Instant::now())
        })?;
        let servers = self.ice_servers(caller, host.as_deref());
        let (peer, resume, peers) = (entered.peer, entered.secret, entered.peers);
        Ok(JoinedRoom { room, peer, resume, peers, servers })
    }

    fn go_out(&self, room: CallRoom, connection: ConnectionId) -> CallReply {
        let desk = self.desk();
        if !desk.look(|state| state.rooms.holds(room, connection)) {
            return CallReply::Silence;
        }
        desk.bring_about(|state| state.rooms.leave(room, connection));
        CallReply::Left
    }

    async fn say(
        &self,
        room: CallRoom,
        connection: ConnectionId,
        to: Option<PeerId>,
        data: Arc<RawValue>,
    ) -> Result<CallReply, Refusal> {
        let desk = self.desk();
        if !desk.look(|state| state.rooms.holds(room, connection)) {
            return Ok(CallReply::Silence);
        }
        if let CallRoom::Conversation(id) = room {
            self.put_out_former(id).await?;
        }
        let now = Instant::now();
        desk.change(|state| {
            state.rooms.say((room, connection), to, data, now).map(|effects| ((), effects))
        })?;
        Ok(CallReply::Forwarded)
    }

    /// Who takes part in a conversation no longer leaves its room.
    async fn put_out_former(&self, id: crate::domain::ConversationId) -> Result<(), Refusal> {
        let room = CallRoom::Conversation(id);
        for who in self.desk().look(|state| state.rooms.people(room)) {
            let standing = self.store().standing(who, id).await?;
            if !standing.is_some_and(|standing| standing.takes_part()) {
                self.desk().bring_about(|state| state.rooms.put_out(room, who));
            }
        }
        Ok(())
    }

    /// Does what the desk's task cannot do by itself.
    pub(super) async fn run_errand(&self, errand: Errand) {
        match errand {
            Errand::Write(result) => self.write_result(result).await,
            Errand::Review(who) => {
                if let Err(refusal) = self.review_calls(who).await {
                    tracing::warn!(%refusal, "it was not looked who may still be in a call");
                }
            }
        }
    }

    /// Calls that stand in no conversation rest on what the two share.
    async fn review_calls(&self, who: Principal) -> Result<(), Refusal> {
        let loose = |call: &book::Call| call.conversation().is_none();
        let calls: Vec<_> = self.desk().look(|state| {
            let found = state.book.find(who, loose).into_iter();
            found.filter_map(|id| Some((id, state.book.calls.get(&id)?.others(who)))).collect()
        });
        for (id, others) in calls {
            for other in others {
                if !self.store().shares(who, other).await? {
                    self.desk().end_part(who, id);
                }
            }
        }
        Ok(())
    }

    /// Writes into its conversation what became of a call, free of charge.
    async fn write_result(&self, result: CallResult) {
        let Some(conversation) = result.conversation else { return };
        let words = Text::new(in_words(result.state, result.lasted), RESULT_CHARS);
        let Ok(words) = words else { return };
        // A caller who was put out meanwhile writes nothing any more.
        if let Err(refusal) = self.post_freely(result.caller, conversation, words).await
            && refusal.is_our_fault()
        {
            tracing::warn!(%refusal, %conversation, "what became of a call was not written down");
        }
    }

    async fn post_freely(
        &self,
        author: Principal,
        conversation: crate::domain::ConversationId,
        words: Text,
    ) -> Result<(), Refusal> {
        let standing = self.store().standing_now(author, conversation).await?;
        let standing = standing.ok_or_else(|| Refusal::not_found("it is gone"))?;
        let permit = policy::may_post(&standing)?;
        let log = self.log().clone().charging(Tariff::default());
        log.append(permit, Draft::words(conversation, words, Dialect::Neo)).await?;
        if let (false, Principal::User(author)) = (standing.conversation.shown, author) {
            self.store().appear(&standing.conversation, author).await?;
        }
        Ok(())
    }

    /// Notes that a connection has used an additive event that was answered.
    pub(super) fn note_new_client(&self, caller: &Caller) {
        if let Some(connection) = caller.connection {
            self.desk().knows(connection, caller.principal);
        }
    }
}

/// What became of a call, as it stands in its conversation.
fn in_words(state: CallState, lasted: Duration) -> String {
    let (minutes, seconds) = (lasted.as_secs() / 60, lasted.as_secs() % 60);
    match state {
        CallState::Declined => "Declined call".to_owned(),
        CallState::Cancelled => "Cancelled call".to_owned(),
        CallState::Busy => "Missed call, busy".to_owned(),
        CallState::Failed => "Failed call".to_owned(),
        CallState::Ended if minutes >= 60 => {
            format!("Call, {}:{:02}:{seconds:02}", minutes / 60, minutes % 60)
        }
        CallState::Ended => format!("Call, {minutes}:{seconds:02}"),
        CallState::Missed | CallState::Ringing | CallState::Accepted | CallState::Active => {
            "Missed call".to_owned()
        }
    }
}

fn not_connected() -> Refusal {
    Refusal::new(RefusalKind::Offline, "the target is not connected")
}
