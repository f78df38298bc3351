//! A route of the NEO API: declared once, served under all its verbs and addresses, documented.
//!
//! Every route takes POST with a JSON body; some take a documented verb as well, and some have
//! a GET twin whose path parameters stand for the keys of the body, so that both answer alike.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::RequestExt;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawPathParams, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::domain::{Refusal, UserId};
use crate::http::Web;
use crate::http::body::{Key, Keys};
use crate::http::collect::{Collecting, NotWhole, UNTRUSTED_BYTES};
use crate::http::error::{Answer, Failure, Success};
use crate::http::identity::{self, Who};
use crate::http::layers::client_address;
use crate::http::streaming::in_turn;
use crate::service::{Bulk, Caller};

/// A verb that the original's page documents where its server took POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Changes something.
    Put,
    /// Removes something.
    Delete,
}

/// What a handler is told of a request.
#[derive(Debug)]
pub struct Ask {
    /// The keys of the body or of the path.
    pub keys: Keys,
    /// Where it comes from.
    pub address: IpAddr,
    /// Whether it was made by a page of ours, or by no page at all.
    pub is_own_page: bool,
    /// Whether it came by TLS, so that cookies may insist on it.
    pub is_secure: bool,
    caller: Option<Caller>,
}

impl Ask {
    /// Who asks.
    pub fn caller(&self) -> Result<&Caller, Refusal> {
        self.caller.as_ref().ok_or_else(Refusal::unidentified)
    }

    /// The user who asks.
    pub fn user(&self) -> Result<UserId, Refusal> {
        identity::user_of(self.caller()?)
    }
}

type Running = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Handler = Arc<dyn Fn(Web, Ask) -> Running + Send + Sync>;

#[derive(Clone)]
enum Served {
    /// By a handler that knows keys and caller.
    Keyed(Handler),
    /// By a handler that reads the request itself.
    Raw(Verbs, Box<MethodRouter<Web>>),
}

#[derive(Clone, Copy)]
enum Verbs {
    Get,
    Post,
}

/// One route with all its addresses.
#[derive(Clone)]
pub struct Route {
    served: Served,
    /// Its address; for a keyed route it takes POST.
    pub path: &'static str,
    /// What it is for, in a few words.
    pub summary: &'static str,
    /// Older names of the address.
    pub aliases: Vec<&'static str>,
    /// The documented verb beside POST.
    pub verb: Option<Verb>,
    /// Addresses that take GET.
    pub twins: Vec<&'static str>,
    /// Who may ask.
    pub who: Who,
    /// What is read.
    pub keys: Vec<Key>,
    /// The status of success.
    pub status: u16,
    /// What success holds beside `success`: key and shape, in the notation of `http::docs`.
    pub gives: Vec<(&'static str, &'static str)>,
    /// What success is, if it is no JSON.
    pub sends: Option<&'static str>,
    /// The statuses of its own failures.
    pub fails: Vec<u16>,
    /// What it lists, if its answers may be large.
    lists: Option<Bulk>,
}

impl Route {
    /// A route that takes a JSON body.
    pub fn post<F, R>(path: &'static str, summary: &'static str, handler: F) -> Self
    where
        F: Fn(Web, Ask) -> R + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |web, ask| Box::pin(handler(web, ask)));
        Self::new(path, summary, Served::Keyed(handler))
    }

    /// A POST route that reads its request itself; `identity::header_caller` says who asks.
    pub fn raw_post<H, T>(path: &'static str, summary: &'static str, handler: H) -> Self
    where
        H: axum::handler::Handler<T, Web>,
        T: 'static,
    {
        Self::new(
            path,
            summary,
            Served::Raw(Verbs::Post, Box::new(on(MethodFilter::POST, handler))),
        )
    }

    /// A GET route that reads its request itself; `identity::header_caller` says who asks.
    pub fn raw_get<H, T>(path: &'static str, summary: &'static str, handler: H) -> Self
    where
        H: axum::handler::Handler<T, Web>,
        T: 'static,
    {
        Self::new(path, summary, Served::Raw(Verbs::Get, Box::new(on(MethodFilter::GET, handler))))
    }

    fn new(path: &'static str, summary: &'static str, served: Served) -> Self {
        Self {
            served,
            path,
            summary,
            aliases: Vec::new(),
            verb: None,
            twins: Vec::new(),
            who: Who::Anybody,
            keys: Vec::new(),
            status: 200,
            gives: Vec::new(),
            sends: None,
            fails: Vec::new(),
            lists: None,
        }
    }

    /// Also served under an older name.
    #[must_use]
    pub fn alias(mut self, path: &'static str) -> Self {
        self.aliases.push(path);
        self
    }

    /// Also takes the documented verb.
    #[must_use]
    pub fn or(mut self, verb: Verb) -> Self {
        self.verb = Some(verb);
        self
    }

    /// Also answers GET here; the path's parameters bear the names of keys.
    #[must_use]
    pub fn twin(mut self, path: &'static str) -> Self {
        self.twins.push(path);
        self
    }

    /// Only for these.
    #[must_use]
    pub fn by(mut self, who: Who) -> Self {
        self.who = who;
        self
    }

    /// Answers with lists of these, which may be large: one at a time an account.
    #[must_use]
    pub const fn lists(mut self, of: Bulk) -> Self {
        self.lists = Some(of);
        self
    }

    /// Reads these keys.
    #[must_use]
    pub fn takes(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.keys.extend(keys);
        self
    }

    /// Succeeds with another status than 200.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Answers with these keys, of these shapes.
    #[must_use]
    pub fn gives(mut self, keys: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        self.gives.extend(keys);
        self
    }

    /// Answers with bytes.
    #[must_use]
    pub fn sends(mut self, what: &'static str) -> Self {
        self.sends = Some(what);
        self
    }

    /// May fail with these statuses, besides those that every route has.
    #[must_use]
    pub fn fails(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.fails.extend(statuses);
        self
    }

    /// Whether its main address takes GET.
    pub const fn is_get(&self) -> bool {
        matches!(self.served, Served::Raw(Verbs::Get, _))
    }

    /// Whether it reads its request itself, so that nothing is known of a body.
    pub const fn reads_itself(&self) -> bool {
        matches!(self.served, Served::Raw(..))
    }

    /// Adds the route, under all its addresses, to a router.
    pub fn mount(self, mut router: Router<Web>) -> Router<Web> {
        let handler = match self.served {
            Served::Keyed(handler) => handler,
            Served::Raw(_, raw) => return router.route(self.path, *raw),
        };
        let names = self.keys.iter().map(|key| key.name).chain(identity::TOKEN_KEYS).collect();
        let (who, keys, lists) = (self.who, self.keys, self.lists);
        let asked = Arc::new(Asked { handler, who, keys, names, lists });
        let verbs = match self.verb {
            None => MethodFilter::POST,
            Some(Verb::Put) => MethodFilter::POST.or(MethodFilter::PUT),
            Some(Verb::Delete) => MethodFilter::POST.or(MethodFilter::DELETE),
        };
        for path in std::iter::once(self.path).chain(self.aliases) {
            router = router.route(path, on(verbs, asked.serve(Way::Body)));
        }
        for path in self.twins {
            router = router.route(path, on(MethodFilter::GET, asked.serve(Way::Path)));
        }
        router
    }
}

