//! Accounts of people: registered, logged in and out, shown, changed.
//!
//! Passwords are hashed off the async threads, and an unknown account costs the same work
//! as a wrong password.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Caller, Services};
use crate::auth::{Account, Attempt, PasswordError, TooOften, Verdict};
use crate::domain::{
    Circle, CircleChange, CircleLink, Conversation, ConversationId, Email, Event, Invite, LoginId,
    Media, MediaOwner, Membership, Party, Principal, Refusal, RefusalKind, Timestamp, Topic, User,
    UserId,
};
use crate::hub::{News, Notice};
use crate::policy;
use crate::store::{Amended, Ending, NewUser, StoreError, UserChange};

/// Characters a name of a person has at most.
const NAME_CHARS: usize = 50;
/// Characters an address has at most, where people type it.
const EMAIL_CHARS: usize = 120;
/// Bytes a password has at most, so that hashing stays cheap.
const PASSWORD_BYTES: usize = 1024;
/// Characters of the token by which pushes reach a phone.
const PUSH_TOKEN_CHARS: usize = 4096;

/// Somebody who makes an account.
pub struct Registration {
    /// The address.
    pub email: String,
    /// The password.
    pub password: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Day of birth.
    pub birthday: Option<Timestamp>,
}

/// What is to be different about one's account.
#[derive(Clone, Debug, Default)]
pub struct Modification {
    /// The address.
    pub email: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Day of birth.
    pub birthday: Option<Timestamp>,
}

/// An account with everything that the viewer may see of it.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Whose.
    pub user: User,
    /// The circles it is in.
    pub circles: Vec<(CircleLink, Circle)>,
    /// Where it is invited.
    pub invites: Vec<(Invite, Circle)>,
    /// The conversations it is in.
    pub conversations: Vec<(Membership, Conversation)>,
    /// Its files.
    pub medias: Vec<Media>,
}

impl Services {
    /// Makes an account.
    pub async fn register(&self, new: Registration, address: IpAddr) -> Result<User, Refusal> {
        if !self.accounts().registration {
            return Err(Refusal::forbidden("registration is switched off on this server"));
        }
        let email = address_of(&new.email)?;
        self.check_password(&new.password)?;
        let first_name = person_name("first_name", new.first_name)?;
        let last_name = person_name("last_name", new.last_name)?;
        self.auth().attempts.register(address).map_err(too_often)?;
        if self.store().find_user_by_email(&email).await?.is_some() {
            return Err(email_taken());
        }
        let hash =
            self.auth().passwords.hash(new.password).await.map_err(|error| unhashed(&error))?;
        let new = NewUser {
            password_hash: Some(hash),
            first_name,
            last_name,
            birthday: new.birthday,
            balance: self.chats().initial_balance.into(),
            ..NewUser::called(email)
        };
        self.store().start_user(new).await.map_err(taken)
    }

    /// Logs a user in: a login of its own, and its token.
    pub async fn log_in(
        &self,
        email: &str,
        password: String,
        address: IpAddr,
    ) -> Result<String, Refusal> {
        let found = self.store().find_password(email).await?;
        let (user, proven) = self.prove(email, found, password, address).await?;
        if !user.active {
            return Err(Refusal::new(RefusalKind::Inactive, "the account is not active"));
        }
        let principal = Principal::User(user.id);
        let expires = self.auth().tokens.expiry(principal);
        let login = self.store().start_proven_login(principal, expires, &proven, None).await?;
        let login = login.ok_or_else(wrong_password)?;
        self.tell_circles(&user, CircleChange::Connected).await?;
        Ok(self.auth().tokens.issue(principal, login, expires))
    }

    /// The account whose password it is, and what is stored of that. Who does not exist is told
    /// so only after the same work.
    pub(super) async fn prove(
        &self,
        email: &str,
        found: Option<(User, Option<String>)>,
        password: String,
        address: IpAddr,
    ) -> Result<(User, String), Refusal> {
        let key = email.trim().to_lowercase();
        let (user, stored) = found.map_or((None, None), |(user, stored)| (Some(user), stored));
        let account = user
            .as_ref()
            .map_or(Account::Unknown(&key), |user| Account::Known(Principal::User(user.id)));
        let attempt = Attempt { account, address, stored: stored.clone() };
        let verdict = self.auth().prove(attempt, password.clone()).await.map_err(too_often)?;
        let user = user.ok_or_else(|| Refusal::not_found("there is no such account"))?;
        let principal = Principal::User(user.id);
        let proven = self.proven(principal, verdict, stored.unwrap_or_default(), password).await?;
        Ok((user, proven))
    }

