//! Accepts connections and speaks HTTP/1.1 on them; what is upgraded leaves here with its stream.
//!
//! Each request carries a [`Peer`] as its `ConnectInfo`: the address, and the handle by which
//! the connection can be ended; and the bare address as another, for those who need no more.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::{
    shield::shield,
    stream::Stream,
    tls::Tls,
    wire::{Io, Wire},
};

/// Takes connections that speak something else than HTTP, by their first byte.
#[derive(Clone)]
pub struct Diversion {
    /// Whether a connection that begins with this byte is taken.
    pub fits: fn(u8) -> bool,
    /// Takes it.
    pub take: Arc<dyn Fn(Io, SocketAddr) + Send + Sync>,
}

impl std::fmt::Debug for Diversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Diversion").finish_non_exhaustive()
    }
}

/// How connections are treated.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// How long a peer may take nothing of what it was sent, while the kernel still tries.
    pub user_timeout: Duration,
    /// How long a peer may take to send the head of its next request.
    pub head_timeout: Duration,
    /// How many connections may be open; further ones are answered 503.
    pub max_connections: usize,
    /// What is open: listeners with clones of the same settings count together.
    pub open: TaskTracker,
    /// Who takes what is not HTTP.
    pub diversion: Option<Diversion>,
    /// The certificate that is shown; with it HTTP comes by TLS alone.
    pub tls: Option<Tls>,
}

impl Default for ListenerSettings {
    fn default() -> Self {
        Self {
            user_timeout: Duration::from_mins(1),
            head_timeout: Duration::from_mins(1),
            max_connections: 100_000,
            open: TaskTracker::new(),
            diversion: None,
            tls: None,
        }
    }
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address; a proxy's, if there is one in between.
    pub address: SocketAddr,
    /// The address of ours that it called.
    pub called: SocketAddr,
    /// The stream below.
    pub wire: Arc<Wire>,
}

/// Serves `router` on `listener` until `shutdown`, and returns when the last request has been
/// answered. Upgraded connections go on; whoever took them ends them.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: ListenerSettings,
    shutdown: CancellationToken,
) {
    let conversations = TaskTracker::new();
    let server = Arc::new(Server { router, settings, shutdown });
    while let Some(accepted) = server.shutdown.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, address)) => {
                conversations.spawn(converse(server.clone(), stream, address));
            }
            Err(error) if concerns_one_peer(&error) => {}
            Err(error) => {
                // Out of file descriptors, most likely; some come back when others leave.
                tracing::error!(error = &error as &dyn std::error::Error, "accepting failed");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    drop(listener);
    conversations.close();
    conversations.wait().await;
}

struct Server {
    router: Router,
    settings: ListenerSettings,
    shutdown: CancellationToken,
}

/// What a connection begins with.
enum Beginning {
    Http(Stream),
    Diverted(Stream),
    /// HTTP where only TLS is spoken.
    Unprotected(Stream),
}

/// How TLS begins: with a handshake.
const TLS: u8 = 0x16;

impl Server {
    /// Looks at the first byte where that decides anything, and behind TLS once more;
    /// `None` for who says nothing, or nonsense.
    async fn begin(&self, stream: TcpStream) -> io::Result<Option<Beginning>> {
        let ListenerSettings { diversion, tls, .. } = &self.settings;
        let mut stream = Stream::from(stream);
        if diversion.is_none() && tls.is_none() {
            return Ok(Some(Beginning::Http(stream)));
        }
        let fits = |first| diversion.as_ref().is_some_and(|diversion| (diversion.fits)(first));
        let Some(mut first) = stream.first_byte().await? else { return Ok(None) };
        if let Some(tls) = tls {
            stream = match stream {
                Stream::Plain(plain) if first == TLS => Stream::secure(tls.accept(plain).await?),
                other if fits(first) => return Ok(Some(Beginning::Diverted(other))),
                other => return Ok(Some(Beginning::Unprotected(other))),
            };
            let Some(protected) = stream.first_byte().await? else { return Ok(None) };
            first = protected;
        }
        Ok(Some(if fits(first) { Beginning::Diverted(stream) } else { Beginning::Http(stream) }))
    }
}

