//! Environment variables that the original servers read, for those who bring them along.
//!
//! Each counts only where the setting itself is given nowhere.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// The variable, the setting it stands for, and its text.
pub(super) fn read(variables: &BTreeMap<String, String>) -> Vec<(String, &'static str, String)> {
    let get = |name: &str| variables.get(name).filter(|text| !text.is_empty());
    let mut found = Vec::new();
    for (variable, key) in [
        ("NOTIFY_USERS_ON_ENTER_OR_LEAVE_ROOMS", "multichat.notify_enter_leave"),
        ("DATETIME_FORMAT", "private_chat.datetime_format"),
    ] {
        found.extend(get(variable).map(|text| (variable.to_owned(), key, text.clone())));
    }
    let port = get("CHAT_WS_SERVER_PORT");
    if let Some(port) = port {
        found.push((
            "CHAT_WS_SERVER_PORT".to_owned(),
            "private_chat.listen",
            format!("0.0.0.0:{port}"),
        ));
    }
    if let Some(host) = get("CHAT_WS_SERVER_HOST") {
        let protocol = get("CHAT_WS_SERVER_PROTOCOL").map_or("ws", String::as_str);
        let port = port.map_or("5002", String::as_str);
        found.push((
            "CHAT_WS_SERVER_HOST".to_owned(),
            "private_chat.public_base",
            format!("{protocol}://{host}:{port}"),
        ));
    }
    if let Some(url) = mysql(&get) {
        found.push(("mysql_host".to_owned(), "database.url", url));
    }
    found
}

/// The courier original's database, if all four of its variables are set, in either letter case.
fn mysql<'a>(get: &impl Fn(&str) -> Option<&'a String>) -> Option<String> {
    let either = |name: &str| get(name).or_else(|| get(&name.to_ascii_uppercase()));
    let part = |name: &str| either(name).map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
    let host = either("mysql_host")?;
    let (user, password) = (part("mysql_user")?, part("mysql_password")?);
    Some(format!("mysql://{user}:{password}@{host}/{}", part("db_name")?))
}
