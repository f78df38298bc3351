//! Rooms: joined, listed and kept by staff.

use super::{Caller, Services};
use crate::domain::{Refusal, RoomCommand, RoomReply};

impl Services {
    /// Carries out what a connection asks about rooms.
    pub(super) async fn keep_rooms(
        &self,
        _caller: &Caller,
        command: RoomCommand,
    ) -> Result<RoomReply, Refusal> {
        match command {
            RoomCommand::ListPresent(room) => {
                let present = self.hub().attendance().present(room);
                let mut names: Vec<_> = present.iter().map(|who| who.handle().to_owned()).collect();
                names.sort_unstable();
                names.dedup();
                Ok(RoomReply::Present(names))
            }
            _ => Err(Refusal::unavailable()),
        }
    }
}
