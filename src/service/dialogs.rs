//! Dialogs: the direct conversations of two users as private-chat's clients ask about them.
//!
//! Clients name the other user, not the conversation. One that nobody has written in is shown
//! nowhere, so it may be made at any time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Caller, Services};
use crate::domain::{
    Conversation, Credentials, Dialect, Dialog, DialogCommand, DialogReply, Draft, Event, Kind,
    Listed, Message, MessageId, Place, Principal, Refusal, RefusalKind, Shown, ShownPage, Topic,
    User, UserId,
};
use crate::hub::{News, Notice};
use crate::policy;
use crate::store::Newest;

/// Messages of the largest page.
const PAGE: u32 = 200;

/// One dialog as its page shows it, among all dialogs of a user.
#[derive(Clone, Debug)]
pub struct DialogPage {
    /// Whose page it is.
    pub owner: Arc<User>,
    /// Who is at the other end; none while there is no dialog.
    pub with: Option<Arc<User>>,
    /// All dialogs, the newest activity first.
    pub list: Vec<Dialog>,
    /// The newest messages, ascending, and whether their reader has seen them.
    pub messages: Vec<(Shown, bool)>,
}

impl Services {
    /// The key with which the page of a browser's login connects.
    pub fn session_key_of(&self, session_id: &str) -> String {
        self.auth().browsers.key_of(session_id)
    }

