//! A client's command, handed to the use case that carries it out.

use super::{Caller, Services};
use crate::domain::{CallCommand, CallReply, Command, Outcome, Refusal, Reply, Topic};

impl Services {
    /// Carries out a command of a connection; who asks must be known for all but the
    /// addresses of servers.
    pub async fn execute(&self, caller: Option<&Caller>, command: Command) -> Outcome {
        let is_new = matches!(
            command,
            Command::Sync { .. }
                | Command::ReadHistory { .. }
                | Command::MarkRead { .. }
                | Command::Calls(_)
        );
        let outcome = self.run(caller, command).await;
        let answered =
            outcome.as_ref().is_ok_and(|reply| !matches!(reply, Reply::Calls(CallReply::Silence)));
        if let Some(caller) = caller.filter(|_| is_new && answered) {
            self.note_new_client(caller);
        }
        outcome
    }

    async fn run(&self, caller: Option<&Caller>, command: Command) -> Outcome {
        let known = || caller.ok_or_else(Refusal::unidentified);
        match command {
            Command::StunServers { host } => Ok(Reply::Servers(self.stun_servers(host.as_deref()))),
            Command::TurnServers { host } => Ok(Reply::Servers(self.turn_servers(host.as_deref()))),
            Command::TurnCredentials => Ok(self.turn_credentials(known()?)),
            Command::JoinConversation(id) => {
                self.attend_and_know(known()?, id).await.map(Reply::Attending)
            }
            Command::LeaveConversation(id) => {
                self.leave_conversation(known()?, id).await;
                Ok(Reply::Done)
            }
            Command::JoinCircle(id) => self.attend_circle(known()?, id).await.map(|()| Reply::Done),
            Command::LeaveCircle(id) => {
                self.leave(known()?, Topic::Circle(id));
                Ok(Reply::Done)
            }
            Command::EditMessage { conversation, message, text, within } => {
                self.edit_in(known()?, conversation, message, text, within).await
            }
            Command::RemoveMessage { conversation, message, within } => {
                let caller = known()?;
                self.remove_in(caller, conversation, message, within).await.map(|()| Reply::Done)
            }
            Command::Letters(command) => self.letters(known()?, command).await.map(Reply::Letters),
            Command::Rooms(command) => self.run_in_rooms(known()?, command).await.map(Reply::Rooms),
            Command::Chats(command) => self.chat(known()?, command).await.map(Reply::Chats),
            Command::Dialogs(command) => {
                self.keep_dialogs(known()?, command).await.map(Reply::Dialogs)
            }
            Command::PostMessage(draft) => self.post(known()?, draft).await.map(Reply::Posted),
            Command::SetTyping { conversation, typing, dialect } => {
                self.set_typing(known()?, conversation, typing, dialect).await.map(|()| Reply::Done)
            }
            Command::Sync { conversation, since, limit } => {
                self.sync(known()?, conversation, since, limit).await.map(Reply::Page)
            }
            Command::ReadHistory { conversation, before, limit } => {
                self.history(known()?, conversation, before, limit).await.map(Reply::Page)
            }
            Command::MarkRead { conversation, seq } => {
                self.mark_read(known()?, conversation, seq).await.map(Reply::ReadUpTo)
            }
            Command::MarkSeen { messages, dialect } => {
                self.mark_seen(known()?, &messages, dialect).await.map(|()| Reply::Done)
            }
            Command::Calls(
                command @ (CallCommand::LeaveRoom(_) | CallCommand::ForwardInRoom { .. }),
            ) => match caller {
                Some(caller) => self.call(caller, command).await.map(Reply::Calls),
                None => Ok(Reply::Calls(CallReply::Silence)),
            },
            Command::Calls(command) => self.call(known()?, command).await.map(Reply::Calls),
            Command::ForwardSignal { target, content } => {
                self.forward_signal(known()?, target, content).await.map(|()| Reply::Done)
            }
        }
    }
}