/// One connection, up to its end or its upgrade.
async fn converse(server: Arc<Server>, stream: TcpStream, address: SocketAddr) {
    // It has none any more if it has gone.
    let Ok(called) = stream.local_addr() else { return };
    // Counts the streams that exist, upgraded ones too.
    let open = &server.settings.open;
    let is_full = open.len() >= server.settings.max_connections;
    let token = open.token();
    let begun = timeout(server.settings.head_timeout, server.begin(stream));
    let Some(Ok(Ok(Some(begun)))) = server.shutdown.run_until_cancelled(begun).await else {
        // It said nothing, or nonsense, or has gone.
        return;
    };
    let by_tls = matches!(&begun, Beginning::Http(Stream::Secure(_)));
    let io = |stream| Io::new(stream, server.settings.user_timeout).counted(token);
    let (io, service) = match begun {
        Beginning::Http(stream) | Beginning::Unprotected(stream) if is_full => {
            (io(stream), Answering::NoRoom)
        }
        Beginning::Http(stream) => (io(stream), Answering::By(server.router.clone())),
        Beginning::Unprotected(stream) => (io(stream), Answering::OnlySecurely),
        Beginning::Diverted(stream) => {
            if let Some(diversion) = server.settings.diversion.as_ref().filter(|_| !is_full) {
                (diversion.take)(io(stream), address);
            }
            return;
        }
    };
    let peer = Peer { address, called, wire: io.wire() };
    let service = service_fn(move |request| {
        let answering = answer(service.clone(), peer.clone(), request);
        async move {
            let mut response = answering.await?;
            shield(&mut response, by_tls);
            Ok::<_, Infallible>(response)
        }
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(server.settings.head_timeout)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    tokio::pin!(conversation);
    // Errors here are those of one peer that broke off or spoke nonsense.
    tokio::select! {
        _ = &mut conversation => {}
        () = server.shutdown.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            let _ = conversation.await;
        }
    }
}

/// What the requests of a connection are answered by.
#[derive(Clone)]
enum Answering {
    By(Router),
    /// There are too many connections.
    NoRoom,
    /// They must come by TLS.
    OnlySecurely,
}

async fn answer(
    service: Answering,
    peer: Peer,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let close = (header::CONNECTION, "close");
    let router = match service {
        Answering::By(router) => router,
        Answering::NoRoom => {
            let headers = [close, (header::RETRY_AFTER, "5")];
            return Ok((StatusCode::SERVICE_UNAVAILABLE, headers).into_response());
        }
        Answering::OnlySecurely => {
            let text = "This port speaks HTTPS; the address must begin with https:// or wss://.\n";
            return Ok((StatusCode::BAD_REQUEST, [close], text).into_response());
        }
    };
    request.extensions_mut().insert(ConnectInfo(peer.address));
    request.extensions_mut().insert(ConnectInfo(peer));
    router.oneshot(request.map(Body::new)).await
}

/// Whether accepting failed for a reason that says nothing about the next connection.
fn concerns_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn start(max_connections: usize) -> (SocketAddr, CancellationToken, impl Future) {
        async fn address(ConnectInfo(peer): ConnectInfo<Peer>) -> String {
            peer.address.ip().to_string()
        }
        let settings = ListenerSettings { max_connections, ..ListenerSettings::default() };
        let router = Router::new().route("/", get(address));
        start_with(settings, router).await
    }

    async fn start_with(
        settings: ListenerSettings,
        router: Router,
    ) -> (SocketAddr, CancellationToken, impl Future) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        (here, shutdown.clone(), tokio::spawn(serve(listener, router, settings, shutdown)))
    }

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut read = vec![0; 1024];
        let len = stream.read(&mut read).await.unwrap();
        String::from_utf8(read[..len].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn requests_know_their_peer_and_a_shutdown_ends_idle_connections() {
        let (address, shutdown, serving) = start(10).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut stream).await.ends_with("127.0.0.1"));
        shutdown.cancel();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        serving.await;
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn one_connection_too_many_is_told_so() {
        let (address, _shutdown, _serving) = start(1).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"));
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut second).await.starts_with("HTTP/1.1 503"));
    }

    #[tokio::test]
    async fn several_listeners_have_one_bound_together() {
        let settings = ListenerSettings { max_connections: 1, ..ListenerSettings::default() };
        let (main, _stop, _serving) = start_with(settings.clone(), Router::new()).await;
        let (other, _stop, _serving) = start_with(settings, Router::new()).await;
        let mut first = TcpStream::connect(main).await.unwrap();
        assert!(ask(&mut first).await.starts_with("HTTP/1.1 404"));
        let mut second = TcpStream::connect(other).await.unwrap();
        assert!(ask(&mut second).await.starts_with("HTTP/1.1 503"));
    }
}
