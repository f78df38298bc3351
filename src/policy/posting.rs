//! Who may post, edit and remove messages, and tell that they are typing.

use std::time::Duration;

use super::Standing;
use crate::domain::{
    ConversationId, Kind, LinkId, Message, MessageId, Principal, Refusal, Timestamp,
};

permit! {
    /// Proof that its holder may post as `author` in `conversation`.
    MayPost {
        /// Who posts.
        author: Principal,
        /// Where.
        conversation: ConversationId,
        /// Under which membership; none for devices.
        link: Option<LinkId>,
        /// What kind of conversation it is.
        kind: Kind,
    }
}

permit! {
    /// Proof that its holder may change the words of a message.
    MayEdit {
        /// Who edits.
        editor: Principal,
        /// Where.
        conversation: ConversationId,
        /// Which message.
        message: MessageId,
    }
}

permit! {
    /// Proof that its holder may remove a message.
    MayRemove {
        /// Who removes.
        remover: Principal,
        /// Where.
        conversation: ConversationId,
        /// Which message.
        message: MessageId,
    }
}

permit! {
    /// Proof that its holder may tell a conversation that `who` is typing.
    MayType {
        /// Who types.
        who: Principal,
        /// Where.
        conversation: ConversationId,
    }
}

/// Who takes part posts.
pub fn may_post(standing: &Standing) -> Result<MayPost, Refusal> {
    standing.require_part()?;
    Ok(MayPost {
        author: standing.principal,
        conversation: standing.conversation.id,
        link: standing.seat.map(|seat| seat.link),
        kind: standing.conversation.kind,
    })
}

/// Authors edit while they take part; a device edits what any device of its circle said.
pub fn may_edit(standing: &Standing, message: &Message) -> Result<MayEdit, Refusal> {
    standing.require_part()?;
    let device_to_device =
        standing.principal.device().is_some() && message.author.device().is_some();
    if message.author != standing.principal && !device_to_device {
        return Err(Refusal::forbidden("only its author may change a message"));
    }
    Ok(MayEdit {
        editor: standing.principal,
        conversation: standing.conversation.id,
        message: message.id,
    })
}

/// Whether somebody may remove what others said.
pub fn keeps_order(standing: &Standing) -> bool {
    standing.staff && standing.conversation.kind == Kind::Room
}

/// Authors may be given only so long to change their minds.
pub fn require_in_time(
    sent: Timestamp,
    now: Timestamp,
    within: Option<Duration>,
) -> Result<(), Refusal> {
    let over = within.is_some_and(|within| {
        let age = now.micros().saturating_sub(sent.micros());
        u128::try_from(age).is_ok_and(|age| age > within.as_micros())
    });
    if over { Err(Refusal::forbidden("the time to change this message is over")) } else { Ok(()) }
}

/// Authors remove what they said while they take part; in rooms staff removes anything.
pub fn may_remove(standing: &Standing, message: &Message) -> Result<MayRemove, Refusal> {
    standing.require_part()?;
    if message.author != standing.principal && !keeps_order(standing) {
        return Err(Refusal::forbidden("only its author may remove a message"));
    }
    Ok(MayRemove {
        remover: standing.principal,
        conversation: standing.conversation.id,
        message: message.id,
    })
}

/// Who takes part types.
pub fn may_type(standing: &Standing) -> Result<MayType, Refusal> {
    standing.require_part()?;
    Ok(MayType { who: standing.principal, conversation: standing.conversation.id })
}

#[cfg(test)]
mod tests {
    use super::super::standing::facts::*;
    use super::*;
    use crate::domain::{Access, DeviceId, MessageKind, Revision, Seq};

    fn said_by(author: Principal) -> Message {
        Message {
            id: MessageId::new(5),
            conversation: group().id,
            seq: Seq::new(1),
            revision: Revision::new(1),
            place: None,
            author,
            link: None,
            kind: MessageKind::Text,
            text: "hi".into(),
            smile: None,
            sent: Timestamp::default(),
            edited: None,
            deleted: None,
            read: None,
            media_count: 0,
            medias: Vec::new(),
        }
    }

    #[test]
    fn authors_may_be_given_only_so_long() {
        let sent = Timestamp::from_secs(100);
        let minute = Some(Duration::from_mins(1));
        for (now, within, verdict) in
            [(1_000, None, true), (160, minute, true), (161, minute, false), (90, minute, true)]
        {
            let result = require_in_time(sent, Timestamp::from_secs(now), within);
            assert_eq!(result.is_ok(), verdict, "{now}");
        }
    }

    #[test]
    fn posting_and_typing_are_for_those_who_take_part() {
        let table = [
            (member(group()), true),
            (outsider(group()), false),
            (member(pair()), true),
            (outsider(pair()), false),
            (member(room(Access::Open)), true),
            (member(room(Access::Staff)), false),
            (device(with_device(group()), true), true),
            (device(with_device(group()), false), false),
            (device(group(), true), false),
        ];
        for (standing, verdict) in table {
            assert_eq!(may_post(&standing).is_ok(), verdict, "{standing:?}");
            assert_eq!(may_type(&standing).is_ok(), verdict, "{standing:?}");
        }
    }

    #[test]
    fn changing_and_removing_are_for_authors() {
        let ann = said_by(Principal::User(ANN));
        let bob = said_by(Principal::User(BOB));
        let device_one = said_by(Principal::Device(BOX));
        let device_two = said_by(Principal::Device(DeviceId::new(2)));
        let here = || device(with_device(group()), true);
        let table = [
            (member(group()), &ann, true, true),
            (member(group()), &bob, false, false),
            (admin(group()), &bob, false, false),
            (outsider(group()), &ann, false, false),
            (member(group()), &device_one, false, false),
            (here(), &device_one, true, true),
            (here(), &device_two, true, false),
            (here(), &ann, false, false),
            (device(group(), true), &device_one, false, false),
            (device(with_device(group()), false), &device_one, false, false),
            (staff(member(room(Access::Open))), &bob, false, true),
            (staff(member(group())), &bob, false, false),
            (staff(member(pair())), &bob, false, false),
            (member(room(Access::Open)), &bob, false, false),
        ];
        for (standing, message, edits, removes) in table {
            let case = (&standing, message.author);
            assert_eq!(may_edit(&standing, message).is_ok(), edits, "{case:?}");
            assert_eq!(may_remove(&standing, message).is_ok(), removes, "{case:?}");
        }
    }
}
