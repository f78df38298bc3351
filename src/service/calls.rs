//! Introducing the parties of a call: where servers are, passwords for them, and notes
//! that travel from inbox to inbox.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{Caller, Services};
use crate::domain::{
    Email, Event, IceServer, Principal, Refusal, RefusalKind, Reply, Signal, Target, Topic,
};
use crate::hub::{News, Notice};
use crate::policy;

impl Services {
    /// A name and password for TURN servers that share our secret.
    pub(super) fn turn_credentials(&self, caller: &Caller) -> Reply {
        let (username, password) = self.rtc().credentials(caller.principal, self.clock().now());
        Reply::TurnCredentials { username, password }
    }

    /// Where the STUN servers are; `host` is what the client itself called us.
    pub(super) fn stun_servers(&self, host: Option<&str>) -> Vec<IceServer> {
        self.rtc().stun_servers(host)
    }

    /// Where the TURN servers are; `host` is what the client itself called us.
    pub(super) fn turn_servers(&self, host: Option<&str>) -> Vec<IceServer> {
        self.rtc().turn_servers(host)
    }

    /// Forwards a note to all connections of another party; of one's own account, to all
    /// but the one that asks.
    pub(super) async fn forward_signal(
        &self,
        caller: &Caller,
        target: Target,
        content: Arc<RawValue>,
    ) -> Result<(), Refusal> {
        let to = self.party_of(target).await?;
        let shares = self.store().shares(caller.principal, to).await?;
        let _permit = policy::may_signal(caller.principal, to, shares)?;
        let signal = Signal { from: caller.principal, content };
        let mut connections = self.hub().roster().connections(to);
        connections.retain(|connection| caller.connection != Some(*connection));
        if connections.is_empty() {
            return Err(not_connected());
        }
        if to == caller.principal {
            for connection in connections {
                self.hub().offer_to(connection, Event::SignalSent(signal.clone()));
            }
            return Ok(());
        }
        let notice = Notice::new([Topic::Inbox(to)], Event::SignalSent(signal));
        self.store().tell(News::none().personal(notice)).await;
        Ok(())
    }

    async fn party_of(&self, target: Target) -> Result<Principal, Refusal> {
        match target {
            Target::User(id) => Ok(Principal::User(id)),
            Target::Device(id) => Ok(Principal::Device(id)),
            // Unknown and not connected look alike, so that nobody can probe for accounts.
            Target::Email(email) => {
                let email = Email::new(&email).ok_or_else(not_connected)?;
                let user = self.store().find_user_by_email(&email).await?;
                user.map(|user| Principal::User(user.id)).ok_or_else(not_connected)
            }
        }
    }
}

fn not_connected() -> Refusal {
    Refusal::new(RefusalKind::Offline, "the target is not connected")
}
