//! Where all parts meet: from the settings to a server that listens.
//!
//! Nobody knows this module but the command line, and those who embed the server.

mod ports;
mod raw;
mod relay;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::Router;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::auth::{Auth, Secrets};
use crate::clock::Clock;
use crate::dialect::courier::Courier;
use crate::dialect::members_chat;
use crate::dialect::neo::{self, NeoManners};
use crate::dialect::private_chat::PrivateChat;
use crate::domain::Dialect;
use crate::http::{self, Web};
use crate::rtc::{RelayCredentials, RelayServer, SecureWay};
use crate::service::{Parts, PresenceTeller, Services, Typing};
use crate::session::{Gate, GateLimits};
use crate::settings::{BilledDialect, Settings, SettingsError, Synchronous, TrustUserId};
use crate::store::log::{Log, Tariff};
use crate::store::{Durability, Files, Notice, Options, Store, StoreError};
use crate::telemetry::{Metrics, set_insecure};
use crate::transport::admission::Admission;
use crate::transport::listener::{self, ListenerSettings};
use crate::transport::seat::{Door, Needs};
use crate::transport::socketio::{InboxBounds, SocketIo, SocketIoSettings};
use crate::transport::tls::{Tls, TlsError};

use ports::Port;

pub use ports::Address;

/// Time between two sweeps of files that nobody needs.
const SWEEP: Duration = Duration::from_hours(1);
/// Bytes of events that may wait afterwards.
const TRUSTED_INBOX: usize = 16 << 20;
/// Events that may wait.
const INBOX: usize = 4096;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong, or the data folder cannot be made.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The secrets cannot be read or kept.
    #[error(transparent)]
    Secrets(#[from] crate::auth::SecretsError),
    /// The database cannot be opened or brought up to date.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder of uploaded files cannot be made or opened.
    #[error("cannot open the folder of uploaded files: {0}")]
    Files(std::io::Error),
    /// The certificate cannot be shown.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The relay cannot be what the settings want.
    #[error("{0}")]
    Relay(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
}

/// The server, ready to listen.
#[derive(Debug)]
pub struct App {
    settings: Settings,
    store: Store,
    /// What other processes had changed before this one began.
    earlier: Vec<Notice>,
    services: Services,
    gate: Gate,
    /// The places of all listeners together.
    admission: Admission,
    /// Those of them that streams to the relay may have.
    relay_streams: Admission,
    socketio: SocketIo,
    private_chat: PrivateChat,
    courier: Courier,
    ports: Vec<Port>,
    metrics: Metrics,
    files: Files,
    log: JoinHandle<()>,
    /// Tells who came and went.
    telling: JoinHandle<()>,
    relay: Option<RelayServer>,
    /// The relay's port, as clients are told.
    relay_port: Arc<AtomicU16>,
    /// What the main listener shows.
    tls: Option<Tls>,
    /// Where clients are told that the relay is reached by TLS.
    secure: Option<SecureWay>,
    /// Ends what listens beside HTTP.
    stop: CancellationToken,
}

/// Which database, and how, as the settings say.
pub fn store_options(settings: &Settings) -> Options {
    let database = &settings.database;
    Options {
        durability: match database.synchronous {
            Synchronous::Full => Durability::Full,
            Synchronous::Normal => Durability::Normal,
        },
        readers: (database.connections > 0).then_some(database.connections),
        deadline: database.timeout.duration(),
        ..Options::at(settings.database_url().expose())
    }
}

/// Opens it; what is missing is made.
pub async fn open_store(settings: &Settings, clock: Clock) -> Result<Store, StartError> {
    settings.make_data_dir()?;
    Ok(Store::open(&store_options(settings), clock).await?)
}

impl App {
    /// Opens and migrates the database and starts everything that works behind the scenes.
    ///
    /// Boxed, so that who embeds the server need not follow how deep its futures nest.
    pub fn start(settings: Settings) -> BoxFuture<'static, Result<Self, StartError>> {
        Box::pin(Self::assemble(settings))
    }

    async fn assemble(settings: Settings) -> Result<Self, StartError> {
        let clock = Clock::system();
        let store = open_store(&settings, clock.clone()).await?;
        let assembled = Self::around(settings, store.clone(), clock).await;
        if assembled.is_err() {
            close(&store).await;
        }
        assembled
    }

    /// Everything around a database that is open.
    async fn around(settings: Settings, store: Store, clock: Clock) -> Result<Self, StartError> {
        let pending = store.list_pending_migrations().await?.len();
        store.migrate().await?;
        if pending > 0 {
            tracing::info!(steps = pending, "the database is brought up to date");
        }
        let earlier = store.list_notices().await?;
        let secrets =
            Secrets::open(&settings.data_dir, &settings.auth.token_secret, &settings.turn.secret)?;
        let files = Files::open(&settings.data_dir).await.map_err(StartError::Files)?;
        let (log, running) = Log::start(&store)?;
        let credentials =
            RelayCredentials::new(secrets.turn.expose(), settings.webrtc.credential_lifetime.get());
        let usual = settings.turn.listen.address().map_or(3478, |address| address.port());
        let relay_port = Arc::new(AtomicU16::new(usual));
        let secure = relay::secure_way(&settings);
        let (presence, telling) = PresenceTeller::start(store.clone());
        let services = Services::new(Parts {
            presence,
            typing: Typing::start(store.clone()),
            auth: Auth::new(&settings.auth, &settings.limits, &secrets, &clock),
            rtc: relay::introductions(&settings, credentials.clone(), &relay_port, secure.as_ref()),
            accounts: settings.auth.clone(),
            limits: settings.limits.clone(),
            neo: settings.neo.clone(),
            members_chat: settings.members_chat.clone(),
            courier: settings.courier.clone(),
            store: store.clone(),
            files: files.clone(),
            log: log.charging(tariff(&settings)),
            clock: clock.clone(),
        });
        // Connections that an earlier run has lost may come back for their rooms.
        let keep = Duration::from_secs(settings.multichat.resume_seconds.into());
        services.revive_rooms(keep).await?;
        let limits = GateLimits {
            held: settings.limits.sink_frames.get() / 2,
            drain: Duration::from_secs(u64::from(settings.limits.drain_seconds)),
        };
        let gate = Gate::new(services.clone(), limits);
        let socketio = socketio(&settings, &gate);
        let private_chat = PrivateChat::new(
            &gate,
            &settings.private_chat,
            &settings.limits,
            settings.public_url.as_str(),
        );
        let courier = Courier::new(
            &gate,
            &settings.courier,
            &settings.limits,
            &settings.public_url,
            &settings.http.trusted_proxies,
        );
        let tls = settings.http.tls().map(|(certificate, key)| Tls::read(certificate, key));
        let tls = tls.transpose()?;
        let relay = relay::start(&settings, credentials, &store, &clock)?;
        let stop = CancellationToken::new();
        let limits = &settings.limits;
        let admission = Admission::new(limits.connections.get(), limits.per_address());
        let (metrics, ports, log) = (Metrics::start(), Vec::new(), running);
        let insecure = &settings.courier;
        let insecure = insecure.enabled && insecure.trust_user_id == TrustUserId::Always;
        set_insecure("courier.trust_user_id", insecure);
        Ok(Self {
            settings,
            store,
            earlier,
            services,
            gate,
            admission,
            relay_streams: Admission::new(relay::STREAMS, relay::STREAMS / 2),
            socketio,
            private_chat,
            courier,
            ports,
            metrics,
            files,
            log,
            telling,
            relay,
            relay_port,
            tls,
            secure,
            stop,
        })
    }

    /// The use cases, for those who embed the server.
    pub const fn services(&self) -> &Services {
        &self.services
    }

    /// The way in for connections, for those who add a dialect of their own.
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Everything that is reached over the main listener.
    pub fn router(&self) -> Router {
        let metrics = self.metrics.clone();
        let web = Web::new(
            self.services.clone(),
            self.settings.http.clone(),
            self.settings.limits.clone(),
            self.settings.public_url.clone(),
            Arc::new(move || metrics.render()),
        )
        .guarding_storage(self.settings.storage_requires_auth);
        let rooms = &self.settings.multichat;
        let mut all = http::router(web.clone())
            .merge(http::multichat::routes(web.clone(), rooms))
            .merge(self.socketio.routes())
            .merge(members_chat::routes(&self.gate, &self.settings))
            .merge(raw::multichat(&self.settings, &self.gate));
        if self.settings.courier.enabled {
            all = all.merge(self.courier.routes());
        }
        if self.settings.private_chat.enabled {
            let base = self.settings.private_chat.public_base.as_str();
            let pages = http::private_chat::routes(web.clone(), base);
            all = all.merge(self.private_chat.routes()).merge(pages);
        }
        let all = http::multichat::at_root(web, rooms, all);
        http::layers::around(all, &self.settings.http)
    }

    /// Listens on the main address; port 0 takes a free one.
    pub async fn listen(&self) -> Result<TcpListener, StartError> {
        let Some(address) = self.settings.http.listen.address() else {
            return Err(StartError::Listen {
                address: SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0),
                source: std::io::Error::other("http.listen is empty"),
            });
        };
        let failed = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let taken = listener.local_addr().map_err(failed)?.port();
        if let Some(secure) = &self.secure {
            // A public address that names another port stands for a proxy in between.
            let _ = secure.port.compare_exchange(0, taken, Ordering::Relaxed, Ordering::Relaxed);
        }
        Ok(listener)
    }

    /// The certificate that the main listener shows, if it speaks TLS.
    pub fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }

    /// The main address as clients write it.
    pub fn url_of(&self, address: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    /// Serves until `shutdown`, then lets every connection go, finishes what was begun and
    /// closes the database.
    pub fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        Box::pin(self.run(listener, shutdown))
    }

    /// Who may come in, over all listeners together.
    fn door(&self) -> Door {
        let socketio = self.socketio.clone();
        let (proxies, http) =
            (self.settings.http.trusted_proxies.clone(), self.settings.http.clone());
        Door {
            admission: self.admission.clone(),
            needs: Arc::new(move |uri| match uri.path() {
                "/healthz" | "/readyz" => Needs::Nothing,
                _ => socketio.guest(uri).map_or(Needs::Place, Needs::Session),
            }),
            is_proxy: Arc::new(move |address| proxies.contains(address)),
            client: Arc::new(move |headers, peer| http::layers::client(&http, headers, peer)),
        }
    }

    async fn run(mut self, listener: TcpListener, shutdown: CancellationToken) {
        let upkeep = tokio::spawn(self.metrics.clone().keep_up());
        let earlier = std::mem::take(&mut self.earlier);
        let following = tokio::spawn(self.store.clone().follow_notices(earlier));
        let sweeping = tokio::spawn(self.files.clone().keep_swept(self.store.clone(), SWEEP));
        let limits = ListenerSettings {
            door: self.door(),
            head_timeout: self.settings.limits.head_seconds.duration(),
            ..ListenerSettings::default()
        };
        let router = self.router();
        let stop = shutdown.clone();
        let mut serving = tokio::task::JoinSet::new();
        for Port { listener, router } in std::mem::take(&mut self.ports) {
            serving.spawn(listener::serve(listener, router, limits.clone(), stop.clone()));
        }
        let fresh = self.tls.clone().map(|tls| tokio::spawn(tls.keep_fresh()));
        let (diversion, tls) = (self.diversion(&listener), self.tls.clone());
        let limits = ListenerSettings { diversion, tls, ..limits };
        serving.spawn(listener::serve(listener, router, limits, stop));
        shutdown.cancelled().await;
        // New sessions are refused at once; the ends of those that live are spread.
        let time = Duration::from_secs(u64::from(self.settings.limits.drain_seconds));
        tokio::join!(self.socketio.drain(time), self.gate.drain());
        serving.join_all().await;
        self.stop.cancel();
        upkeep.abort();
        following.abort();
        sweeping.abort();
        if let Some(fresh) = fresh {
            fresh.abort();
        }
        let Self { store, services, gate, socketio, private_chat, courier, log, telling, .. } =
            self;
        drop((services, gate, socketio, private_chat, courier));
        // The queues end when nobody can put into them any more; what is in them is done first.
        let ended = async { tokio::join!(log, telling) };
        let _ = tokio::time::timeout(Duration::from_secs(10), ended).await;
        close(&store).await;
    }

    /// Closes the database of a server that does not serve after all.
    pub async fn close(self) {
        close(&self.store).await;
    }
}

