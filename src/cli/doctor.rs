//! `doctor`: what of a running server a client reaches, and what to change where it does not.
//!
//! It looks from outside, as clients do; a sentence each (`--json`: an object), and failure if one
//! thing does not work.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::CliError;
use super::output::{print, print_line};
use super::way::{Stream, Way, resolve};
use crate::rtc::{ProbeWay, find_reflexive, find_relay, try_relay};
use crate::settings::Settings;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER: u64 = 64 << 10;

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Where the server is [default: where the settings let it listen, on this machine].
    url: Option<String>,
    /// A token of any account: with it, datagrams are really sent through the relay.
    #[arg(long, env = "KLATSCH_DOCTOR_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print a JSON object a line instead of sentences.
    #[arg(long)]
    json: bool,
}

/// What was found.
struct Findings {
    json: bool,
    bad: usize,
}

impl Findings {
    fn note(
        &mut self,
        part: &str,
        found: Result<String, String>,
        advice: &str,
    ) -> Result<(), CliError> {
        let works = found.is_ok();
        let sentence = match found {
            Ok(sentence) => sentence,
            Err(reason) => format!("{reason}. {advice}"),
        };
        self.bad += usize::from(!works);
        Ok(if self.json {
            print(&json!({ "part": part, "works": works, "says": sentence }))
        } else {
            print_line(&format!("{} {sentence}", if works { "✓" } else { "✗" }))
        }?)
    }
}

/// Looks at everything; an error if something does not work.
pub(super) async fn run(config: Option<&Path>, options: Options) -> Result<(), CliError> {
    let url = match options.url {
        Some(url) => url,
        None => own_address(&Settings::load(config)?)?,
    };
    let way = Way::read(&url)?;
    let mut findings = Findings { json: options.json, bad: 0 };

    let polling = poll(&way).await.map(|()| "A client reaches the server by polling.".to_owned());
    let advice =
        "Is the server running, and does the address lead to it? A proxy must pass /socket.io/ on.";
    findings.note("polling", polling, advice)?;

    let servers = ask_socket(&way, options.token.as_deref()).await;
    let (servers, websocket) = match servers {
        Ok(servers) => (Some(servers), Ok("A client reaches the server by WebSocket.".to_owned())),
        Err(reason) => (None, Err(reason)),
    };
    let advice = "Let the proxy pass the headers Upgrade and Connection on; clients fall back to polling until then.";
    findings.note("websocket", websocket, advice)?;
    if let Some(servers) = servers {
        let login = match &servers.login {
            Some(Ok(login)) => Some(login),
            Some(Err(reason)) => {
                let advice = "Take a fresh one (klatsch user token); the relay was only asked whether it answers.";
                findings.note("token", Err(reason.clone()), advice)?;
                None
            }
            None => None,
        };
        look_at_relay(&servers, login, &mut findings).await?;
    }
    if findings.bad == 0 {
        return Ok(());
    }
    Err(CliError::Refused(format!("{} of these do not work", findings.bad)))
}

/// STUN and TURN, as the server itself told where they are.
async fn look_at_relay(
    servers: &Servers,
    login: Option<&Login>,
    findings: &mut Findings,
) -> Result<(), CliError> {
    let stun = match resolve(&servers.stun).await {
        Ok(address) => find_reflexive(address).await.map_err(|error| error.to_string()),
        Err(reason) => Err(reason),
    };
    let stun = stun.map(|seen| format!("STUN answers: this machine is seen as {seen}."));
    let stun = stun.map_err(|reason| format!("STUN at {} does not work: {reason}", servers.stun));
    let advice =
        "Open that port for UDP, and set turn.public_host to a name that leads to this server.";
    findings.note("stun", stun, advice)?;
    for (part, way, protocol) in
        [("turn_udp", ProbeWay::Udp, "UDP"), ("turn_tcp", ProbeWay::Tcp, "TCP")]
    {
        let found = turn(servers, login, way, protocol).await;
        let found = found
            .map_err(|e| format!("TURN over {protocol} at {} does not work: {e}", servers.turn));
        let advice = format!(
            "Open that port for {protocol}, and see that turn.listen and turn.relay are not switched off."
        );
        findings.note(part, found, &advice)?;
    }
    if servers.login.is_none() && !findings.json {
        print_line("With --token, datagrams are sent through the relay as well.")?;
    }
    Ok(())
}

async fn turn(
    servers: &Servers,
    login: Option<&Login>,
    way: ProbeWay,
    protocol: &str,
) -> Result<String, String> {
    let address = resolve(&servers.turn).await?;
    match login {
        Some(Login { username, password }) => try_relay(address, way, username, password)
            .await
            .map(|()| format!("TURN over {protocol} relays."))
            .map_err(|error| error.to_string()),
        None => find_relay(address, way)
            .await
            .map(|()| format!("TURN over {protocol} answers, and asks for credentials."))
            .map_err(|error| error.to_string()),
    }
}

