//! Rooms as staff makes, changes and removes them.

use super::{Caller, Services, unknown_room};
use crate::domain::{Access, ConversationId, Kind, Refusal, RoomReply};
use crate::policy::{self, MayKeepRooms};

const fn access(staff: bool) -> Access {
    if staff { Access::Staff } else { Access::Open }
}

impl Services {
    /// Whether the caller is staff right now.
    async fn keeper(&self, caller: &Caller) -> Result<MayKeepRooms, Refusal> {
        let user = self.own_account(caller).await?;
        policy::may_keep_rooms(user.id, user.is_staff())
    }

    pub(super) async fn create_room(
        &self,
        caller: &Caller,
        title: String,
        staff: bool,
    ) -> Result<RoomReply, Refusal> {
        let permit = self.keeper(caller).await?;
        let room = self.store_for(caller).add_room(&permit, &title, "", access(staff)).await?;
        Ok(RoomReply::Kept { room: room.into(), told: true })
    }

    pub(super) async fn update_room(
        &self,
        caller: &Caller,
        id: ConversationId,
        title: Option<String>,
        staff: Option<bool>,
    ) -> Result<RoomReply, Refusal> {
        self.require_room(caller, id).await?;
        let permit = self.keeper(caller).await?;
        let updated =
            self.store_for(caller).update_room(&permit, id, title, staff.map(access)).await?;
        let (room, told) = updated.ok_or_else(unknown_room)?;
        Ok(RoomReply::Kept { room: room.into(), told })
    }

    pub(super) async fn remove_room(
        &self,
        caller: &Caller,
        id: ConversationId,
    ) -> Result<RoomReply, Refusal> {
        self.require_room(caller, id).await?;
        let permit = self.keeper(caller).await?;
        let room = self.store().find_conversation(id).await?.ok_or_else(unknown_room)?;
        if !self.store_for(caller).remove_room(&permit, id).await? {
            return Err(unknown_room());
        }
        Ok(RoomReply::Kept { room: room.into(), told: true })
    }

    /// Nobody keeps a members' group this way; who is no member does not hear that there is one.
    async fn require_room(&self, caller: &Caller, id: ConversationId) -> Result<(), Refusal> {
        let standing = self.room_of(caller, id, true).await?;
        if standing.conversation.kind == Kind::Room {
            return Ok(());
        }
        Err(Refusal::forbidden("a group is changed by its administrators"))
    }
}
