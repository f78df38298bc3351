//! A proxy that is reloaded closes in its clients' names what they have not read.

use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{open_personal, post_office, say};
use crate::support::raw::{Heard, Raw};
use crate::support::world::DEADLINE;

/// Passes one connection on, until it is told a code: then it closes to the server as its
/// client would, and reads the rest itself.
struct Proxy {
    address: SocketAddr,
    reload: mpsc::Sender<u16>,
}

impl Proxy {
    async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (reload, mut reloads) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let code: u16 = tokio::select! {
                    Some(code) = reloads.recv() => code,
                    _ = copy(&mut from_client, &mut to_server) => continue,
                    _ = copy(&mut from_server, &mut to_client) => continue,
                };
                let [high, low] = code.to_be_bytes();
                // Its mask of zeros masks nothing.
                to_server.write_all(&[0x88, 0x82, 0, 0, 0, 0, high, low]).await.unwrap();
                let mut rest = Vec::new();
                let _ = timeout(DEADLINE, from_server.read_to_end(&mut rest)).await.unwrap();
            }
        });
        Self { address, reload }
    }
}

/// 9.2: nothing is confirmed by it, whatever its code, and everything comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_closes_unread_comes_again() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let proxy = Proxy::before(world.port_of("courier")).await;
    let mut a = world.client_of(&ann).await;
    let id = open_personal(&mut a, &bob).await;
    let mut sent = Vec::new();
    for code in [1000, 1001, 4000] {
        let mut slow = Raw::connect(&format!("ws://{}/", proxy.address), &[]).await;
        slow.send(bob.id.to_string()).await;
        assert_eq!(slow.text().await, format!("user id {} received", bob.id));
        for number in 0..5 {
            sent.push(say(&mut a, "personal", id, &format!("{code} {number}")).await);
        }
        proxy.reload.send(code).await.unwrap();
        // The proxy ends what its client has not read.
        while !matches!(slow.next().await, Heard::Lost | Heard::Closed(..)) {}
        let mut b = world.client_of(&bob).await;
        for expected in &sent {
            assert_eq!(b.json().await["message_id"], json!(expected), "{code}");
        }
        b.vanish();
    }
    let mut b = world.client_of(&bob).await;
    for expected in &sent {
        assert_eq!(b.json().await["message_id"], json!(expected));
    }
    b.reads_nothing().await;
    b.close().await;
    let mut b = world.client_of(&bob).await;
    b.reads_nothing().await;
}