/// Where a request says what it wants.
#[derive(Clone, Copy)]
enum Way {
    Body,
    Path,
}

/// What happens to every request of a keyed route, in this order: its keys are read, who asks
/// is found out, its keys are checked, and then the handler has its turn.
struct Asked {
    handler: Handler,
    who: Who,
    keys: Vec<Key>,
    /// All that is kept of a body.
    names: Vec<&'static str>,
    /// What its answers list, if they are given one at a time.
    lists: Option<Bulk>,
}

impl Asked {
    fn serve(
        self: &Arc<Self>,
        way: Way,
    ) -> impl Fn(State<Web>, Request) -> Pin<Box<dyn Future<Output = Response> + Send>> + Clone + use<>
    {
        let asked = Arc::clone(self);
        move |State(web), request| {
            let asked = Arc::clone(&asked);
            Box::pin(async move { asked.answer(web, request, way).await.into_response() })
        }
    }

    /// Reads a body. More than is kept of a stranger's is read of those alone who have said who
    /// they are by then, in the body or beside it.
    async fn collect(
        &self,
        web: &Web,
        headers: &HeaderMap,
        body: Body,
        address: IpAddr,
    ) -> Result<Bytes, Failure> {
        let mut reading =
            Collecting::begin(headers, body, web.body_bytes()).map_err(Refusal::from)?;
        if !reading.as_stranger().await.map_err(Refusal::from)? {
            let so_far = reading.so_far();
            let known = identity::known_so_far(web, self.who, so_far, headers, address);
            if web.body_bytes() > UNTRUSTED_BYTES && !known.await {
                return Err(Refusal::from(NotWhole::TooLarge(UNTRUSTED_BYTES)).into());
            }
        }
        Ok(reading.whole().await.map_err(Refusal::from)?)
    }

    async fn answer(&self, web: Web, mut request: Request, way: Way) -> Answer {
        let address = client_address(request.extensions());
        let is_own_page = web.is_own_page(request.headers());
        let is_secure = web.is_secure(request.extensions());
        let (keys, caller) = match way {
            Way::Body => {
                let (parts, body) = request.into_parts();
                let body = self.collect(&web, &parts.headers, body, address).await?;
                let keys = Keys::read(&body, &self.names)?;
                drop(body);
                let caller =
                    identity::body_caller(&web, self.who, &keys, &parts.headers, address).await?;
                (keys, caller)
            }
            Way::Path => {
                let path: RawPathParams = request
                    .extract_parts()
                    .await
                    .map_err(|_| Refusal::malformed("the path is not UTF-8"))?;
                let headers = request.headers();
                let caller = identity::header_caller(&web, self.who, headers, address).await?;
                (Keys::from_path(path.iter()), caller)
            }
        };
        keys.check(&self.keys)?;
        // Waited for here: who ceases to wait leaves nothing behind.
        let turn = match caller.zip(self.lists) {
            Some((caller, of)) => Some(web.services().turn(caller.principal, of).await),
            None => None,
        };
        // What has begun runs to its end, also when the client does not wait for it.
        let ask = Ask { keys, address, is_own_page, is_secure, caller };
        let running = tokio::spawn((self.handler)(web, ask));
        let answer = running.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Refusal::unavailable().into()),
        })?;
        Ok(match turn {
            Some(turn) => Success::default().whole(in_turn(answer.into_response(), turn)),
            None => answer,
        })
    }
}
