//! One socket, as a transport and as the sink into it.

use std::{net::IpAddr, sync::Arc};

use axum::extract::ConnectInfo;
use engineioxide::Str;
use http::HeaderMap;
use serde_json::value::RawValue;
use socketioxide::{
    ProtocolVersion, SendError, SocketError, TransportType,
    extract::AckSender,
    handler::{FromMessageParts, Value},
    socket::Socket,
};

use super::{
    connection::Connection,
    event,
    inbox::Item,
    packet::{AckId, Data, Frame, Packet},
};
use crate::transport::{Close, Full, Received, Sink, Transport, listener::Peer};

/// The server's end of a connection. The connection ends when this is dropped.
#[derive(Debug)]
pub struct SocketTransport {
    sink: SocketSink,
    /// The way under which the connection is counted; an upgrade changes it.
    counted: &'static str,
    /// The token that came with the connection.
    token: Option<Box<serde_json::Value>>,
    /// What is received before everything else.
    first: Option<Box<Packet>>,
}

impl SocketTransport {
    pub(super) fn new(
        socket: Arc<Socket>,
        connection: Arc<Connection>,
        token: Option<serde_json::Value>,
    ) -> Self {
        let (generation, counted) = (generation(&socket), transport(&socket));
        metrics::counter!("klatsch_socketio_connections_total", "engine" => generation,
            "transport" => counted)
        .increment(1);
        open_connections(&socket, counted).increment(1);
        let sink = SocketSink { socket, connection };
        Self { sink, counted, token: token.map(Box::new), first: None }
    }

    /// Counts the connection under the way it takes now.
    fn recount(&mut self) {
        let now = transport(&self.sink.socket);
        if now != self.counted {
            open_connections(&self.sink.socket, self.counted).decrement(1);
            open_connections(&self.sink.socket, now).increment(1);
            self.counted = now;
        }
    }

    /// The session's id.
    pub fn sid(&self) -> &str {
        self.sink.socket.id.as_str()
    }

    /// Where the request that began the session came from: what a layer in front found out
    /// and left as an `IpAddr` in the request's extensions, else the other end of its
    /// connection.
    pub fn client(&self) -> Option<IpAddr> {
        let extensions = &self.sink.socket.req_parts().extensions;
        let peer = || Some(extensions.get::<ConnectInfo<Peer>>()?.0.address.ip().to_canonical());
        extensions.get::<IpAddr>().copied().or_else(peer)
    }

    /// The token that came with the connection, once: in the `auth` of the packet by which a
    /// newer client connects, or in the query of its handshake.
    pub fn take_token(&mut self) -> Option<serde_json::Value> {
        self.token.take().map(|token| *token)
    }

    /// Has `packet` be received before what the client sends.
    pub fn receive_first(&mut self, packet: Packet) {
        self.first = Some(Box::new(packet));
    }

    /// The headers of the request that began the session.
    pub fn headers(&self) -> &HeaderMap {
        &self.sink.socket.req_parts().headers
    }
}

impl Transport for SocketTransport {
    type Incoming = Packet;
    type Outgoing = Frame;
    type Sink = SocketSink;

    fn sink(&self) -> SocketSink {
        self.sink.clone()
    }

    async fn receive(&mut self) -> Option<Received<Packet>> {
        // What is answered in one go must not exceed the sink, so a burst makes pauses.
        tokio::task::coop::consume_budget().await;
        if let Some(first) = self.first.take() {
            return Some(Received::Frame(*first));
        }
        let item = self.sink.connection.inbox.pop().await?;
        self.recount();
        let packet = match item {
            Item::Heartbeat => return Some(Received::Heartbeat),
            Item::TooLarge { channel, ack } => Packet { channel, data: Data::TooLarge, ack },
            Item::Event { text, ack, is_binary } => {
                let Ok((channel, data)) = event::read(&text) else {
                    self.sink.close(Close::Violation);
                    return None;
                };
                let data = if is_binary { Data::Binary } else { data };
                Packet { channel, data, ack }
            }
        };
        Some(Received::Frame(packet))
    }

    fn trust(&mut self) {
        self.sink.connection.trust();
    }
}

impl Drop for SocketTransport {
    fn drop(&mut self) {
        open_connections(&self.sink.socket, self.counted).decrement(1);
        if !self.sink.connection.has_ended() {
            // Nobody listens any more; the client should not believe that somebody does.
            self.sink.connection.cut();
        }
    }
}

/// The way out of a connection.
#[derive(Clone, Debug)]
pub struct SocketSink {
    socket: Arc<Socket>,
    connection: Arc<Connection>,
}

impl SocketSink {
    /// Whether both lead to the same client.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.connection, &other.connection)
    }

    fn acknowledge(&self, to: AckId, json: &RawValue) -> Result<(), SendError> {
        let mut nothing = Value::Str(Str::default(), None);
        let Ok(sender) = AckSender::from_message_parts(&self.socket, &mut nothing, &Some(to.0));
        sender.send(json)
    }
}

impl Sink<Frame> for SocketSink {
    fn send(&self, frame: Frame) -> Result<(), Full> {
        let sent = match frame {
            Frame::Emit { channel, json } => self.socket.emit(channel, &*json),
            Frame::Ack { to, json } => self.acknowledge(to, &json),
        };
        match sent {
            Ok(()) | Err(SendError::Socket(SocketError::Closed)) => Ok(()),
            Err(SendError::Socket(SocketError::InternalChannelFull)) => Err(Full),
            Err(SendError::Serialize(error)) => {
                tracing::error!(%error, "rendered JSON does not render");
                Ok(())
            }
        }
    }

    fn close(&self, close: Close) {
        self.connection.close(close, || {
            // There is no room for a goodbye only if nobody has listened for a while.
            let _ = socketioxide::extract::SocketRef::from(self.socket.clone()).disconnect();
        });
    }

    fn join(&self, group: &str) {
        self.socket.join(group.to_owned());
    }

    fn leave(&self, group: &str) {
        self.socket.leave(group.to_owned());
    }
}

/// The gauge of open connections of this generation that take this way.
fn open_connections(socket: &Socket, transport: &'static str) -> metrics::Gauge {
    metrics::gauge!("klatsch_socketio_connections", "engine" => generation(socket),
        "transport" => transport)
}

fn generation(socket: &Socket) -> &'static str {
    match socket.protocol() {
        ProtocolVersion::V4 => "3",
        ProtocolVersion::V5 => "4",
    }
}

fn transport(socket: &Socket) -> &'static str {
    match socket.transport_type() {
        TransportType::Polling => "polling",
        TransportType::Websocket => "websocket",
    }
}
