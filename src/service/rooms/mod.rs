//! Rooms: joined, left, read, listed and kept by staff.
//!
//! Rooms are what everybody or the staff may enter, and for their members the groups of the
//! other dialects; of what one may not know of there is no such room.

mod joining;
mod keeping;
mod resuming;

use std::sync::Arc;

use super::accounts::user_of;
use super::{Caller, Services};
use crate::domain::{ConversationId, Kind, Party, Refusal, RoomCommand, RoomReply};
use crate::policy::Standing;

fn unknown_room() -> Refusal {
    Refusal::not_found("there is no such room")
}

/// Names of those who are present, each once, ascending.
fn names(present: &[Party]) -> Vec<String> {
    let mut names: Vec<_> = present.iter().map(|who| who.handle().to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl Services {
    /// Carries out what a connection asks about rooms.
    pub(super) async fn run_in_rooms(
        &self,
        caller: &Caller,
        command: RoomCommand,
    ) -> Result<RoomReply, Refusal> {
        match command {
            RoomCommand::Join { room, past, groups, keep } => {
                self.join_room(caller, room, past, groups, keep).await
            }
            RoomCommand::Leave { room, groups } => self.leave_room(caller, room, groups).await,
            RoomCommand::Read { room, past } => self.read_room(caller, room, past).await,
            RoomCommand::ReadOn(behind) => self.read_on(caller, behind).await,
            RoomCommand::Show(message) => self.show_own(caller, message).await,
            RoomCommand::MarkRead { room, message } => {
                self.mark_room_read(caller, room, message).await
            }
            RoomCommand::List { groups } => {
                let rooms = self.list_rooms(caller, groups).await?;
                Ok(RoomReply::Rooms(rooms.into_iter().map(Arc::new).collect()))
            }
            RoomCommand::ListPresent(room) => {
                Ok(RoomReply::Present(names(&self.hub().attendance().present(room))))
            }
            RoomCommand::Create { title, staff } => self.create_room(caller, title, staff).await,
            RoomCommand::Update { room, title, staff } => {
                self.update_room(caller, room, title, staff).await
            }
            RoomCommand::Remove(room) => self.remove_room(caller, room).await,
            RoomCommand::Resume { doubt, keep } => self.resume(caller, doubt, keep).await,
            RoomCommand::Park { keep } => self.park(caller, keep).await,
        }
    }

    /// Rooms that the caller may know of, by title.
    pub async fn list_rooms(
        &self,
        caller: &Caller,
        groups: bool,
    ) -> Result<Vec<crate::domain::Conversation>, Refusal> {
        Ok(self.store().list_rooms_of(user_of(caller)?, groups).await?)
    }

    /// How somebody stands to a room right now, if they may know of it.
    async fn room_of(
        &self,
        caller: &Caller,
        room: ConversationId,
        groups: bool,
    ) -> Result<Arc<Standing>, Refusal> {
        let standing = self.store().standing_now(caller.principal, room).await?;
        let standing = standing.ok_or_else(unknown_room)?;
        let known = match standing.conversation.kind {
            Kind::Direct => false,
            Kind::Group => groups && standing.takes_part(),
            Kind::Room => true,
        };
        if known { Ok(standing) } else { Err(unknown_room()) }
    }
}
