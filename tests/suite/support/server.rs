//! The server as an operator starts it: the built program, on free ports, with a data folder of its own.
//!
//! What it logs goes to a file in that folder, and is shown when the test that started it fails.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// How long a debug build on a busy machine may take to migrate and listen.
const DEADLINE: Duration = Duration::from_mins(1);

/// A running server, which ends with this value.
pub(crate) struct Running {
    /// Where it listens, such as `http://127.0.0.1:40001`.
    pub(crate) url: String,
    child: Child,
    data: TempDir,
}

impl Running {
    /// Starts one with the default settings.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with these variables in its environment.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().expect("a directory can be made");
        let log = std::fs::File::create(data.path().join("log")).expect("a file can be made");
        let mut child = klatsch(data.path())
            .arg("serve")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program was built");
        let output = child.stdout.take().expect("its output was asked for");
        let (listening, heard) = mpsc::channel();
        // Reads on for as long as the server runs, so that it never waits for us.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let told: Value = serde_json::from_str(&line).unwrap_or_default();
                if told["part"] == "http" {
                    let _ = listening.send(told["url"].as_str().unwrap_or_default().to_owned());
                }
            }
        });
        let url = heard.recv_timeout(DEADLINE).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("the server did not say where it listens:\n{}", read_log(data.path()));
        });
        Self { url, child, data }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("what the server logged:\n{}", read_log(self.data.path()));
        }
    }
}

/// The program with a data folder, without the settings of whoever runs the tests.
pub(crate) fn klatsch(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klatsch"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KLATSCH_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(data)
        .env("KLATSCH_DATA_DIR", data)
        .env("KLATSCH_HTTP__LISTEN", "127.0.0.1:0")
        .env("KLATSCH_COURIER__LISTEN", "")
        .env("KLATSCH_PRIVATE_CHAT__LISTEN", "")
        .env("KLATSCH_TURN__LISTEN", "")
        .stdin(Stdio::null());
    command
}

fn read_log(data: &Path) -> String {
    std::fs::read_to_string(data.join("log")).unwrap_or_default()
}
