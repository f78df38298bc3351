//! The real program in a folder of its own, and a client of its sockets that shows every frame.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// A folder with everything a server keeps.
pub(crate) struct Site {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

impl Site {
    /// A fresh one, on SQLite.
    pub(crate) fn new() -> Self {
        let site = Self { dir: tempfile::tempdir().unwrap(), variables: Vec::new() };
        site.set("HTTP__LISTEN", "127.0.0.1:0")
            .set("COURIER__LISTEN", "")
            .set("PRIVATE_CHAT__LISTEN", "")
            .set("TURN__LISTEN", "")
            .set("NEO__EVENTS_PER_SECOND", "100000")
            .set("NEO__EVENTS_BURST", "100000")
            .set("LIMITS__DRAIN_SECONDS", "1")
    }

    /// The same with another setting.
    pub(crate) fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((format!("KLATSCH_{name}"), value.into()));
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// SQLite's file.
    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("data/klatsch.db")
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(self.path())
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command that succeeds; what it printed.
    pub(crate) async fn run(&self, words: &[&str]) -> String {
        let mut command = self.command(env!("CARGO_BIN_EXE_klatsch"), words);
        let output = timeout(DEADLINE, command.output()).await.expect("it ends").unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A new account's token.
    pub(crate) async fn person(&self, name: &str) -> String {
        let email = format!("{name}@example.org");
        self.run(&["user", "add", &email]).await;
        self.run(&["user", "token", &email]).await
    }

    /// A new room that everybody may enter.
    pub(crate) async fn room(&self) -> i64 {
        let room: Value = serde_json::from_str(&self.run(&["room", "add", "Tea"]).await).unwrap();
        room["id"].as_i64().unwrap()
    }

    /// A server that has just been started and has said nothing yet.
    pub(crate) fn spawn(&self) -> Child {
        self.spawn_within("exec \"$0\" serve")
    }

    /// The same, started by a shell; the program's path is `$0`.
    fn spawn_within(&self, script: &str) -> Child {
        let log = File::options().append(true).create(true).open(self.path().join("log")).unwrap();
        self.command("sh", &["-c", script, env!("CARGO_BIN_EXE_klatsch")])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// A server that listens.
    pub(crate) async fn start(&self) -> Process {
        self.listening(self.spawn()).await
    }

    /// The same, started by a shell that ends with `exec "$0" serve`.
    pub(crate) async fn start_within(&self, script: &str) -> Process {
        self.listening(self.spawn_within(script)).await
    }

    /// Waits until a server listens.
    pub(crate) async fn listening(&self, mut child: Child) -> Process {
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let said = timeout(DEADLINE, output.read_line(&mut line)).await;
        said.unwrap_or_else(|_| panic!("it does not start\n{}", self.log())).unwrap();
        let said = serde_json::from_str::<Value>(&line);
        let said = said.unwrap_or_else(|_| panic!("it did not start: {line}\n{}", self.log()));
        Process { child, url: said["url"].as_str().unwrap().to_owned() }
    }

    /// What its servers have logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }
}

/// A server that runs; it is killed with this.
pub(crate) struct Process {
    child: Child,
    pub(crate) url: String,
}

impl Process {
    /// One that is known to listen here.
    pub(crate) fn of(child: Child, url: String) -> Self {
        Self { child, url }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("the server runs")
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        let pid = self.pid().to_string();
        let told = std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(told.success());
    }

    /// How it ended.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        timeout(DEADLINE, self.child.wait()).await.expect("the server ends").unwrap()
    }

    /// Kilobytes of memory it has now.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// What a server sends.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Event(String, Value),
    Ack(u64, Value),
}

/// The connection has ended, or never was.
#[derive(Debug)]
pub(crate) struct Gone;

/// A Socket.IO client, of the newest generation, over a WebSocket.
pub(crate) struct Wire {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last: u64,
}

impl Wire {
    /// Connects, and says who it is.
    pub(crate) async fn open(url: &str, token: &str) -> Result<Self, Gone> {
        let url = format!("{}/socket.io/?EIO=4&transport=websocket", url.replace("http", "ws"));
        let (socket, _) = tokio_tungstenite::connect_async(url).await.map_err(|_| Gone)?;
        let mut wire = Self { socket, last: 0 };
        wire.write("40").await?;
        while !wire.text().await?.starts_with("40") {}
        let answer = wire.ask("authenticate", &json!({ "token": token })).await?;
        // A database that is away refuses here as well.
        if answer["success"] == true { Ok(wire) } else { Err(Gone) }
    }

    /// Sends an event and does not wait; the number of its acknowledgement.
    pub(crate) async fn put(&mut self, channel: &str, argument: &Value) -> Result<u64, Gone> {
        self.last += 1;
        let event = json!([channel, argument]);
        self.write(&format!("42{}{event}", self.last)).await?;
        Ok(self.last)
    }

    /// Sends an event and waits for its acknowledgement.
    pub(crate) async fn ask(&mut self, channel: &str, argument: &Value) -> Result<Value, Gone> {
        let number = self.put(channel, argument).await?;
        loop {
            match self.next().await? {
                Frame::Ack(other, answer) if other == number => return Ok(answer),
                Frame::Ack(..) | Frame::Event(..) => {}
            }
        }
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Result<Frame, Gone> {
        let text = self.text().await?;
        // The goodbye of a server that ends a connection has no array.
        let packet = text.strip_prefix('4').ok_or(Gone)?;
        let (head, array) = packet.split_at(packet.find('[').ok_or(Gone)?);
        let mut values: Vec<Value> = serde_json::from_str(array).unwrap();
        if let Some(number) = head.strip_prefix('3') {
            return Ok(Frame::Ack(number.parse().unwrap(), values.remove(0)));
        }
        let argument = values.pop().unwrap_or_default();
        let channel = values.pop().unwrap_or_default();
        Ok(Frame::Event(channel.as_str().unwrap_or_default().to_owned(), argument))
    }

    /// The next packet; pings are answered.
    async fn text(&mut self) -> Result<String, Gone> {
        loop {
            match timeout(DEADLINE, self.socket.next()).await.expect("a frame, or the end") {
                Some(Ok(Message::Text(text))) if text == "2" => self.write("3").await?,
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return Err(Gone),
            }
        }
    }

    async fn write(&mut self, text: &str) -> Result<(), Gone> {
        self.socket.send(Message::text(text)).await.map_err(|_| Gone)
    }
}
