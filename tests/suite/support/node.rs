//! Real Socket.IO clients, of Node and of Python; one process holds as many as a test wants.

use std::{
    collections::HashMap,
    io::Write,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::{mpsc, oneshot},
};

/// The generations there are, oldest first. The first three speak Engine.IO 3.
pub(crate) const GENERATIONS: [&str; 5] = ["sio136", "sio174", "sio250", "sio313", "sio48"];

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// A process that holds clients; it ends with this.
pub(crate) struct Node {
    shared: Arc<Shared>,
    _process: Child,
}

struct Shared {
    commands: mpsc::UnboundedSender<Value>,
    last_id: AtomicU64,
    answers: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    reports: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    known: HashMap<u64, mpsc::UnboundedSender<Report>>,
    /// What was said of a client before it was known here.
    early: HashMap<u64, Vec<Report>>,
}

/// Something that happened to a client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Report {
    /// The server sent an event.
    Event(String, Vec<Value>),
    /// `connect`, `disconnect`, `upgrade` or `connect_error`.
    Life(String, Vec<Value>),
}

/// How a client gets to its transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Polling,
    WebSocket,
    Upgrade,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Polling, Self::WebSocket, Self::Upgrade];

    fn transports(self) -> &'static [&'static str] {
        match self {
            Self::Polling => &["polling"],
            Self::WebSocket => &["websocket"],
            Self::Upgrade => &["polling", "websocket"],
        }
    }
}

impl Node {
    pub(crate) fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/node");
        assert!(
            folder.join("node_modules").is_dir(),
            "the Socket.IO clients are not installed: run `npm ci` in tests/clients/node"
        );
        let mut command = Command::new("node");
        command.args(["--no-deprecation", "driver.js"]).current_dir(folder);
        Self::run(command)
    }

    /// Clients of Python, from the virtual environment in this folder of `clients`.
    pub(crate) fn start_python(environment: &str) -> Option<Self> {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        let python = clients.join(environment).join(".venv/bin/python");
        if !python.is_file() {
            // Past the test harness, which shows what passing tests print to nobody.
            let _ = writeln!(std::io::stderr(), "skipped: the Socket.IO client of {environment}");
            return None;
        }
        let mut command = Command::new(python);
        command.arg(clients.join("python/driver.py"));
        Some(Self::run(command))
    }

    fn run(mut command: Command) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the interpreter of the real clients cannot be run");
        let mut stdin = process.stdin.take().unwrap();
        let stdout = process.stdout.take().unwrap();
        let (commands, mut queue) = mpsc::unbounded_channel::<Value>();
        tokio::spawn(async move {
            while let Some(command) = queue.recv().await {
                let _ = stdin.write_all(format!("{command}\n").as_bytes()).await;
            }
        });
        let shared = Arc::new(Shared {
            commands,
            last_id: AtomicU64::new(0),
            answers: Mutex::default(),
            reports: Mutex::default(),
        });
        tokio::spawn(dispatch(stdout, shared.clone()));
        Self { shared, _process: process }
    }

    /// Opens a client and waits until it is connected, and upgraded where it should be.
    pub(crate) async fn connect(&self, client: &str, way: Way, url: &str) -> Client {
        let mut socket = self.open(client, way, url, json!({})).await;
        socket.connected(way).await;
        socket
    }

    /// Opens a client and does not wait.
    pub(crate) async fn open(&self, client: &str, way: Way, url: &str, opts: Value) -> Client {
        self.open_with(json!({"client": client, "opts": opts}), way, url).await
    }

    /// Opens a client as the driver's documentation says.
    pub(crate) async fn open_with(&self, mut command: Value, way: Way, url: &str) -> Client {
        let name = format!("{} {way:?}", command["client"]);
        command["op"] = "open".into();
        command["url"] = url.into();
        command["transports"] = way.transports().into();
        let answer = self.shared.ask(command).await;
        let number = answer["socket"].as_u64().unwrap();
        let (sender, reports) = mpsc::unbounded_channel();
        let mut listeners = self.shared.reports.lock().unwrap();
        for report in listeners.early.remove(&number).unwrap_or_default() {
            sender.send(report).unwrap();
        }
        listeners.known.insert(number, sender);
        Client { shared: self.shared.clone(), number, reports, name }
    }
}

