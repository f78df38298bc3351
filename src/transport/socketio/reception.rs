//! Receives new sockets, and hands over what they send in the order it came.
//!
//! The library spawns a task for every handler that is a function, so they overtake each
//! other. These are not functions: what they do is done when they return, on the reading path.
//! They are set up before the client hears that it is connected, so no packet is missed, and
//! nothing else is started then, for broken handshakes come as far as that.

use std::{
    fmt::Display,
    future::{Future, ready},
    pin::Pin,
    sync::{Arc, Weak},
};

use socketioxide::{
    adapter::LocalAdapter,
    handler::{ConnectHandler, DisconnectHandler, MessageHandler, Value},
    socket::{DisconnectReason, Socket},
};

use super::{
    Shared, SocketTransport, connection::Connection, event, inbox::Item, packet::AckId, query,
    registry::Line,
};

/// How much of `auth` is looked at, in bytes.
const MAX_AUTH: usize = 64 << 10;

type Refusal = Box<dyn Display + Send>;

/// Receives the sockets of the namespace.
#[derive(Clone)]
pub(super) struct Reception(pub(super) Weak<Shared>);

impl Reception {
    fn prepare(&self, socket: &Arc<Socket>) -> Result<(), Refusal> {
        let shared = self.0.upgrade().ok_or_else(|| Box::new("shutting down") as Refusal)?;
        let connection = Connection::new(socket.id, &shared);
        if let Some(line) = socket.req_parts().extensions.get::<Arc<Line>>() {
            shared.registry.add_line(socket.id, line);
        }
        let max_bytes = shared.settings.event_bytes;
        socket.on_fallback(Feed { connection: connection.clone(), max_bytes });
        socket.on_disconnect(Farewell(connection));
        Ok(())
    }
}

impl ConnectHandler<LocalAdapter, ()> for Reception {
    fn call(&self, socket: Arc<Socket>, auth: Option<Value>) {
        let Some(shared) = self.0.upgrade() else { return };
        if let Some(connection) = shared.registry.connection(socket.id) {
            let token = auth
                .and_then(|auth| auth_token(&auth))
                .or_else(|| query::token(&socket.req_parts().uri).map(Into::into));
            (shared.on_connection)(SocketTransport::new(socket, connection, token));
        }
    }

    fn call_middleware<'a>(
        &'a self,
        socket: Arc<Socket>,
        _: &'a Option<Value>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>> {
        Box::pin(ready(self.prepare(&socket)))
    }
}

/// The token in what a newer client says when it connects; `None` if it says none.
fn auth_token(auth: &Value) -> Option<serde_json::Value> {
    #[derive(serde::Deserialize)]
    struct Auth {
        token: Option<serde_json::Value>,
    }
    let Value::Str(text, _) = auth else { return None };
    // Nobody's token is that long.
    let text = (text.len() <= MAX_AUTH).then_some(text)?;
    let Auth { token } = serde_json::from_str(text).ok()?;
    token.filter(|token| token != "")
}

/// Feeds a socket's events into its inbox.
struct Feed {
    connection: Arc<Connection>,
    max_bytes: usize,
}

impl MessageHandler<LocalAdapter, ()> for Feed {
    fn call(&self, _: Arc<Socket>, value: Value, ack: Option<i64>) {
        let Value::Str(text, attachments) = value else { return };
        let ack = ack.map(AckId);
        let attached: usize = attachments.iter().flatten().map(bytes::Bytes::len).sum();
        if text.len() + attached > self.max_bytes {
            let channel = event::read_channel(&text).unwrap_or_default();
            return self.connection.take(Item::TooLarge { channel, ack });
        }
        self.connection.take(Item::Event { text, ack, is_binary: attachments.is_some() });
    }
}

/// Tells a connection that its client has gone.
struct Farewell(Arc<Connection>);

impl DisconnectHandler<LocalAdapter, ()> for Farewell {
    fn call_with_defer(&self, socket: Arc<Socket>, _: DisconnectReason, defer: fn(Arc<Socket>)) {
        self.0.farewell();
        defer(socket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_where_clients_put_them() {
        let table = [
            (r#"{"token":"a.b.c"}"#, Some("\"a.b.c\"")),
            (r#"{"more":[1],"token":"a"}"#, Some("\"a\"")),
            // Wrong, and told so.
            (r#"{"token":5}"#, Some("5")),
            (r#"{"token":""}"#, None),
            (r#"{"token":null}"#, None),
            ("{}", None),
            ("[]", None),
            ("\"a\"", None),
            ("{", None),
            ("", None),
        ];
        for (auth, expected) in table {
            let token = auth_token(&Value::Str(auth.into(), None)).map(|token| token.to_string());
            assert_eq!(token.as_deref(), expected, "{auth}");
        }
    }
}
