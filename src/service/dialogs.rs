//! Dialogs: the direct conversations of two users as private-chat's clients ask about them.
//!
//! Clients name the other user, not the conversation. One that nobody has written in is shown
//! nowhere, so it may be made at any time.

use std::sync::Arc;

use super::{Caller, Services};
use crate::domain::{
    Conversation, Credentials, Dialect, DialogCommand, DialogReply, Draft, Principal, Refusal,
    RefusalKind, Topic, User, UserId,
};

impl Services {
    /// Carries out what a connection asks about dialogs.
    pub(super) async fn keep_dialogs(
        &self,
        caller: &Caller,
        command: DialogCommand,
    ) -> Result<DialogReply, Refusal> {
        let own = user_of(caller)?;
        match command {
            DialogCommand::Meet(name) => self.meet(caller, own, &name).await,
            DialogCommand::Vouch(credentials) => self.vouch(caller, &credentials).await,
            DialogCommand::Post { to, text, reference, aside, open } => {
                let to = self.user_at(&to).await?;
                let Some(found) = self.dialog_with(own, &to, open).await? else {
                    return Ok(DialogReply::Dropped);
                };
                let draft = Draft {
                    reference,
                    aside,
                    ..Draft::words(found.id, text, Dialect::PrivateChat)
                };
                let posted = self.post(caller, draft).await?;
                Ok(DialogReply::Posted { posted, conversation: found.id, to: Arc::new(to) })
            }
            DialogCommand::Type { to, open } => {
                let to = self.user_at(&to).await?;
                if let Some(found) = self.dialog_with(own, &to, open).await? {
                    self.set_typing(caller, found.id, true, Dialect::PrivateChat).await?;
                }
                Ok(DialogReply::Done)
            }
            DialogCommand::Announce => {
                self.rise(caller, Dialect::PrivateChat);
                self.presence().announce(own);
                Ok(DialogReply::Done)
            }
            DialogCommand::Rest => {
                self.rest(caller);
                Ok(DialogReply::Done)
            }
            DialogCommand::ListOnline => self.list_online(own).await,
            DialogCommand::ListActive { contacts } => self.list_active(caller, own, contacts).await,
        }
    }

    async fn user_at(&self, name: &str) -> Result<User, Refusal> {
        let found = self.store().find_user_by_username(name).await?;
        found.ok_or_else(|| Refusal::not_found("there is no user of this name"))
    }

    /// The direct conversation of two users, made if it is missing and may be.
    async fn dialog_with(
        &self,
        own: UserId,
        other: &User,
        open: bool,
    ) -> Result<Option<Conversation>, Refusal> {
        if open {
            return Ok(Some(self.store().open_direct(own, other.id).await?));
        }
        Ok(self.store().find_direct(own, other.id).await?)
    }

    async fn meet(&self, caller: &Caller, own: UserId, name: &str) -> Result<DialogReply, Refusal> {
        let mut user = self.user_at(name).await?;
        if let Some(connection) = caller.connection {
            self.hub().subscribe(connection, Topic::Presence(user.id));
        }
        // Listens first and looks then: whoever comes in between is noticed by one of the two.
        user.online = self.hub().roster().is_online(Principal::User(user.id));
        let conversation = self.store().find_direct(own, user.id).await?;
        let conversation = conversation.map(|found| found.id);
        Ok(DialogReply::Met { user: Arc::new(user), conversation })
    }

    /// Whose credentials they are; anybody's but the caller's own are refused.
    async fn vouch(
        &self,
        caller: &Caller,
        credentials: &Credentials,
    ) -> Result<DialogReply, Refusal> {
        let named = self.identify(credentials, caller.address).await?;
        if named.principal != caller.principal {
            return Err(Refusal::new(RefusalKind::Unidentified, "the key is another user's"));
        }
        Ok(DialogReply::Done)
    }

    async fn list_online(&self, own: UserId) -> Result<DialogReply, Refusal> {
        let partners = self.store().list_dialog_partners(own).await?;
        let roster = self.hub().roster();
        let online = partners.into_keys().filter(|id| roster.is_online(Principal::User(*id)));
        let users = self.store().list_users_named(online).await?;
        Ok(DialogReply::Online(users.into_iter().map(|user| user.username).collect()))
    }

    async fn list_active(
        &self,
        caller: &Caller,
        own: UserId,
        contacts: bool,
    ) -> Result<DialogReply, Refusal> {
        if let Some(connection) = caller.connection {
            self.hub().subscribe(connection, Topic::ActiveUsers);
        }
        let mut active = self.presence().active();
        if contacts {
            let partners = self.store().list_dialog_partners(own).await?;
            active.retain(|(user, _)| partners.contains_key(user));
        }
        let users = self.store().list_users_named(active.iter().map(|(user, _)| *user)).await?;
        let names: std::collections::HashMap<_, _> = active.into_iter().collect();
        let mut list: Vec<_> = users
            .into_iter()
            .filter_map(|user| Some((user.username, *names.get(&user.id)?)))
            .collect();
        list.sort_unstable();
        Ok(DialogReply::Active(list))
    }
}

fn user_of(caller: &Caller) -> Result<UserId, Refusal> {
    caller.principal.user().ok_or_else(|| Refusal::forbidden("only users have dialogs"))
}
