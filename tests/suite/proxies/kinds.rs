//! The proxies themselves: Debian's programs with the configurations that the docs show.

use std::fs::Permissions;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::programs::{repository, skipped};

/// How long a proxy may take to listen, or to take up a configuration.
const PATIENCE: Duration = Duration::from_mins(1);
/// Where Apache's modules lie.
const MODULES: &str = "/usr/lib/apache2/modules";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Nginx,
    Haproxy,
    Apache,
    Caddy,
    Varnish,
}

/// How a proxy is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    /// As the docs show it.
    Shown,
    /// The same, with times of a few seconds.
    Hasty,
    /// The same, but it says nothing of whose requests it forwards.
    Silent,
}

/// A proxy that runs in a folder of its own; it ends with this.
pub(super) struct Proxy {
    kind: Kind,
    pub(super) address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Nginx, Self::Haproxy, Self::Apache, Self::Caddy, Self::Varnish];

    /// The file that the docs show.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Nginx => "tests/proxies/nginx.conf",
            Self::Haproxy => "tests/proxies/haproxy.cfg",
            Self::Apache => "tests/proxies/apache.conf",
            Self::Caddy => "tests/proxies/Caddyfile",
            Self::Varnish => "tests/proxies/varnish.vcl",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Nginx => "/usr/sbin/nginx",
            Self::Haproxy => "/usr/sbin/haproxy",
            Self::Apache => "/usr/sbin/apache2",
            Self::Caddy => "/usr/bin/caddy",
            Self::Varnish => "/usr/sbin/varnishd",
        }
    }

    /// The file as it is shown, but with ports of this test.
    fn configuration(self, own: u16, server: SocketAddr, setup: Setup) -> String {
        let mut text = std::fs::read_to_string(repository(self.file())).unwrap();
        let mut put = |shown: &str, ours: &str| {
            assert!(text.contains(shown), "{} has no {shown}", self.file());
            text = text.replace(shown, ours);
        };
        let listens = format!("127.0.0.1:{own}");
        match self {
            Self::Nginx => put("listen 80;", &format!("listen {listens};")),
            Self::Haproxy => put("bind :80", &format!("bind {listens}")),
            Self::Apache => put("*:80", &listens),
            Self::Caddy => put("http://chat.example.org", &format!("http://:{own}")),
            Self::Varnish => put(".port = \"8000\"", &format!(".port = \"{}\"", server.port())),
        }
        if self != Self::Varnish {
            put("127.0.0.1:8000", &server.to_string());
        }
        if setup == Setup::Hasty && self != Self::Caddy {
            let (shown, ours) =
                if self == Self::Apache { ("Timeout 120", "Timeout 5") } else { ("120s", "5s") };
            put(shown, ours);
        }
        if setup == Setup::Silent {
            let says = |line: &&str| !line.contains("X-Forwarded") && !line.contains("forwardfor");
            text = text.lines().filter(says).collect::<Vec<_>>().join("\n") + "\n";
        }
        text
    }

    /// Starts it in front of a server; nothing, and a line about it, if it is not installed.
    pub(super) fn start(self, server: SocketAddr, setup: Setup) -> Option<Proxy> {
        if !Path::new(self.program()).exists() {
            skipped(&format!("{self:?}, which is not installed"));
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        // Some go on as another user.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let place = folder.path();
        let site = place.join("site");
        std::fs::write(&site, self.configuration(free.port(), server, setup)).unwrap();
        let mut command = self.command(place, &site, free, setup);
        let log = std::fs::File::create(place.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let mut proxy = Proxy { kind: self, address: free, child, folder };
        proxy.wait_until("it listens", || TcpStream::connect(free).is_ok());
        Some(proxy)
    }

    fn command(self, place: &Path, site: &Path, own: SocketAddr, setup: Setup) -> Command {
        let main = place.join("main");
        let (here, site) = (place.display(), site.display());
        let mut command = Command::new(self.program());
        match self {
            Self::Nginx => {
                let text = format!(
                    "daemon off; pid {here}/pid; events {{}} http {{ access_log off; \
                     client_body_temp_path {here}/b; proxy_temp_path {here}/p; \
                     fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; \
                     scgi_temp_path {here}/s; include {site}; }}"
                );
                std::fs::write(&main, text).unwrap();
                command.args(["-e", "stderr", "-c"]).arg(&main);
            }
            Self::Haproxy => {
                command.arg("-W").arg("-f").arg(place.join("site"));
            }
            Self::Apache => {
                let modules =
                    ["mpm_event", "authz_core", "proxy", "proxy_http", "headers", "unixd"];
                let module = |name: &str| Path::new(MODULES).join(format!("mod_{name}.so"));
                let load =
                    |name: &str| format!("LoadModule {name}_module {}\n", module(name).display());
                // Some are built in.
                let loaded = modules.into_iter().filter(|name| module(name).exists()).map(load);
                let text = format!(
                    "ServerRoot {here}\nPidFile {here}/pid\nListen {own}\nServerName localhost\n\
                     ErrorLog /dev/stderr\nDefaultRuntimeDir {here}\n{}Include {site}\n",
                    loaded.collect::<String>()
                );
                std::fs::write(&main, text).unwrap();
                command.arg("-f").arg(&main).arg("-DFOREGROUND");
            }
            Self::Caddy => {
                let text = format!(
                    "{{\n\tadmin unix/{here}/admin\n\tauto_https off\n}}\n\
                     import {site}\n"
                );
                std::fs::write(&main, text).unwrap();
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&main);
                command
                    .env("HOME", place)
                    .env("XDG_DATA_HOME", place)
                    .env("XDG_CONFIG_HOME", place);
            }
            Self::Varnish => {
                let pipe =
                    if setup == Setup::Hasty { "pipe_timeout=5" } else { "pipe_timeout=120" };
                command.arg("-F").arg("-f").arg(place.join("site")).arg("-n").arg(place.join("n"));
                command.args(["-a", &own.to_string(), "-s", "malloc,32m", "-p", pipe]);
                command.args(["-p", "backend_idle_timeout=30"]);
            }
        }
        command
    }
}

