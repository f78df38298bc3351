use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use figment::value::{Dict, Value};

use super::source::load;
use super::{ForwardChannel, IceServer, Settings, TrustUserId};

const REFERENCE: &str = include_str!("../../config/klatsch.toml");

fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn from_environment(pairs: &[(&str, &str)]) -> Result<Settings, String> {
    load(None, environment(pairs)).map_err(|error| error.to_string())
}

fn from_file(text: &str) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("klatsch.toml");
    fs::write(&file, text).unwrap();
    let shown = file.display().to_string();
    load(Some(&file), []).map_err(|error| error.to_string().replace(&shown, "FILE"))
}

/// The reference with its settings switched on: `#key = value` has no space, a remark has one.
fn uncommented() -> String {
    let setting = |line: &str| {
        line.strip_prefix('#').filter(|rest| !rest.starts_with([' ', '#'])).map(str::to_owned)
    };
    REFERENCE.lines().map(|line| setting(line).unwrap_or(line.to_owned()) + "\n").collect()
}

fn keys(values: &Dict) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in values {
        match value {
            Value::Dict(_, section) => {
                keys.extend(section.keys().map(|key| format!("{name}.{key}")));
            }
            _ => keys.push(name.clone()),
        }
    }
    keys
}

#[test]
fn the_reference_as_shipped_changes_nothing() {
    assert_eq!(from_file(REFERENCE).unwrap(), Settings::default());
}

#[test]
fn the_reference_names_every_key_with_its_default() {
    let text = uncommented();
    assert_eq!(from_file(&text).unwrap(), Settings::default());
    let written: BTreeMap<String, Value> = toml_of(&text).into_iter().collect();
    let built_in = Value::serialize(Settings::default()).unwrap().into_dict().unwrap();
    assert_eq!(keys(&written), keys(&built_in));
}

fn toml_of(text: &str) -> Dict {
    use figment::providers::{Format, Toml};
    Toml::from_str(text).unwrap()
}

#[test]
fn every_key_takes_its_default_from_the_environment_too() {
    let text = |value: &Value| match value {
        Value::String(_, text) => text.clone(),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => number.to_u128().unwrap().to_string(),
        other => panic!("{other:?}"),
    };
    for key in keys(&toml_of(&uncommented())) {
        let built_in = Value::serialize(Settings::default()).unwrap();
        let given = match built_in.find(&key).unwrap() {
            Value::Array(_, items) => items.iter().map(text).collect::<Vec<_>>().join(","),
            one => text(&one),
        };
        let variable = format!("KLATSCH_{}", key.replace('.', "__").to_uppercase());
        let settings = from_environment(&[(&variable, &given)]);
        assert_eq!(settings, Ok(Settings::default()), "{variable}={given}");
    }
}

#[test]
fn later_sources_win() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("klatsch.toml");
    fs::write(&file, "data_dir = \"a\"\n[limits]\nframes_per_second = 7\nsockets_per_user = 3\n")
        .unwrap();
    let environment = environment(&[
        ("KLATSCH_LIMITS__FRAMES_PER_SECOND", "9"),
        ("KLATSCH_LOG", "debug"),
        ("PATH", "/bin"),
    ]);
    let settings = load(Some(&file), environment).unwrap();
    assert_eq!(settings.data_dir, Path::new("a"));
    assert_eq!(settings.limits.frames_per_second.get(), 9);
    assert_eq!(settings.limits.burst().get(), 18);
    assert_eq!(settings.limits.sockets_per_user.get(), 3);
    assert_eq!(settings.limits.body_bytes.get(), 1 << 20);
}

