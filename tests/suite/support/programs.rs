//! Programs beside the server: Node, a browser. What is not installed is skipped, and said so.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Node for a script in a folder whose packages are installed; nothing, and a line about it, otherwise.
pub(crate) fn node(script: &str) -> Option<Command> {
    let script = repository(script);
    let packages = script.parent()?.join("node_modules");
    let installed =
        Command::new("node").arg("--version").output().is_ok_and(|out| out.status.success());
    if !installed || !packages.exists() {
        skipped(&format!("{}: Node or its packages are not installed", script.display()));
        return None;
    }
    let mut command = Command::new("node");
    command.arg(script);
    Some(command)
}

/// Says past the capture of the test harness that something was not tested.
pub(crate) fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {what}");
}

/// A program under way, read line by line; it ends with this value.
pub(crate) struct Program {
    child: Child,
    lines: mpsc::Receiver<String>,
    read: Vec<String>,
}

impl Program {
    /// Starts it; what it prints and complains of is read together.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let (told, lines) = mpsc::channel();
        let complaints = told.clone();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        std::thread::spawn(move || forward(out.expect("it was asked for"), &told));
        std::thread::spawn(move || forward(err.expect("it was asked for"), &complaints));
        Self { child, lines, read: Vec::new() }
    }

    /// Waits for a line that contains this.
    pub(crate) fn wait_for(&mut self, part: &str, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with {part:?}, but:\n{}", self.read.join("\n"));
            };
            let found = line.contains(part);
            self.read.push(line);
            if found {
                return;
            }
        }
    }

    /// Waits for its end and gives what it printed; an exit status other than 0 is a failure.
    pub(crate) fn finish(mut self, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        // The channel closes when the program has closed both of its outputs.
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.read.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    panic!("still running after {patience:?}:\n{}", self.read.join("\n"))
                }
            }
        }
        let status = self.child.wait().expect("it can be waited for");
        let printed = std::mem::take(&mut self.read).join("\n");
        assert!(status.success(), "{status}:\n{printed}");
        printed
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(output: impl std::io::Read, lines: &mpsc::Sender<String>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if lines.send(line).is_err() {
            return;
        }
    }
}