async fn close(store: &Store) {
    if let Err(error) = store.close().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "closing failed");
    }
}

/// What messages cost, as the settings say.
pub fn tariff(settings: &Settings) -> Tariff {
    let chats = &settings.members_chat;
    let dialect = |billed: &BilledDialect| match billed {
        BilledDialect::Neo => Dialect::Neo,
        BilledDialect::PrivateChat => Dialect::PrivateChat,
        BilledDialect::MembersChat => Dialect::MembersChat,
        BilledDialect::Multichat => Dialect::Multichat,
        BilledDialect::Courier => Dialect::Courier,
    };
    let billed = chats.billed_dialects.iter().map(dialect).collect();
    Tariff { default_price: chats.default_price.into(), billed }
}

fn socketio(settings: &Settings, gate: &Gate) -> SocketIo {
    let manners = Arc::new(NeoManners {
        max_text_chars: settings.limits.max_text_chars.get(),
        files_per_message: settings.limits.files_per_message.get(),
        forward_channels: settings
            .webrtc
            .forward_channels
            .iter()
            .map(|channel| channel.name().to_owned())
            .collect(),
        events_per_second: settings.neo.events_per_second,
        events_burst: settings.neo.events_burst,
    });
    let transport = SocketIoSettings {
        ping_interval: settings.neo.ping_interval.duration(),
        ping_timeout: settings.neo.ping_timeout.duration(),
        sink_frames: settings.limits.sink_frames.get(),
        event_bytes: settings.limits.event_bytes.get(),
        inbox: InboxBounds {
            packets: INBOX,
            bytes: TRUSTED_INBOX,
            untrusted_bytes: crate::transport::UNTRUSTED_BYTES,
        },
        allowed_origins: settings.http.allowed_origins.listed(),
        ..SocketIoSettings::default()
    };
    let gate = gate.clone();
    SocketIo::new(transport, move |socket| neo::open(&gate, &manners, socket))
}