#[test]
fn every_kind_of_value_can_stand_in_the_environment() {
    let settings = from_environment(&[
        ("KLATSCH_DATA_DIR", "/srv/k"),
        ("KLATSCH_PUBLIC_URL", "https://chat.example.org/"),
        ("KLATSCH_STORAGE_REQUIRES_AUTH", "yes"),
        ("KLATSCH_HTTP__LISTEN", "localhost:0"),
        ("KLATSCH_HTTP__TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("KLATSCH_HTTP__ALLOWED_ORIGINS", ""),
        ("KLATSCH_TURN__LISTEN", ""),
        ("KLATSCH_AUTH__TOKEN_SECRET", "12345678901234567890123456789012"),
        ("KLATSCH_AUTH__TOKEN_LIFETIME", "1"),
        ("KLATSCH_COURIER__TRUST_USER_ID", "true"),
        ("KLATSCH_WEBRTC__FORWARD_CHANNELS", "webrtc_forward"),
        ("KLATSCH_WEBRTC__STUN", "stun.example.org:3478,[::1]:9999"),
        ("KLATSCH_MEMBERS_CHAT__BILLED_DIALECTS", "members-chat,neo"),
    ])
    .unwrap();
    assert_eq!(settings.data_dir, Path::new("/srv/k"));
    assert_eq!(settings.public_url.as_str(), "https://chat.example.org");
    assert_eq!(settings.public_url.host(), Some("chat.example.org"));
    assert!(settings.storage_requires_auth);
    assert_eq!(settings.http.listen.address().unwrap().to_string(), "127.0.0.1:0");
    assert!(settings.http.trusted_proxies.contains("::ffff:10.1.2.3".parse().unwrap()));
    assert!(!settings.http.trusted_proxies.contains("11.0.0.1".parse().unwrap()));
    assert_eq!(settings.turn.listen.address(), None);
    assert_eq!(settings.auth.token_secret.expose().len(), 32);
    assert_eq!(settings.auth.token_lifetime.get(), 1);
    assert_eq!(settings.courier.trust_user_id, TrustUserId::Always);
    assert_eq!(settings.warnings().len(), 1);
    assert_eq!(settings.webrtc.forward_channels, [ForwardChannel::WebrtcForward]);
    let port = |port: u16| port.try_into().unwrap();
    let servers = [IceServer::at("stun.example.org", port(3478)), IceServer::at("::1", port(9999))];
    assert_eq!(settings.webrtc.stun, servers);
    assert_eq!(settings.webrtc.stun[1].ip, "::1");
    assert_eq!(settings.members_chat.billed_dialects.len(), 2);
}

/// What is said of an origin that is none.
const PATTERN: &str = "capacitor://localhost, null or *, with neither a path nor a pattern, but is";

#[test]
fn a_mistake_in_the_environment_is_named() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "KLATSCH_LIMITS__FRAMES_PER_SECOND",
            "many",
            &["limits.frames_per_second", "whole number from 1", "\"many\""],
        ),
        (
            "KLATSCH_LIMITS__FRAMES_PER_SECOND",
            "0",
            &["whole number from 1 to 4294967295, but is 0"],
        ),
        ("KLATSCH_LIMITS__BODY_BYTES", "-1", &["whole number of at least 1, but is -1"]),
        (
            "KLATSCH_LIMITS__FRAMES_PER_SECND",
            "1",
            &["not a known setting; did you mean KLATSCH_LIMITS__FRAMES_PER_SECOND?"],
        ),
        ("KLATSCH_HTTP_LISTEN", "1", &["did you mean KLATSCH_HTTP__LISTEN?"]),
        ("KLATSCH_HTTP", "1", &["not a known setting"]),
        ("KLATSCH_XYZZY__A", "1", &["not a known setting; known here: auth, bus"]),
        ("KLATSCH_HTTP__LISTEN", "8000", &["an address and a port such as", "\"8000\""]),
        ("KLATSCH_HTTP__LISTEN", "", &["http.listen", "an address and a port such as"]),
        ("KLATSCH_AUTH__REGISTRATION", "maybe", &["true or false, but is \"maybe\""]),
        ("KLATSCH_DATABASE__SYNCHRONOUS", "off", &["full or normal, but is \"off\""]),
        (
            "KLATSCH_COURIER__TRUST_USER_ID",
            "sometimes",
            &["never, local or always, but is \"sometimes\""],
        ),
        (
            "KLATSCH_COURIER__TRUSTED_NETWORKS",
            "10.0.0.0/8,here",
            &["a list of addresses", "\"here\""],
        ),
        ("KLATSCH_WEBRTC__TURN", "nowhere", &["a list of servers"]),
        ("KLATSCH_WEBRTC__FORWARD_CHANNELS", "x", &["webrtc_config or webrtc_forward"]),
        ("KLATSCH_MEMBERS_CHAT__MAX_FRAME_BYTES", "100", &["at least 5065538", "but is 100"]),
        ("KLATSCH_PRIVATE_CHAT__TIME_ZONE", "Moon/Base", &["a time zone", "\"Moon/Base\""]),
        ("KLATSCH_HTTP__ALLOWED_ORIGINS", "http://localhost:*", &["http.allowed_origins", PATTERN]),
        ("KLATSCH_HTTP__ALLOWED_ORIGINS", "https://a.example,localhost", &[PATTERN]),
        ("KLATSCH_COURIER__ALLOWED_ORIGINS", "https://*.example", &["courier.allow", PATTERN]),
        ("KLATSCH_PRIVATE_CHAT__ALLOWED_ORIGINS", "https://a/b", &["private_chat.", PATTERN]),
        (
            "KLATSCH_NEO__PING_INTERVAL",
            "2147483",
            &["neo.ping_interval", "at most 2147483 together"],
        ),
        ("KLATSCH_NEO__PING_INTERVAL", "2147424", &["but is 2147424 with 60"]),
        ("KLATSCH_NEO__PING_TIMEOUT", "4294967295", &["neo.ping_timeout", "at most 2147483"]),
        ("KLATSCH_AUTH__TOKEN_SECRET", "a", &["auth.token_secret", "at least 32 bytes"]),
        ("KLATSCH_TURN__SECRET", "1234567890123456789012345678901", &["turn.secret", "32 bytes"]),
        ("KLATSCH_LOG__FILTER", "klatsch=loud", &["log.filter", "a filter such as"]),
        (
            "NOTIFY_USERS_ON_ENTER_OR_LEAVE_ROOMS",
            "hm",
            &["multichat.notify_enter_leave", "true or false"],
        ),
    ];
    for (name, value, parts) in table {
        let error = from_environment(&[(name, value)]).expect_err(name);
        assert!(error.contains(&format!("environment variable {name}")), "{error}");
        for part in *parts {
            assert!(error.contains(part), "{error} lacks {part}");
        }
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_mistake_in_the_file_is_named() {
    let table = [
        ("data_dri = \"x\"", "data_dri (in FILE) is not a known setting; did you mean data_dir?"),
        (
            "[limits]\nsocket_per_user = 3",
            "limits.socket_per_user (in FILE) is not a known setting; did you mean limits.sockets_per_user?",
        ),
        ("[limit]\n", "limit (in FILE) is not a known setting"),
        ("limits = 5", "limits (in FILE) must be a section with keys of its own, but is 5"),
        (
            "[limits]\nbody_bytes = 1.5",
            "limits.body_bytes (in FILE) must be a whole number of at least 1, but is 1.5",
        ),
        (
            "[auth]\ntoken_lifetime = \"day\"",
            "auth.token_lifetime (in FILE) must be a whole number from 1 to 4294967295, but is \"day\"",
        ),
        (
            "[http]\nallowed_origins = \"*\"",
            "http.allowed_origins (in FILE) must be a list, but is \"*\"",
        ),
        ("[webrtc]\nstun = [{ ip = \"::1\" }]", "webrtc.stun (in FILE) must be a list of servers"),
        ("[limits]\nbody_bytes = = 1", "FILE is not valid TOML: line 2: "),
        (
            "[members_chat]\nmax_file_bytes = 20000000",
            "members_chat.max_frame_bytes (by default) must be at least 20065538",
        ),
    ];
    for (text, sentence) in table {
        let error = from_file(text).expect_err(text);
        assert!(error.contains(sentence), "{error}\nlacks\n{sentence}");
    }
}

#[test]
fn a_file_may_only_be_missing_if_nobody_named_it() {
    assert!(load(None, []).is_ok());
    let error = load(Some(Path::new("/nowhere/klatsch.toml")), []).unwrap_err().to_string();
    assert!(error.contains("/nowhere/klatsch.toml cannot be read"), "{error}");
}

#[test]
fn secrets_do_not_show() {
    let settings = from_environment(&[
        ("KLATSCH_AUTH__TOKEN_SECRET", "hush-token-hush-token-hush-token"),
        ("KLATSCH_DATABASE__URL", "postgres://u:hush-database@h/d"),
        ("KLATSCH_TURN__SECRET", "hush-turn-hush-turn-hush-turn-hush"),
    ])
    .unwrap();
    assert!(!format!("{settings:?}").contains("hush"), "{settings:?}");
    let error = from_environment(&[("KLATSCH_DATABASE__URL", "oracle://u:hush@h/d")]).unwrap_err();
    assert!(error.contains("database.url") && !error.contains("hush"), "{error}");
}

#[test]
fn names_of_the_originals_are_understood() {
    let settings = from_environment(&[
        ("NOTIFY_USERS_ON_ENTER_OR_LEAVE_ROOMS", "False"),
        ("DATETIME_FORMAT", "Y"),
        ("CHAT_WS_SERVER_PROTOCOL", "wss"),
        ("CHAT_WS_SERVER_HOST", "chat.example.org"),
        ("CHAT_WS_SERVER_PORT", "5003"),
        ("MYSQL_HOST", "db"),
        ("mysql_user", "me"),
        ("mysql_password", "p@ss"),
        ("DB_NAME", "chat"),
    ])
    .unwrap();
    assert!(!settings.multichat.notify_enter_leave);
    assert_eq!(settings.private_chat.datetime_format, "Y");
    assert_eq!(settings.private_chat.public_base.as_str(), "wss://chat.example.org:5003");
    assert_eq!(settings.private_chat.listen.address().unwrap().port(), 5003);
    assert_eq!(settings.database.url.expose(), "mysql://me:p%40ss@db/chat");

    let own = [("DATETIME_FORMAT", "Y"), ("KLATSCH_PRIVATE_CHAT__DATETIME_FORMAT", "d")];
    assert_eq!(from_environment(&own).unwrap().private_chat.datetime_format, "d");
}

#[test]
fn origins_are_taken_of_every_scheme() {
    let settings = from_environment(&[
        ("KLATSCH_HTTP__ALLOWED_ORIGINS", "capacitor://localhost, https://Chat.example:443"),
        ("KLATSCH_COURIER__ALLOWED_ORIGINS", "null,app://"),
        ("KLATSCH_PRIVATE_CHAT__ALLOWED_ORIGINS", "*"),
    ])
    .unwrap();
    assert!(settings.http.allowed_origins.allow("capacitor://localhost"));
    assert!(settings.http.allowed_origins.allow("https://chat.example"));
    assert!(!settings.http.allowed_origins.allow("null"));
    assert!(settings.courier.allowed_origins.allow("null"));
    assert!(settings.private_chat.allowed_origins.allow("https://anything.example"));
}

#[test]
fn what_clients_count_in_milliseconds_fits_their_timers() {
    let both = |interval, timeout| {
        from_environment(&[
            ("KLATSCH_NEO__PING_INTERVAL", interval),
            ("KLATSCH_NEO__PING_TIMEOUT", timeout),
        ])
    };
    assert!(both("2147423", "60").is_ok());
    assert!(both("1", "2147482").is_ok());
    assert!(both("1", "2147483").is_err());
    assert!(both("4294967295", "4294967295").is_err());
}

#[test]
fn a_secret_of_another_server_may_be_short_and_is_warned_of() {
    let external = [("KLATSCH_TURN__RELAY", "external"), ("KLATSCH_TURN__SECRET", "north")];
    let warnings = from_environment(&external).unwrap().warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("turn.secret"), "{warnings:?}");
    let long = "0123456789abcdef0123456789abcdef";
    for secret in ["", long] {
        let settings = from_environment(&[
            ("KLATSCH_AUTH__TOKEN_SECRET", secret),
            ("KLATSCH_TURN__SECRET", secret),
        ]);
        assert_eq!(settings.unwrap().warnings(), [""; 0]);
    }
}

