//! What a connection wants of its packets: fixed by its handshake for as long as it lives.

use crate::settings::{Html, MultichatSettings};

/// What a client may ask for in its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    /// Own messages are of a type of their own.
    Own,
    /// Earlier messages come in one packet.
    History,
    /// The list of rooms comes first.
    Rooms,
    /// Who is in a room comes with its acknowledgement.
    Members,
    /// Who types is told.
    Typing,
    /// Who has read is told.
    Read,
}

impl Feature {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "own" => Self::Own,
            "history" => Self::History,
            "rooms" => Self::Rooms,
            "members" => Self::Members,
            "typing" => Self::Typing,
            "read" => Self::Read,
            _ => return None,
        })
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::History => "history",
            Self::Rooms => "rooms",
            Self::Members => "members",
            Self::Typing => "typing",
            Self::Read => "read",
        }
    }
}

/// How a connection's packets look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    /// What was asked for, in its order; none if nothing was, not even nothing.
    pub(super) features: Option<Vec<Feature>>,
    /// Text is made safe for pages that put it into HTML as it is.
    pub(super) escape: bool,
    /// Messages have the four original keys alone.
    pub(super) plain: bool,
}

impl Style {
    /// What a handshake asks for; `browser` if a page made it.
    pub(super) fn of(query: &str, browser: bool, settings: &MultichatSettings) -> Self {
        let features = value(query, "features").map(|names| {
            let mut found = Vec::new();
            for name in names.split(',') {
                if let Some(feature) = Feature::named(name.trim())
                    && !found.contains(&feature)
                {
                    found.push(feature);
                }
            }
            found
        });
        let escape = match value(query, "html").as_deref() {
            Some("raw") => false,
            Some("escape") => true,
            Some(_) | None => match settings.html {
                _ if features.is_some() => false,
                Html::Auto => browser,
                Html::Raw => false,
                Html::Escape => true,
            },
        };
        let plain = settings.plain && features.is_none();
        Self { features, escape, plain }
    }

    /// Whether this was asked for.
    pub(super) fn has(&self, feature: Feature) -> bool {
        self.features.as_ref().is_some_and(|features| features.contains(&feature))
    }

    /// The number under which deliveries keep what was rendered so.
    pub(super) fn rendition(&self, own: bool) -> u8 {
        u8::from(self.escape)
            | u8::from(self.plain) << 1
            | u8::from(self.features.is_some()) << 2
            | u8::from(self.has(Feature::Own)) << 3
            | u8::from(own) << 4
    }

    /// A text as this connection is shown it.
    pub(super) fn text(&self, text: &str) -> String {
        if !self.escape {
            return text.to_owned();
        }
        let mut safe = String::with_capacity(text.len() + 8);
        for c in text.chars() {
            match c {
                '&' => safe.push_str("&amp;"),
                '<' => safe.push_str("&lt;"),
                '>' => safe.push_str("&gt;"),
                other => safe.push(other),
            }
        }
        safe
    }
}

/// The first value of a key of a query, decoded.
pub(super) fn value(query: &str, key: &str) -> Option<String> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, raw) = pairs.find(|(name, _)| *name == key)?;
    let raw = raw.replace('+', " ");
    Some(percent_encoding::percent_decode_str(&raw).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_says_how_packets_look() {
        let auto = MultichatSettings::default();
        let always = MultichatSettings { html: Html::Escape, ..MultichatSettings::default() };
        let table = [
            ("", true, &auto, true),
            ("", false, &auto, false),
            ("features=", true, &auto, false),
            ("features=own", true, &always, false),
            ("", false, &always, true),
            ("html=raw", true, &auto, false),
            ("html=escape", false, &auto, true),
            ("a=b&html=escape&features=own", false, &auto, true),
            ("html=odd", true, &auto, true),
        ];
        for (query, browser, settings, escapes) in table {
            assert_eq!(Style::of(query, browser, settings).escape, escapes, "{query} {browser}");
        }
    }

    #[test]
    fn features_keep_their_order_and_unknown_ones_are_left_out() {
        let settings = MultichatSettings::default();
        let of = |query| Style::of(query, false, &settings).features;
        assert_eq!(of("x=1"), None);
        assert_eq!(of("features"), Some(vec![]));
        let asked = of("features=rooms%2Cown,,magic,rooms, read");
        assert_eq!(asked, Some(vec![Feature::Rooms, Feature::Own, Feature::Read]));
    }

    #[test]
    fn text_is_made_safe_only_where_it_has_to_be() {
        let settings = MultichatSettings::default();
        let text = "<b>&amp;\"'</b>";
        assert_eq!(Style::of("", false, &settings).text(text), text);
        let safe = "&lt;b&gt;&amp;amp;\"'&lt;/b&gt;";
        assert_eq!(Style::of("", true, &settings).text(text), safe);
    }
}
