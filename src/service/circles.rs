//! Circles: made, shown, renamed, joined, left.

use super::accounts::{too_long, user_of};
use super::{Caller, Services, found};
use crate::domain::{
    Circle, CircleId, CircleLink, Conversation, Device, Email, Invite, InviteId, Media, MediaOwner,
    Refusal, User,
};
use crate::policy::{self, CircleStanding};

/// Characters a name of a circle or a device has at most.
pub(super) const TITLE_CHARS: usize = 120;

/// A circle with everything in it.
#[derive(Clone, Debug)]
pub struct CircleContent {
    /// The circle.
    pub circle: Circle,
    /// Who is in it.
    pub members: Vec<(CircleLink, User)>,
    /// Its device.
    pub device: Option<Device>,
    /// Who is invited.
    pub invites: Vec<(Invite, User)>,
    /// All its conversations.
    pub conversations: Vec<Conversation>,
    /// Its files.
    pub medias: Vec<Media>,
}

impl Services {
    /// Makes a circle; who makes it is in it.
    pub async fn start_circle(&self, caller: &Caller, name: &str) -> Result<Circle, Refusal> {
        let user = user_of(caller)?;
        check_title("name", name)?;
        Ok(self.store_for(caller).start_circle(user, name).await?)
    }

    /// Renames a circle.
    pub async fn rename_circle(
        &self,
        caller: &Caller,
        id: CircleId,
        name: Option<String>,
    ) -> Result<(), Refusal> {
        let permit = policy::may_rename_circle(&self.circle_standing(caller, id).await?)?;
        name.as_deref().map_or(Ok(()), |name| check_title("name", name))?;
        found(self.store_for(caller).rename_circle(permit, name).await?, unknown_circle)
    }

    /// A circle with everything in it.
    pub async fn circle_content(
        &self,
        caller: &Caller,
        id: CircleId,
    ) -> Result<CircleContent, Refusal> {
        let standing = self.circle_standing(caller, id).await?;
        policy::may_see_circle(&standing)?;
        let store = self.store();
        let device = match standing.circle.device {
            Some(device) => store.find_device(device).await?,
            None => None,
        };
        Ok(CircleContent {
            members: store.list_circle_members(id).await?,
            device,
            invites: store.list_invites_into(id).await?,
            conversations: store.list_conversations_of_circle(id).await?,
            medias: store.list_medias(MediaOwner::Circle(id), None).await?,
            circle: standing.circle,
        })
    }

    /// The circle that a device speaks for.
    pub async fn own_circle(&self, caller: &Caller) -> Result<CircleId, Refusal> {
        let circles = self.store().circle_ids(caller.principal).await?;
        circles.first().copied().ok_or_else(unknown_circle)
    }

    /// The circles a user is in.
    pub async fn list_circles(&self, caller: &Caller) -> Result<Vec<Circle>, Refusal> {
        let found = self.store().list_circles_of(user_of(caller)?).await?;
        Ok(found.into_iter().map(|(_, circle)| circle).collect())
    }

    /// Invites somebody into a circle.
    pub async fn invite_to_circle(
        &self,
        caller: &Caller,
        id: CircleId,
        email: &str,
    ) -> Result<(), Refusal> {
        let standing = self.circle_standing(caller, id).await?;
        policy::may_see_circle(&standing)?;
        let user = self.user_called(email).await?;
        let inside = self.store().find_circle_link(id, user.id).await?.is_some();
        let invited = self.store().is_invited(id, user.id).await?;
        let permit = policy::may_invite_to_circle(&standing, user.id, inside, invited)?;
        self.pace_invitations(caller.principal)?;
        match self.store_for(caller).invite_to_circle(permit).await {
            Ok(invite) => found(invite.is_some(), unknown_circle),
            Err(error) if error.is_duplicate_of("uq_circle_invites_circle_id_user_id") => {
                Err(Refusal::conflict("this user is invited already"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Accepts an invitation.
    pub async fn join_circle(&self, caller: &Caller, id: InviteId) -> Result<(), Refusal> {
        let invite = self.find_invite(id).await?;
        let permit = policy::may_answer_invite(user_of(caller)?, &invite)?;
        match self.store_for(caller).join_circle(permit).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(unknown_invite()),
            Err(error) if error.is_duplicate_of("uq_circle_members_circle_id_user_id") => {
                Err(Refusal::conflict("you are a member of this circle already"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Turns an invitation down.
    pub async fn reject_invite(&self, caller: &Caller, id: InviteId) -> Result<(), Refusal> {
        let invite = self.find_invite(id).await?;
        let permit = policy::may_answer_invite(user_of(caller)?, &invite)?;
        found(self.store_for(caller).reject_invite(permit).await?, unknown_invite)
    }

    /// Leaves a circle, and its conversations with it.
    pub async fn quit_circle(&self, caller: &Caller, id: CircleId) -> Result<(), Refusal> {
        let permit = policy::may_quit_circle(&self.circle_standing(caller, id).await?)?;
        found(self.store_for(caller).quit_circle(permit).await?, || {
            Refusal::forbidden("you are not a member of this circle")
        })
    }

    /// Puts a member out of a circle, and out of its conversations.
    pub async fn kick_from_circle(
        &self,
        caller: &Caller,
        id: CircleId,
        email: &str,
    ) -> Result<(), Refusal> {
        let standing = self.circle_standing(caller, id).await?;
        policy::may_see_circle(&standing)?;
        let stranger = || Refusal::forbidden("this user is not a member of the circle");
        // Who is unknown and who is not a member look alike here.
        let target = self.user_called(email).await.map_err(|_| stranger())?;
        let link = self.store().find_circle_link(id, target.id).await?.map(|link| link.id);
        let permit = policy::may_kick_from_circle(&standing, target.id, link)?;
        found(self.store_for(caller).kick_from_circle(permit).await?, stranger)
    }

    /// How the asker stands to a circle.
    pub(super) async fn circle_standing(
        &self,
        caller: &Caller,
        id: CircleId,
    ) -> Result<CircleStanding, Refusal> {
        let standing = self.store().circle_standing(caller.principal, id).await?;
        standing.ok_or_else(unknown_circle)
    }

    /// The user with this address.
    pub(super) async fn user_called(&self, email: &str) -> Result<User, Refusal> {
        let unknown = || Refusal::not_found("there is no user with this e-mail address");
        let email = Email::new(email).ok_or_else(unknown)?;
        self.store().find_user_by_email(&email).await?.ok_or_else(unknown)
    }

    async fn find_invite(&self, id: InviteId) -> Result<Invite, Refusal> {
        self.store().find_invite(id).await?.ok_or_else(unknown_invite)
    }
}

/// A name that its column holds.
pub(super) fn check_title(key: &str, title: &str) -> Result<(), Refusal> {
    if title.chars().count() > TITLE_CHARS {
        return Err(too_long(key, TITLE_CHARS));
    }
    Ok(())
}

pub(super) fn unknown_circle() -> Refusal {
    Refusal::not_found("there is no such circle")
}

fn unknown_invite() -> Refusal {
    Refusal::not_found("there is no such invitation")
}