fn own_address(settings: &Settings) -> Result<String, CliError> {
    let address = settings.http.listen.address();
    let address = address.ok_or_else(|| CliError::Refused("http.listen is empty".to_owned()))?;
    let host = match address.ip() {
        ip if !ip.is_unspecified() => SocketAddr::new(ip, address.port()).to_string(),
        _ => format!("127.0.0.1:{}", address.port()),
    };
    Ok(format!("http://{host}"))
}

/// A handshake by polling.
async fn poll(way: &Way) -> Result<(), String> {
    let mut stream = way.connect().await?;
    let host = &way.host;
    let request = format!(
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    );
    let mut answer = Vec::new();
    let asking = async {
        stream.write_all(request.as_bytes()).await?;
        stream.take(ANSWER).read_to_end(&mut answer).await
    };
    let asked = timeout(PATIENCE, asking).await;
    asked.map_err(|_| "The server does not answer".to_owned())?.map_err(|e| e.to_string())?;
    let answer = String::from_utf8_lossy(&answer);
    if answer.contains("\"sid\"") {
        return Ok(());
    }
    let first = answer.lines().next().unwrap_or("nothing");
    Err(format!("What answers is no server of ours ({first})"))
}

/// Where STUN and TURN are, and credentials for them.
struct Servers {
    stun: String,
    turn: String,
    /// What the token that was given is good for.
    login: Option<Result<Login, String>>,
}

/// Credentials for TURN.
struct Login {
    username: String,
    password: String,
}

type Socket = WebSocketStream<Box<dyn Stream>>;

/// Connects by WebSocket and asks where STUN and TURN are.
async fn ask_socket(way: &Way, token: Option<&str>) -> Result<Servers, String> {
    let asking = async {
        let stream = way.connect().await?;
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", way.host);
        let connected = tokio_tungstenite::client_async(url, stream).await;
        let (mut socket, _) = connected.map_err(|error| format!("No WebSocket: {error}"))?;
        say(&mut socket, "40").await?;
        // What comes before the namespace is connected ends the connection.
        text_beginning(&mut socket, "40").await?;
        say(&mut socket, r#"42["webrtc_stun_info"]"#).await?;
        let stun = place(&event(&mut socket, "webrtc_config").await?)?;
        say(&mut socket, r#"42["webrtc_turn_info"]"#).await?;
        let turn = place(&event(&mut socket, "webrtc_config").await?)?;
        let mut login = None;
        if let Some(token) = token {
            login = Some(log_in(&mut socket, token).await?);
        }
        Ok(Servers { stun, turn, login })
    };
    let asked = timeout(PATIENCE, asking).await;
    asked.map_err(|_| "The server does not answer by WebSocket".to_owned())?
}

/// Says who asks, and asks for credentials; the inner error is what the server has against
/// the token.
async fn log_in(socket: &mut Socket, token: &str) -> Result<Result<Login, String>, String> {
    // With an acknowledgement: `error` on its channel could be of anything.
    let authenticate = json!(["authenticate", { "token": token }]);
    say(socket, &format!("421{authenticate}")).await?;
    let answer = text_beginning(socket, "431").await?;
    let answer: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
    if answer[0]["success"] != true {
        let reason = answer[0]["message"].as_str().unwrap_or_default();
        return Ok(Err(format!("The server does not take the token ({reason})")));
    }
    say(socket, r#"42["webrtc_credentials"]"#).await?;
    let told = event(socket, "webrtc_config").await?;
    let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    Ok(Ok(Login { username: text("username"), password: text("password") }))
}

async fn say(socket: &mut Socket, text: &str) -> Result<(), String> {
    socket.send(Message::text(text)).await.map_err(|error| error.to_string())
}

/// The next event, which must be of this channel.
async fn event(socket: &mut Socket, channel: &str) -> Result<Value, String> {
    loop {
        let event = text_beginning(socket, "42").await?;
        let told: Value = serde_json::from_str(&event).map_err(|error| error.to_string())?;
        if told[0] == channel {
            return Ok(told[1].clone());
        }
        if told[0] == "error" {
            return Err(format!("The server says: {}", told[1].as_str().unwrap_or_default()));
        }
    }
}

/// What follows the beginning of the next text that begins so.
async fn text_beginning(socket: &mut Socket, beginning: &str) -> Result<String, String> {
    while let Some(message) = socket.next().await {
        let message = message.map_err(|error| error.to_string())?;
        let Message::Text(text) = message else { continue };
        if let Some(rest) = text.strip_prefix(beginning) {
            return Ok(rest.to_owned());
        }
    }
    Err("The server has ended the connection".to_owned())
}

/// Host and port of the first of some servers.
fn place(servers: &Value) -> Result<String, String> {
    let first = &servers[0];
    let text = |key: &str| first[key].as_str().filter(|text| !text.is_empty());
    let host = text("domain").or_else(|| text("ip"));
    let host = host.ok_or_else(|| "The server names no STUN or TURN server".to_owned())?;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Ok(format!("{host}:{}", first["port"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_where_it_is_said_to_be() {
        let server = json!([{ "domain": "", "ip": "::1", "port": 3478 }]);
        assert_eq!(place(&server).unwrap(), "[::1]:3478");
    }
}