impl Shared {
    fn put(&self, mut command: Value) -> oneshot::Receiver<Value> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        command["id"] = id.into();
        let (sender, answer) = oneshot::channel();
        self.answers.lock().unwrap().insert(id, sender);
        self.commands.send(command).unwrap();
        answer
    }

    async fn ask(&self, command: Value) -> Value {
        let what = command.to_string();
        let answer = tokio::time::timeout(DEADLINE, self.put(command)).await;
        let mut answer = answer.unwrap_or_else(|_| panic!("no answer to {what}")).unwrap();
        assert!(answer.get("failed").is_none(), "{what}: {}", answer["failed"]);
        answer["ok"].take()
    }
}

async fn dispatch(stdout: ChildStdout, shared: Arc<Shared>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        let mut said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        if let Some(id) = said["id"].as_u64() {
            if let Some(waiting) = shared.answers.lock().unwrap().remove(&id) {
                let _ = waiting.send(said);
            }
            continue;
        }
        let number = said["socket"].as_u64().unwrap();
        let Value::Array(args) = said["args"].take() else { panic!("{line}") };
        let report = match (said["event"].as_str(), said["life"].as_str()) {
            (Some(event), _) => Report::Event(event.to_owned(), args),
            (_, Some(life)) => Report::Life(life.to_owned(), args),
            _ => panic!("{line}"),
        };
        let mut listeners = shared.reports.lock().unwrap();
        match listeners.known.get(&number) {
            Some(listener) => drop(listener.send(report)),
            None => listeners.early.entry(number).or_default().push(report),
        }
    }
}

/// One client.
pub(crate) struct Client {
    shared: Arc<Shared>,
    number: u64,
    reports: mpsc::UnboundedReceiver<Report>,
    /// Generation and transport, for what a failed test says.
    pub(crate) name: String,
}

impl Client {
    /// Emits and does not wait.
    pub(crate) fn emit(&self, event: &str, argument: impl Into<Value>) {
        self.command("emit", &json!({"event": event, "args": [argument.into()]}));
    }

    /// Emits and waits for the acknowledgement's first argument.
    pub(crate) async fn ask(&self, event: &str, argument: impl Into<Value>) -> Value {
        let emit = json!({"event": event, "args": [argument.into()], "ack": true});
        self.perform("emit", &emit).await[0].take()
    }

    /// Any other command of the driver, with its answer.
    pub(crate) async fn perform(&self, op: &str, what: &Value) -> Value {
        self.shared.ask(self.addressed(op, what)).await
    }

    /// Any other command of the driver.
    pub(crate) fn command(&self, op: &str, what: &Value) {
        drop(self.shared.put(self.addressed(op, what)));
    }

    fn addressed(&self, op: &str, what: &Value) -> Value {
        let mut what = what.clone();
        what["op"] = op.into();
        what["socket"] = self.number.into();
        what
    }

    /// The next thing that happens.
    pub(crate) async fn next(&mut self) -> Report {
        let next = tokio::time::timeout(DEADLINE, self.reports.recv()).await;
        next.unwrap_or_else(|_| panic!("{}: nothing happened", self.name)).expect("Node has gone")
    }

    /// Waits for an event on a channel, passing over everything else; its first argument.
    pub(crate) async fn event(&mut self, channel: &str) -> Value {
        loop {
            if let Report::Event(event, mut args) = self.next().await
                && event == channel
            {
                return args.first_mut().map(Value::take).unwrap_or_default();
            }
        }
    }

    /// Waits for a turn of its life, passing over everything else.
    pub(crate) async fn life(&mut self, turn: &str) -> Vec<Value> {
        loop {
            match self.next().await {
                Report::Life(life, args) if life == turn => return args,
                Report::Life(life, args) if life == "connect_error" => {
                    panic!("{}: {args:?}", self.name)
                }
                _ => {}
            }
        }
    }

    /// Waits until it is connected, and upgraded where it should be.
    pub(crate) async fn connected(&mut self, way: Way) {
        let mut awaited = vec!["connect"];
        if way == Way::Upgrade {
            awaited.push("upgrade");
        }
        while !awaited.is_empty() {
            match self.next().await {
                Report::Life(life, args) if life == "connect_error" => {
                    panic!("{}: {args:?}", self.name)
                }
                Report::Life(life, _) => awaited.retain(|turn| *turn != life),
                Report::Event(..) => {}
            }
        }
    }

    /// What has been reported and not been looked at.
    pub(crate) fn reported(&mut self) -> Vec<Report> {
        std::iter::from_fn(|| self.reports.try_recv().ok()).collect()
    }
}
