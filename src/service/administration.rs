//! What administrators of the server do.

use super::circles::{check_title, unknown_circle};
use super::devices::{check_device_username, unknown_device};
use super::{Caller, Services, found};
use crate::domain::{CircleId, Conversation, ConversationId, Device, DeviceId, Refusal, UserId};
use crate::policy::{self, MayAdminister};
use crate::store::{Amended, DeviceKeys, UserChange};

impl Services {
    /// Proof that the asker is an administrator; devices never are.
    pub async fn require_administrator(&self, caller: &Caller) -> Result<MayAdminister, Refusal> {
        let refused = || Refusal::forbidden("only administrators may do this");
        let id = caller.principal.user().ok_or_else(refused)?;
        let user = self.store().find_user(id).await?.ok_or_else(refused)?;
        policy::may_administer(&user)
    }

    /// Makes a user an administrator.
    pub async fn promote_account(&self, caller: &Caller, id: UserId) -> Result<(), Refusal> {
        let permit = self.require_administrator(caller).await?;
        let change = UserChange { superuser: Some(true), ..UserChange::default() };
        match self.store_for(caller).amend_user(&permit, id, change).await? {
            Amended::To(_) | Amended::BadBalance(_) => Ok(()),
            Amended::Gone => Err(Refusal::not_found("there is no such user")),
        }
    }

    /// Removes a circle with everything in it.
    pub async fn remove_circle(&self, caller: &Caller, id: CircleId) -> Result<(), Refusal> {
        let permit = self.require_administrator(caller).await?;
        found(self.store_for(caller).remove_circle(&permit, id).await?, unknown_circle)
    }

    /// Makes a conversation in a circle that nobody is in.
    pub async fn add_conversation(
        &self,
        caller: &Caller,
        circle: CircleId,
        title: &str,
    ) -> Result<Conversation, Refusal> {
        let permit = self.require_administrator(caller).await?;
        self.store().find_circle(circle).await?.ok_or_else(unknown_circle)?;
        check_title("conversation_name", title)?;
        let made = self.store_for(caller).add_empty_group(&permit, circle, title).await?;
        made.ok_or_else(unknown_circle)
    }

    /// Removes a conversation.
    pub async fn remove_conversation(
        &self,
        caller: &Caller,
        id: ConversationId,
    ) -> Result<(), Refusal> {
        let permit = self.require_administrator(caller).await?;
        found(self.store_for(caller).remove_conversation(&permit, id).await?, || {
            Refusal::not_found("there is no such conversation")
        })
    }

    /// Makes the device of a circle.
    pub async fn add_device(
        &self,
        caller: &Caller,
        circle: CircleId,
        name: String,
        username: Option<String>,
    ) -> Result<Device, Refusal> {
        let permit = self.require_administrator(caller).await?;
        let circle = self.store().find_circle(circle).await?.ok_or_else(unknown_circle)?;
        username.as_deref().map_or(Ok(()), check_device_username)?;
        let permit = policy::may_equip(&permit, &circle)?;
        self.start_device(caller, permit, name, username).await
    }

    /// Removes a device.
    pub async fn remove_device(&self, caller: &Caller, id: DeviceId) -> Result<(), Refusal> {
        let permit = self.require_administrator(caller).await?;
        found(self.store_for(caller).remove_device(&permit, id).await?, unknown_device)
    }

    /// Switches a device on, if the key is right.
    pub async fn activate_device(
        &self,
        caller: &Caller,
        id: DeviceId,
        key: &str,
    ) -> Result<(), Refusal> {
        let permit = self.require_administrator(caller).await?;
        let keys = self.device_keys(id).await?;
        if keys.key != key {
            return Err(Refusal::malformed("the activation key is wrong"));
        }
        found(self.store_for(caller).activate_device(&permit, id).await?, unknown_device)
    }

    /// What sets a device up.
    pub async fn show_device_keys(
        &self,
        caller: &Caller,
        id: DeviceId,
    ) -> Result<DeviceKeys, Refusal> {
        self.require_administrator(caller).await?;
        self.device_keys(id).await
    }

    /// The devices of the circles in which a user is `ADMIN`.
    pub async fn list_devices_of(
        &self,
        caller: &Caller,
        email: &str,
    ) -> Result<Vec<Device>, Refusal> {
        self.require_administrator(caller).await?;
        let user = self.user_called(email).await?;
        Ok(self.store().list_devices_of_admin(user.id).await?)
    }
}
