//! A way to a database server that can be cut: without a word, or at the answer to a commit.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

/// Listens on a port of its own and leads to a server's socket.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    running: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Connections that were opened before this many silences pass nothing on.
    silences: watch::Sender<usize>,
    /// The answer to a commit does not arrive.
    swallow_commits: AtomicBool,
    /// The connection is cut instead of being silent.
    cut: AtomicBool,
    /// By how many silences there had been, the connections that the client keeps.
    living: std::sync::Mutex<Vec<usize>>,
}

impl Proxy {
    pub(crate) async fn start(socket: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        let running = tokio::spawn(accept(listener, socket.to_owned(), Arc::clone(&shared)));
        Self { port, shared, running }
    }

    /// All connections there are pass nothing on from now on, and are not closed; new ones are led to the server.
    pub(crate) fn silence(&self) {
        self.shared.silences.send_modify(|count| *count += 1);
    }

    /// Whether the answers to commits are lost; what was asked is passed on. The connection is cut, or silent.
    pub(crate) fn swallow_commits(&self, swallow: bool, cut: bool) {
        self.shared.cut.store(cut, Ordering::SeqCst);
        self.shared.swallow_commits.store(swallow, Ordering::SeqCst);
    }

    /// How many connections the client keeps although nothing comes by them.
    pub(crate) fn kept_in_vain(&self) -> usize {
        let now = *self.shared.silences.borrow();
        self.shared.living.lock().unwrap().iter().filter(|opened| **opened != now).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn accept(listener: TcpListener, socket: PathBuf, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let (socket, shared) = (socket.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let opened_at = *shared.silences.borrow();
            shared.living.lock().unwrap().push(opened_at);
            if let Ok(server) = UnixStream::connect(&socket).await {
                lead(client, server, &shared, opened_at).await;
            }
            let mut living = shared.living.lock().unwrap();
            let place = living.iter().position(|other| *other == opened_at).unwrap();
            living.remove(place);
        });
    }
}

/// Passes on until the client closes, or is cut.
async fn lead(
    client: tokio::net::TcpStream,
    server: UnixStream,
    shared: &Shared,
    opened_at: usize,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // From here on this connection hears nothing any more.
    let deaf = AtomicBool::new(false);
    let forth = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let Ok(n @ 1..) = from_client.read(&mut buffer).await else { return };
            if *shared.silences.borrow() != opened_at {
                continue;
            }
            // In capitals as the drivers write it, not the name of the table.
            let commits = buffer[..n].windows(6).any(|word| word == b"COMMIT");
            if commits && shared.swallow_commits.load(Ordering::SeqCst) {
                deaf.store(true, Ordering::SeqCst);
            }
            if to_server.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let Ok(n @ 1..) = from_server.read(&mut buffer).await else { return };
            let silent = *shared.silences.borrow() != opened_at;
            if deaf.load(Ordering::SeqCst) && shared.cut.load(Ordering::SeqCst) {
                return;
            }
            if silent || deaf.load(Ordering::SeqCst) {
                continue;
            }
            if to_client.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    };
    // A server that closes is heard of only as long as the way is not silent.
    tokio::pin!(forth, back);
    tokio::select! {
        () = &mut forth => {}
        () = &mut back => {
            if *shared.silences.borrow() != opened_at {
                forth.await;
            }
        }
    }
}
