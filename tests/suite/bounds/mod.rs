//! What strangers cannot fill: places, memory, time; and that refusals reach whoever sends much.

mod answers;
mod bodies;
mod lists;
mod names;
mod places;
mod sockets;

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::site::Process;

/// How long any state may be waited for.
const DEADLINE: Duration = Duration::from_mins(2);

/// Where a server listens, as `host:port`.
fn host(server: &Process) -> &str {
    server.url.strip_prefix("http://").expect("an http address")
}

/// Connects, sends this, and leaves the connection open.
async fn say(server: &Process, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(host(server)).await.unwrap();
    // Whoever is refused may be so before it has said everything.
    let _ = stream.write_all(bytes.as_ref()).await;
    stream
}

/// Everything that is sent until the server ends the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut read)).await.expect("the end in time");
    String::from_utf8_lossy(&read).into_owned()
}

/// The status of an answer.
fn status(answer: &str) -> u16 {
    let word = answer.split(' ').nth(1);
    word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// One request on a connection of its own, which ends with it; the whole answer.
async fn ask(server: &Process, head: &str, body: &[u8]) -> String {
    let request = format!(
        "{head}\r\nHost: chat\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = say(server, [request.as_bytes(), body].concat()).await;
    rest(&mut stream).await
}