    /// What is stored of a password that was proven; an outdated hash is made anew.
    pub(super) async fn proven(
        &self,
        principal: Principal,
        verdict: Verdict,
        stored: String,
        password: String,
    ) -> Result<String, Refusal> {
        match verdict {
            Verdict::Wrong => Err(wrong_password()),
            Verdict::Right => Ok(stored),
            Verdict::Outdated => {
                let hash = self.auth().passwords.hash(password).await;
                let hash = hash.map_err(|error| unhashed(&error))?;
                self.store().renew_password(principal, &stored, &hash).await?;
                Ok(hash)
            }
        }
    }

    /// Ends the login by which a user asks.
    pub async fn log_out(&self, caller: &Caller) -> Result<(), Refusal> {
        let user = self.own_account(caller).await?;
        self.end_login(caller).await?;
        self.tell_circles(&user, CircleChange::Disconnected).await
    }

    /// Ends the login by which somebody asks.
    pub(super) async fn end_login(&self, caller: &Caller) -> Result<(), Refusal> {
        let ending = Ending {
            principal: caller.principal,
            only: Some(caller.login),
            except: None,
            deactivated: false,
        };
        self.store().end_logins(ending).await?;
        Ok(())
    }

    pub(super) async fn tell_circles(
        &self,
        user: &User,
        change: fn(Party) -> CircleChange,
    ) -> Result<(), Refusal> {
        let who = Party::User(user.clone().into());
        let mut news = News::none();
        for circle in self.store().circle_ids(who.principal()).await? {
            let event = Event::CircleChanged { circle, change: change(who.clone()) };
            news = news.circle(circle, Notice::new([Topic::Circle(circle)], event));
        }
        self.store().tell(news).await;
        Ok(())
    }

    /// The account of the user who asks.
    pub async fn own_account(&self, caller: &Caller) -> Result<User, Refusal> {
        let id = user_of(caller)?;
        let user = self.store().find_user(id).await?;
        user.ok_or_else(|| Refusal::not_found("there is no such account"))
    }

    /// Changes one's own account.
    pub async fn modify(&self, caller: &Caller, wish: Modification) -> Result<(), Refusal> {
        let change = UserChange {
            email: wish.email.as_deref().map(address_of).transpose()?,
            first_name: wish.first_name.map(|name| person_name("first_name", name)).transpose()?,
            last_name: wish.last_name.map(|name| person_name("last_name", name)).transpose()?,
            birthday: wish.birthday.map(Some),
            ..UserChange::default()
        };
        self.amend(caller, user_of(caller)?, change).await
    }

    /// Changes one's own password, which ends all other logins.
    pub async fn change_password(
        &self,
        caller: &Caller,
        email: &str,
        previous: String,
        new: String,
    ) -> Result<(), Refusal> {
        let id = user_of(caller)?;
        let found = self.store().find_password(email).await?;
        // Somebody else's address is as unknown as any.
        let found = found.filter(|(user, _)| user.id == id);
        let user = match found {
            None => return Err(Refusal::not_found("this is not your e-mail address")),
            Some(found) => self.prove(email, Some(found), previous, caller.address).await?.0,
        };
        self.check_password(&new)?;
        let hash = self.auth().passwords.hash(new).await.map_err(|error| unhashed(&error))?;
        let keep_login: Option<LoginId> = Some(caller.login);
        let change =
            UserChange { password_hash: Some(Some(hash)), keep_login, ..UserChange::default() };
        self.amend(caller, user.id, change).await
    }

    async fn amend(&self, caller: &Caller, id: UserId, change: UserChange) -> Result<(), Refusal> {
        match self.store_for(caller).change_user(id, change).await.map_err(taken)? {
            Amended::To(_) => Ok(()),
            Amended::BadBalance(_) => Err(Refusal::malformed("the balance would fall below zero")),
            Amended::Gone => Err(Refusal::not_found("there is no such account")),
        }
    }

    /// Whether an address may still be registered.
    pub async fn is_email_free(&self, email: &str) -> Result<bool, Refusal> {
        Ok(self.store().find_password(email).await?.is_none())
    }

    /// Notes where pushes to the user's phone go.
    pub async fn set_android_token(&self, caller: &Caller, token: String) -> Result<(), Refusal> {
        if token.chars().count() > PUSH_TOKEN_CHARS {
            return Err(too_long("android_token", PUSH_TOKEN_CHARS));
        }
        Ok(self.store_for(caller).set_android_token(user_of(caller)?, token).await?)
    }

    /// A token for chat bots, which tells who the user is and opens nothing here.
    pub async fn introduce_to_bots(&self, caller: &Caller) -> Result<String, Refusal> {
        let user = self.own_account(caller).await?;
        Ok(self.auth().tokens.introduce(user.id, &user.first_name, &user.last_name))
    }