#[test]
fn a_variable_that_is_no_text_is_named() {
    use std::os::unix::ffi::OsStringExt as _;
    let broken = OsString::from_vec(b"\xff".to_vec());
    let ours = [(OsString::from("KLATSCH_DATA_DIR"), broken.clone())];
    let error = load(None, ours).unwrap_err().to_string();
    assert!(error.contains("KLATSCH_DATA_DIR) must be text in UTF-8"), "{error}");
    assert!(load(None, [(OsString::from("OTHER"), broken)]).is_ok());
}

#[test]
fn every_name_of_a_data_folder_leads_to_a_database_in_it() {
    for name in
        ["a%20b", "a b", " a ", "a?b", "a#b", "a%", "ä", "file:a", ":memory:", "/x/%41", "//x"]
    {
        let settings = from_environment(&[("KLATSCH_DATA_DIR", name)]).unwrap();
        assert_eq!(settings.data_dir, Path::new(name));
        let url = settings.database_url();
        let path = url.expose().strip_prefix("sqlite://").unwrap();
        let found = percent_encoding::percent_decode_str(path).decode_utf8().unwrap();
        let found = Path::new(&*found);
        let wanted = settings.data_dir.join("klatsch.db");
        assert_eq!(found.strip_prefix(".").unwrap_or(found), wanted, "{name}");
        assert!(!path.contains(['?', '#', ':', ' ']), "{path}");
        assert_eq!(settings.database_file(), Some(wanted));
    }
    let named = from_environment(&[("KLATSCH_DATABASE__URL", "sqlite:/a%20b/c.db?mode=rwc")]);
    assert_eq!(named.unwrap().database_file().unwrap(), Path::new("/a b/c.db"));
}
