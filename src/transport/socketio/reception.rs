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
    Shared, SocketTransport, connection::Connection, event, inbox::Item, packet::AckId,
    registry::Line,
};

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
    fn call(&self, socket: Arc<Socket>, _: Option<Value>) {
        let Some(shared) = self.0.upgrade() else { return };
        if let Some(connection) = shared.registry.connection(socket.id) {
            (shared.on_connection)(SocketTransport::new(socket, connection));
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