impl Proxy {
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes it read its configuration again, as its service does.
    pub(super) fn reload(&self) {
        let signal = |name: &str| {
            let pid = self.child.id().to_string();
            Command::new("kill").args([name, &pid]).status().unwrap().success()
        };
        let place = self.folder.path();
        let done = match self.kind {
            Kind::Nginx => signal("-HUP"),
            Kind::Haproxy => signal("-USR2"),
            Kind::Apache => signal("-USR1"),
            Kind::Caddy => {
                let admin = format!("unix/{}/admin", place.display());
                let words = ["reload", "--force", "--adapter", "caddyfile", "--address", &admin];
                let mut command = Command::new(self.kind.program());
                command.args(words).arg("--config").arg(place.join("main")).env("HOME", place);
                command.output().unwrap().status.success()
            }
            Kind::Varnish => {
                let told = |words: &[&str]| {
                    let mut command = Command::new("/usr/bin/varnishadm");
                    command.arg("-n").arg(place.join("n")).args(words);
                    command.output().unwrap().status.success()
                };
                let site = place.join("site").display().to_string();
                told(&["vcl.load", "again", &site]) && told(&["vcl.use", "again"])
            }
        };
        assert!(done, "{:?} does not reload:\n{}", self.kind, self.log());
    }

    fn wait_until(&mut self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{:?}, not {what}: {ended:?}\n{}",
                self.kind,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        let file: PathBuf = self.folder.path().join("log");
        std::fs::read_to_string(file).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Not KILL, for that leaves its workers behind.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if std::thread::panicking() {
            eprintln!("what {:?} logged:\n{}", self.kind, self.log());
        }
    }
}
