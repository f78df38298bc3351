//! `/docs`: the reference for people, without scripts.

use std::fmt::Write as _;

use super::operations::{addresses, keys_of, statuses_of, success_of, verb_name};
use super::others::{self, Entry};
use crate::http::body::Key;
use crate::http::neo::{Chapter, chapters};

/// A page without scripts: every route of the table, and where the events are described.
pub(super) fn page() -> String {
    let mut html = String::from(include_str!("../docs_head.html"));
    for chapter in chapters() {
        write_chapter(&mut html, &chapter);
    }
    html.push_str("<h2 id=\"others\">Other interfaces</h2>");
    for (title, entries) in others::chapters() {
        // Writing into a string cannot fail.
        let _ = write!(html, "<h2>{title}</h2>");
        for entry in &entries {
            write_entry(&mut html, entry);
        }
    }
    html.push_str(include_str!("../docs_events.html"));
    html
}

fn write_entry(html: &mut String, entry: &Entry) {
    let Entry { verb, path, summary, by, .. } = entry;
    let verb = verb_name(verb);
    let _ = write!(
        html,
        "<section><h3>{verb} {path}</h3><p>{summary} For {}.</p>",
        by.replace('`', "")
    );
    write_keys(html, entry.query.iter().chain(entry.body.iter().flat_map(|(_, keys)| keys)));
    for (status, shown) in &entry.answers {
        let _ = write!(html, "<p>{status}: {}</p>", shown.as_str().replace('`', ""));
    }
    html.push_str("</section>");
}

fn write_keys<'a>(html: &mut String, keys: impl Iterator<Item = &'a Key>) {
    let mut keys = keys.peekable();
    if keys.peek().is_none() {
        return;
    }
    html.push_str("<table><tr><th>key</th><th>holds</th><th></th></tr>");
    for Key { name, shape, optional } in keys {
        let (holds, optional) = (shape.as_str(), if *optional { "optional" } else { "" });
        let _ = write!(html, "<tr><td>{name}</td><td>{holds}</td><td>{optional}</td></tr>");
    }
    html.push_str("</table>");
}

fn write_chapter(html: &mut String, (title, routes): &Chapter) {
    // Writing into a string cannot fail.
    let _ = write!(html, "<h2>{title}</h2>");
    for route in routes {
        let _ = write!(
            html,
            "<section><h3>{}</h3><p>{} For {}.</p><p>",
            route.path,
            route.summary,
            route.who.as_str()
        );
        for (method, path) in addresses(route) {
            let verb = verb_name(&method);
            let _ = write!(html, "<code>{verb} {path}</code> ");
        }
        html.push_str("</p>");
        write_keys(html, keys_of(route).iter());
        let fails: Vec<_> = statuses_of(route).iter().map(u16::to_string).collect();
        let _ = write!(html, "<p>{}: {}</p>", route.status, success_of(route));
        let _ = write!(html, "<p>Fails with {}</p>", fails.join(", "));
        html.push_str("</section>");
    }
}