    /// An account as the asker may see it: of somebody else only what both share.
    pub async fn profile(&self, caller: &Caller, id: UserId) -> Result<Profile, Refusal> {
        let store = self.store();
        let unknown = || Refusal::not_found("there is no such user");
        let user = store.find_user(id).await?.ok_or_else(unknown)?;
        let account = Principal::User(id);
        let own = caller.principal == account;
        let shares = own || store.shares(caller.principal, account).await?;
        policy::may_see_account(caller.principal, account, shares)?;
        let mut circles = store.list_circles_of(id).await?;
        let mut conversations = store.list_memberships(id).await?;
        let invites = if own { store.list_invites_of(id).await? } else { Vec::new() };
        if !own {
            let common = store.circle_ids(caller.principal).await?;
            circles.retain(|(_, circle)| common.contains(&circle.id));
            let theirs = self.conversations_of(caller).await?;
            conversations.retain(|(_, conversation)| theirs.contains(&conversation.id));
        }
        // Files are for those in one circle alone, as when they are fetched.
        let near = own || store.share_circle(caller.principal, account).await?;
        let medias =
            if near { store.list_medias(MediaOwner::User(id), None).await? } else { vec![] };
        Ok(Profile { user, circles, invites, conversations, medias })
    }

    /// Where somebody takes part.
    async fn conversations_of(&self, caller: &Caller) -> Result<BTreeSet<ConversationId>, Refusal> {
        let found = match caller.principal {
            Principal::User(user) => self.store().list_letter_conversations(user).await?,
            Principal::Device(_) => {
                let mut found = Vec::new();
                for circle in self.store().circle_ids(caller.principal).await? {
                    found.extend(self.store().list_conversations_of_circle(circle).await?);
                }
                found.retain(|conversation| conversation.device_access);
                found
            }
        };
        Ok(found.into_iter().map(|conversation| conversation.id).collect())
    }

    /// Characters a password has at least.
    pub fn min_password_length(&self) -> usize {
        self.accounts().min_password_length.get()
    }

    /// Seconds for which a user's token is good.
    pub fn token_lifetime(&self) -> i64 {
        self.accounts().token_lifetime.get()
    }

    /// The moment by which what runs out is measured.
    pub fn now(&self) -> Timestamp {
        self.clock().now()
    }

    /// Changes anybody's account, for administrators.
    pub async fn amend_account(
        &self,
        caller: &Caller,
        id: UserId,
        change: UserChange,
    ) -> Result<Amended, Refusal> {
        let permit = self.require_administrator(caller).await?;
        Ok(self.store_for(caller).amend_user(&permit, id, change).await?)
    }

    pub(super) fn check_password(&self, password: &str) -> Result<(), Refusal> {
        let least = self.accounts().min_password_length.get();
        if password.chars().count() < least {
            let text = format!("a password has at least {least} characters");
            return Err(Refusal::malformed(text));
        }
        if password.len() > PASSWORD_BYTES {
            return Err(too_long("password", PASSWORD_BYTES));
        }
        Ok(())
    }
}

/// The principal's user, where only users may ask.
pub(super) fn user_of(caller: &Caller) -> Result<UserId, Refusal> {
    caller.principal.user().ok_or_else(|| Refusal::forbidden("only users may do this"))
}

fn address_of(text: &str) -> Result<Email, Refusal> {
    let email = Email::new(text).filter(|email| email.as_str().chars().count() <= EMAIL_CHARS);
    email.ok_or_else(|| Refusal::malformed("email is not an e-mail address"))
}

fn person_name(key: &str, name: String) -> Result<String, Refusal> {
    if name.chars().count() > NAME_CHARS {
        return Err(too_long(key, NAME_CHARS));
    }
    Ok(name)
}

/// A text that its column would not hold.
pub(super) fn too_long(key: &str, limit: usize) -> Refusal {
    Refusal::malformed(format!("{key} may have at most {limit} characters"))
}

pub(super) fn wrong_password() -> Refusal {
    Refusal::new(RefusalKind::WrongPassword, "the password is wrong")
}

fn email_taken() -> Refusal {
    Refusal::conflict("the e-mail address is taken")
}

fn taken(error: StoreError) -> Refusal {
    if error.is_duplicate_of("uq_users_email_key") { email_taken() } else { error.into() }
}

pub(super) fn too_often(error: TooOften) -> Refusal {
    let TooOften { retry_after } = error;
    Refusal::new(RefusalKind::TooOften { retry_after }, error.to_string())
}

pub(super) fn unhashed(error: &PasswordError) -> Refusal {
    tracing::error!(error = error as &dyn std::error::Error, "hashing failed");
    Refusal::unavailable()
}
