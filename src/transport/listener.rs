//! Accepts connections and speaks HTTP/1.1 on them; what is upgraded leaves here with its stream.
//!
//! Each request carries a [`Peer`] as its `ConnectInfo`: the address, and the handle by which
//! the connection can be ended; and the bare address as another, for those who need no more.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Request, StatusCode, header};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::{
    admission::{Claim, Crowded},
    arriving::Arriving,
    seat::{Door, Seat},
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
    /// How many connections may be open; listeners with clones of the same door count together.
    pub door: Door,
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
            door: Door::default(),
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
    /// By what right the connection is open.
    pub seat: Arc<Seat>,
}

/// The largest head of a request, in bytes.
const HEAD: usize = 64 << 10;
/// How long a connection without a place may take to say what it wants.
const NO_PLACE: Duration = Duration::from_secs(10);

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
    let seat = Seat::new(&server.settings.door, address.ip());
    let mut patience = server.settings.head_timeout;
    if !seat.has_place() {
        patience = patience.min(NO_PLACE);
    }
    let told_to_go = seat.told_to_go().unwrap_or_default();
    let beginning = told_to_go.run_until_cancelled(timeout(patience, server.begin(stream)));
    let begun = server.shutdown.run_until_cancelled(beginning).await.flatten();
    let Some(Ok(Ok(Some(begun)))) = begun else {
        // It said nothing, or nonsense, or has gone.
        return;
    };
    let by_tls = matches!(&begun, Beginning::Http(Stream::Secure(_)));
    let io = |stream| Io::new(stream, server.settings.user_timeout).seated(seat.clone());
    let (io, service) = match begun {
        Beginning::Http(stream) => (io(stream), Answering::By(server.router.clone())),
        Beginning::Unprotected(stream) => (io(stream), Answering::OnlySecurely),
        Beginning::Diverted(stream) => {
            if let Some(diversion) = server.settings.diversion.as_ref().filter(|_| seat.has_place())
            {
                (diversion.take)(io(stream), address);
            }
            return;
        }
    };
    let peer = Peer { address, called, wire: io.wire(), seat };
    let (wire, seat) = (peer.wire.clone(), peer.seat.clone());
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
        .header_read_timeout(patience)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    tokio::pin!(conversation);
    let making_room = async {
        told_to_go.cancelled().await;
        if !seat.may_stay() {
            wire.cut();
        }
        std::future::pending::<()>().await;
    };
    // Errors here are those of one peer that broke off or spoke nonsense.
    tokio::select! {
        _ = &mut conversation => {}
        () = server.shutdown.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            let _ = conversation.await;
        }
        () = making_room => {}
    }
}

/// What the requests of a connection are answered by.
#[derive(Clone)]
enum Answering {
    By(Router),
    /// They must come by TLS.
    OnlySecurely,
}

/// Answers one request. Who is answered before all of it was read is to get the whole answer:
/// the connection then ends, but not before the rest has been read.
async fn answer(
    service: Answering,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let (wire, seat) = (peer.wire.clone(), peer.seat.clone());
    let (head, body) = request.into_parts();
    let (body, is_read) = Arriving::new(body);
    let mut response = match (seat.take(&head.uri, &head.headers), service) {
        (Err(crowded), _) => refuse(crowded),
        (_, Answering::OnlySecurely) => {
            let text = "This port speaks HTTPS; the address must begin with https:// or wss://.\n";
            (StatusCode::BAD_REQUEST, [(header::CONNECTION, "close")], text).into_response()
        }
        (Ok(()), Answering::By(router)) => {
            let mut request = Request::from_parts(head, Body::new(body));
            request.extensions_mut().insert(ConnectInfo(peer.address));
            request.extensions_mut().insert(ConnectInfo(peer));
            router.oneshot(request).await?
        }
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    let is_early = !is_read.load(Ordering::Relaxed);
    if is_early {
        wire.linger();
    }
    if is_early || !seat.may_stay() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok(match seat.take_claim() {
        Some(claim) => response.map(|body| Body::new(Claiming { body, _claim: claim })),
        None => response,
    })
}

fn refuse(crowded: Crowded) -> Response {
    let status = match crowded {
        Crowded::Everywhere => StatusCode::SERVICE_UNAVAILABLE,
        Crowded::Here => StatusCode::TOO_MANY_REQUESTS,
    };
    let headers = [(header::CONNECTION, "close"), (header::RETRY_AFTER, "5")];
    (status, headers, format!("{crowded}\n")).into_response()
}

/// The body of an answer, which counts for a proxy's client until it has left.
struct Claiming {
    body: Body,
    _claim: Claim,
}

impl http_body::Body for Claiming {
    type Data = axum::body::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
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
    use crate::transport::admission::Admission;

    async fn start(max_connections: usize) -> (SocketAddr, CancellationToken, impl Future) {
        async fn address(ConnectInfo(peer): ConnectInfo<Peer>) -> String {
            peer.address.ip().to_string()
        }
        let door = Door::new(Admission::new(max_connections, max_connections));
        let settings = ListenerSettings { door, ..ListenerSettings::default() };
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
        let door = Door::new(Admission::new(1, 1));
        let settings = ListenerSettings { door, ..ListenerSettings::default() };
        let (main, _stop, _serving) = start_with(settings.clone(), Router::new()).await;
        let (other, _stop, _serving) = start_with(settings, Router::new()).await;
        let mut first = TcpStream::connect(main).await.unwrap();
        assert!(ask(&mut first).await.starts_with("HTTP/1.1 404"));
        let mut second = TcpStream::connect(other).await.unwrap();
        assert!(ask(&mut second).await.starts_with("HTTP/1.1 503"));
    }
}