    /// A page on the dialog with a user, or on the newest one. A visit may open the dialog.
    pub async fn dialog_page(
        &self,
        caller: &Caller,
        username: Option<&str>,
        opens: bool,
    ) -> Result<DialogPage, Refusal> {
        let own = user_of(caller)?;
        let unknown = || Refusal::not_found("there is no such user");
        let owner = self.store().find_user(own).await?.ok_or_else(unknown)?;
        if let Some(name) = username {
            let with = self.user_at(name).await?;
            if opens {
                let found = self.store_for(caller).open_direct(own, with.id).await?;
                if !found.shown {
                    self.store_for(caller).appear(&found, own).await?;
                }
            }
        }
        let list = self.dialogs_of(caller, own).await?;
        let newest = list.first().map(|dialog| dialog.with.username.clone());
        let Some(name) = username.map(str::to_owned).or(newest) else {
            let (with, messages) = (None, Vec::new());
            return Ok(DialogPage { owner: Arc::new(owner), with, list, messages });
        };
        let (page, with, seen) = self.page_of(caller, own, &name, None, PAGE).await?;
        let read = |shown: Shown| {
            let read = seen.contains(&shown.message.id);
            (shown, read)
        };
        let messages = page.messages.into_iter().map(read).collect();
        Ok(DialogPage { owner: Arc::new(owner), with: Some(with), list, messages })
    }
}

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
                let Some(found) = self.dialog_with((caller, own), &to, open).await? else {
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
                if let Some(found) = self.dialog_with((caller, own), &to, open).await? {
                    self.set_typing(caller, found.id, true, Dialect::PrivateChat).await?;
                }
                Ok(DialogReply::Done)
            }
            DialogCommand::Announce => {
                self.announce_presence(caller);
                Ok(DialogReply::Done)
            }
            DialogCommand::Rest => {
                self.rest(caller);
                Ok(DialogReply::Done)
            }
            DialogCommand::ListOnline(beside) => self.list_online(own, beside).await,
            DialogCommand::ListActive { listed, asked } => {
                let list = self.list_active(caller, own, listed).await?;
                if let Some(connection) = caller.connection.filter(|_| asked) {
                    let event = Event::ActiveUsersChanged { asked_by: Some(connection) };
                    let notice = Notice::new([Topic::ActiveUsers], event);
                    self.store().tell(News::none().personal(notice)).await;
                }
                Ok(list)
            }
            DialogCommand::Read { with, before, limit } => {
                let (page, with, seen) = self.page_of(caller, own, &with, before, limit).await?;
                Ok(DialogReply::Page { page, with, seen })
            }
            DialogCommand::List => self.dialogs_of(caller, own).await.map(DialogReply::Dialogs),
            DialogCommand::Show(message) => self.show_again(caller, own, message).await,
            DialogCommand::Edit { message, text } => {
                let conversation = self.own_message(caller, message).await?.0.conversation;
                self.edit_in(caller, conversation, message, text, None).await?;
                Ok(DialogReply::Done)
            }
            DialogCommand::Remove { message } => {
                let conversation = self.own_message(caller, message).await?.0.conversation;
                self.remove_in(caller, conversation, message, None).await?;
                Ok(DialogReply::Done)
            }
        }
    }

    async fn user_at(&self, name: &str) -> Result<User, Refusal> {
        let found = self.store().find_user_by_username(name).await?;
        found.ok_or_else(|| Refusal::not_found("there is no user of this name"))
    }

    /// The direct conversation of two users, made if it is missing and may be.
    async fn dialog_with(
        &self,
        (caller, own): (&Caller, UserId),
        other: &User,
        open: bool,
    ) -> Result<Option<Conversation>, Refusal> {
        if open {
            return Ok(Some(self.store_for(caller).open_direct(own, other.id).await?));
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

    async fn list_online(
        &self,
        own: UserId,
        beside: Option<UserId>,
    ) -> Result<DialogReply, Refusal> {
        let partners = self.store().list_dialog_partners(own).await?;
        let asked = partners.into_keys().chain(beside).map(Principal::User);
        let (online, seen) = self.hub().roster().look(asked);
        let online = online.into_iter().filter_map(Principal::user);
        let users = self.store().list_users_named(online).await?;
        let names = users.into_iter().map(|user| user.username).collect();
        Ok(DialogReply::Online { names, seen })
    }

    async fn list_active(
        &self,
        caller: &Caller,
        own: UserId,
        listed: Listed,
    ) -> Result<DialogReply, Refusal> {
        if let Some(connection) = caller.connection {
            self.hub().subscribe(connection, Topic::ActiveUsers);
        }
        let mut active: HashMap<_, _> = self.hub().roster().active().into_iter().collect();
        match listed {
            Listed::All => {}
            Listed::Contacts => {
                let partners = self.store().list_dialog_partners(own).await?;
                active.retain(|user, _| partners.contains_key(user));
            }
            Listed::Nobody => active.clear(),
        }
        let users = self.store().list_users_named(active.keys().copied()).await?;
        let named = |user: User| Some((user.username, *active.get(&user.id)?));
        let mut list: Vec<_> = users.into_iter().filter_map(named).collect();
        list.sort_unstable();
        Ok(DialogReply::Active(list))
    }

    async fn page_of(
        &self,
        caller: &Caller,
        own: UserId,
        with: &str,
        before: Option<MessageId>,
        limit: u32,
    ) -> Result<(ShownPage, Arc<User>, BTreeSet<MessageId>), Refusal> {
        let with = Arc::new(self.user_at(with).await?);
        let Some(found) = self.dialog_with((caller, own), &with, false).await? else {
            let page = ShownPage { messages: Vec::new(), reached: Place::new(0), more: false };
            return Ok((page, with, BTreeSet::new()));
        };
        let permit = policy::may_read(&*self.standing_in(caller, found.id).await?)?;
        let before = match before {
            Some(id) => Some(self.store().place_of(&permit, id).await?),
            None => None,
        };
        let page = self.store().shown_before(&permit, before, limit.clamp(1, PAGE)).await?;
        let places: Vec<_> = page
            .messages
            .iter()
            .filter_map(|shown| {
                let message = &shown.message;
                Some((message.id, message.place?, message.author))
            })
            .collect();
        let seen = self.store().seen_by_readers(&permit, &places).await?;
        Ok((page, with, seen))
    }

    async fn dialogs_of(&self, caller: &Caller, own: UserId) -> Result<Vec<Dialog>, Refusal> {
        let dialogs = self.store().list_dialogs(own).await?;
        let users = self.store().list_users_named(dialogs.iter().map(|one| one.with)).await?;
        let mut users: HashMap<_, _> = users.into_iter().map(|user| (user.id, user)).collect();
        let mut list = Vec::with_capacity(users.len());
        for dialog in dialogs {
            let Some(user) = users.remove(&dialog.with) else { continue };
            let (place, newest) = match dialog.newest {
                Newest::Nothing => (None, None),
                Newest::Is(message) => (Some(Place::new(message.get())), Some(message)),
                Newest::Hidden => {
                    let standing = self.standing_in(caller, dialog.conversation).await?;
                    let permit = policy::may_read(&standing)?;
                    let newest = self.store().shown_before(&permit, None, 1).await?.messages.pop();
                    newest.map_or((None, None), |one| (one.message.place, Some(one.message.id)))
                }
            };
            list.push((place, Dialog { with: Arc::new(user), unread: dialog.unread, newest }));
        }
        list.sort_by(|(one, left), (other, right)| {
            other.cmp(one).then_with(|| left.with.username.cmp(&right.with.username))
        });
        Ok(list.into_iter().map(|(_, dialog)| dialog).collect())
    }

    /// A message of the caller's in a direct conversation.
    async fn own_message(
        &self,
        caller: &Caller,
        id: MessageId,
    ) -> Result<(Message, Conversation), Refusal> {
        let unknown = || Refusal::not_found("there is no such message");
        let message = self.store().find_message(id).await?.ok_or_else(unknown)?;
        let standing = self.standing_in(caller, message.conversation).await?;
        policy::may_read(&standing).map_err(|_| unknown())?;
        if standing.conversation.kind != Kind::Direct {
            return Err(unknown());
        }
        if message.author != caller.principal {
            return Err(Refusal::forbidden("the message is somebody else's"));
        }
        Ok((message, standing.conversation.clone()))
    }

    async fn show_again(
        &self,
        caller: &Caller,
        own: UserId,
        id: MessageId,
    ) -> Result<DialogReply, Refusal> {
        let gone = || Refusal::not_found("there is no such user");
        let (message, conversation) = self.own_message(caller, id).await?;
        let other = conversation.other_end(own).ok_or_else(gone)?;
        let to = self.store().find_user(other).await?.ok_or_else(gone)?;
        let sender = self.store().find_party(caller.principal).await?.ok_or_else(gone)?;
        let shown = Shown { message: Arc::new(message), sender };
        Ok(DialogReply::Shown { shown, to: Arc::new(to) })
    }
}

fn user_of(caller: &Caller) -> Result<UserId, Refusal> {
    caller.principal.user().ok_or_else(|| Refusal::forbidden("only users have dialogs"))
}
