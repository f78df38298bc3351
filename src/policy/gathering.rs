//! Who may make a group without a circle, and of whom.

use std::collections::BTreeSet;

use crate::domain::{Refusal, RefusalKind, UserId};

/// Proof that its holder may make a group of these.
#[derive(Debug)]
pub struct MayGather {
    creator: UserId,
    others: BTreeSet<UserId>,
}

impl MayGather {
    /// Who makes it, and administers it.
    pub const fn creator(&self) -> UserId {
        self.creator
    }

    /// Who else belongs to it.
    pub const fn others(&self) -> &BTreeSet<UserId> {
        &self.others
    }
}

/// Anybody gathers anybody: at least one other, and not more in all than `most`.
pub fn may_gather(
    creator: UserId,
    named: impl IntoIterator<Item = UserId>,
    most: usize,
) -> Result<MayGather, Refusal> {
    let others: BTreeSet<_> = named.into_iter().filter(|user| *user != creator).collect();
    if others.is_empty() {
        return Err(Refusal::malformed("a group has at least two members"));
    }
    if others.len() + 1 > most {
        let text = format!("a group may have at most {most} members (limits.group_members)");
        return Err(Refusal::new(RefusalKind::TooLarge, text));
    }
    Ok(MayGather { creator, others })
}

/// A group without a circle takes one more only while it has fewer than `most`.
pub fn require_room_for_one(members: usize, most: usize) -> Result<(), Refusal> {
    if members < most {
        return Ok(());
    }
    let text = format!("a group may have at most {most} members (limits.group_members)");
    Err(Refusal::forbidden(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_its_maker_and_at_least_one_other() {
        let user = UserId::new;
        let table: [(&[i64], Result<usize, RefusalKind>); 6] = [
            (&[2], Ok(1)),
            (&[1, 2, 2, 3], Ok(2)),
            (&[], Err(RefusalKind::Malformed)),
            (&[1, 1], Err(RefusalKind::Malformed)),
            (&[1, 2, 3], Ok(2)),
            (&[2, 3, 4], Err(RefusalKind::TooLarge)),
        ];
        for (named, verdict) in table {
            let found = may_gather(user(1), named.iter().copied().map(user), 3);
            let found = found.map(|permit| permit.others().len()).map_err(|no| no.kind());
            assert_eq!(found, verdict, "{named:?}");
        }
    }
}
