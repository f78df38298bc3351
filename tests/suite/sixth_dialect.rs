//! A sixth dialect, added from outside by what `docs/dialects/adding-one.md` says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use axum::extract::Request;
use axum::routing::any;
use klatsch::app::App;
use klatsch::domain::{Command, ConversationId, Credentials, Dialect, Draft, Event, Outcome, Text};
use klatsch::session::{Delivery, Intent, Pace, Session, Step};
use klatsch::settings::Settings;
use klatsch::transport::Close;
use klatsch::transport::listener::{self, ListenerSettings};
use klatsch::transport::websocket::{self, Frame, RawSettings, Utf8Bytes};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::raw::Raw;
use crate::support::world::World;

const ECHO_LINES: Dialect = Dialect::Other("echo-lines");

/// Lines of text: the first says `TOKEN CONVERSATION`, each further one is posted, and what
/// anybody posts there is read as `NAME: WORDS`.
#[derive(Default)]
struct EchoLines {
    conversation: Option<ConversationId>,
}

/// What an answer has to mention.
enum Tag {
    Identify,
    Join,
    Post,
}

impl EchoLines {
    fn greet(&mut self, line: &str) -> Step<Self> {
        let Some((token, Ok(conversation))) =
            line.split_once(' ').map(|(token, id)| (token, id.parse()))
        else {
            return Step::send("say TOKEN CONVERSATION first".into());
        };
        self.conversation = Some(ConversationId::new(conversation));
        let intent = Intent::Identify(Credentials::Token(token.to_owned()));
        Step::ask(klatsch::session::Request { intent, tag: Tag::Identify })
    }
}

impl Session for EchoLines {
    const DIALECT: Dialect = ECHO_LINES;
    type Incoming = Frame;
    type Outgoing = Utf8Bytes;
    type Tag = Tag;

    fn greeting(&self) -> Option<(Duration, Close)> {
        Some((Duration::from_secs(10), Close::Unidentified))
    }

    fn on_frame(&mut self, frame: Frame) -> Step<Self> {
        let Frame::Text(line) = frame else { return Step::send("lines only".into()) };
        let Some(conversation) = self.conversation else { return self.greet(&line) };
        match Text::new(line.to_string(), 8192) {
            Ok(text) => {
                let draft = Draft::words(conversation, text, ECHO_LINES);
                Step::ask(klatsch::session::Request::run(Command::PostMessage(draft), Tag::Post))
            }
            Err(error) => Step::send(error.to_string().into()),
        }
    }

    fn on_outcome(&mut self, tag: Tag, outcome: Outcome) -> Step<Self> {
        match (tag, outcome) {
            (Tag::Identify, Ok(_)) => {
                let Some(conversation) = self.conversation else { return Step::idle() };
                let join = Command::JoinConversation(conversation);
                Step::ask(klatsch::session::Request::run(join, Tag::Join))
            }
            (Tag::Identify, Err(_)) => {
                self.conversation = None;
                Step::idle().and_close(Close::Unidentified)
            }
            (Tag::Join, Ok(_)) => Step::send("welcome".into()),
            (Tag::Post, Ok(_)) => Step::idle(),
            (_, Err(refusal)) => Step::send(format!("! {refusal}").into()),
        }
    }

    fn on_event(&mut self, delivery: &Delivery) -> Step<Self> {
        let Event::MessagePosted { message, sender, .. } = delivery.event() else {
            return Step::idle();
        };
        let line = delivery.render((ECHO_LINES, 0), |_| {
            let name = sender.user().map_or("?", |user| user.first_name.as_str());
            Utf8Bytes::from(format!("{name}: {}", message.text))
        });
        let step = Step::send(line.as_ref().clone());
        match message.place {
            Some(place) => step.and_shows(message.conversation, place),
            None => step,
        }
    }
}

/// The server with the sixth dialect beside its own.
async fn serve(data: &std::path::Path, stop: CancellationToken) -> SocketAddr {
    let settings = Settings { data_dir: data.to_owned(), ..Settings::default() };
    let app = App::start(settings).await.unwrap();
    let gate = app.gate().clone();
    let raw = RawSettings {
        frame_bytes: 64 << 10,
        first_frame_bytes: Some(16 << 10),
        sink_frames: 256,
        sink_bytes: 1 << 20,
        ping: Duration::from_secs(20),
        silence: Duration::from_mins(1),
    };
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let open = any(move |request: Request| async move {
        websocket::upgrade(request, raw, move |socket| async move {
            let pace = Pace::refusing(NonZeroU32::MAX, NonZeroU32::MAX);
            gate.admit(EchoLines::default(), socket, address, pace).await;
        })
    });
    let router = app.router().route("/echo-lines", open);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    tokio::spawn(async move {
        listener::serve(listener, router, ListenerSettings::default(), stop).await;
        drop(app);
    });
    here
}

#[tokio::test(flavor = "multi_thread")]
async fn echo_lines_meets_the_others_by_doing_what_the_page_says() {
    let data = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let world = World::at(serve(data.path(), stop).await);
    let (ann, mut bob) = (world.person("ann").await, world.person("bob").await);
    let circle = world.circle(&ann, &[&bob]).await;
    let tea = world.conversation(circle, &ann, &bob).await;
    bob.peer.heard().await;
    bob.peer.join(tea).await;

    let url = format!("ws://{}/echo-lines", world.address);
    let mut lines = Raw::connect(&url, &[]).await;
    lines.send("what?").await;
    assert_eq!(lines.text().await, "say TOKEN CONVERSATION first");
    lines.send(format!("{} {tea}", ann.token)).await;
    assert_eq!(lines.text().await, "welcome");
    lines.send("a line").await;
    assert_eq!(lines.text().await, "ann: a line");
    let heard = bob.peer.expect("message").await;
    assert_eq!(heard["message"]["content"], "a line");
    let words = json!({ "conversation_id": tea, "text_message": "an event" });
    bob.peer.ask("message", words).await;
    assert_eq!(lines.text().await, "bob: an event");

    let mut stranger = Raw::connect(&url, &[]).await;
    stranger.send(format!("{} 999", ann.token)).await;
    assert!(stranger.text().await.starts_with("! "));
    let mut liar = Raw::connect(&url, &[]).await;
    liar.send(format!("nonsense {tea}")).await;
    assert_eq!(liar.closed().await.0, 1008);
}
