//! Socket.IO: Engine.IO 3 and 4, by polling and by WebSocket.

mod packet;

pub use packet::{AckId, Data, Frame, Packet};
