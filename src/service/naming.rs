//! Names and types of files that strangers send: made safe, and found out by looking.

/// The longest name without extension, in characters.
const NAME: usize = 120;
/// The longest extension, its dot included.
const EXTENSION: usize = 10;

/// A file name in ASCII without any path, split before its extension's dot.
pub(super) fn safe_name(raw: &str) -> (String, String) {
    let last = raw.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last
        .chars()
        .filter(|c| !c.is_control())
        .map(|c| if c.is_ascii_alphanumeric() || "._-()".contains(c) { c } else { '_' })
        .collect();
    // A leading dot hides a file on some systems, and two of them climb.
    let plain = plain.trim_matches(['.', ' ']);
    let (name, extension) = match plain.rfind('.') {
        Some(dot) if dot > 0 && plain.len() - dot <= EXTENSION => plain.split_at(dot),
        _ => (plain, ""),
    };
    let name: String = name.chars().take(NAME).collect();
    let name = if name.is_empty() { "file".to_owned() } else { name };
    (name, extension.to_owned())
}

/// The name under which a file of this name is stored.
pub fn stored_name(raw: &str) -> String {
    let (name, extension) = safe_name(raw);
    format!("{name}{extension}")
}

/// The type of a file by its first bytes; for text the extension may say more.
pub(super) fn sniff(head: &[u8], extension: &str) -> String {
    if let Some(known) = infer::get(head) {
        return known.mime_type().to_owned();
    }
    if !is_text(head) {
        return "application/octet-stream".to_owned();
    }
    guess(extension)
        .filter(|mime| mime.starts_with("text/") || mime.ends_with("json") || mime.ends_with("xml"))
        .unwrap_or_else(|| "text/plain".to_owned())
}

/// The type of a picture by its first bytes; none if they are no picture's.
pub(super) fn image_type(head: &[u8]) -> Option<&'static str> {
    let shown = ["png", "jpeg", "gif", "webp", "avif", "bmp"];
    let known = infer::get(head).map(|known| known.mime_type());
    if let Some(subtype) = known.and_then(|mime| mime.strip_prefix("image/"))
        && shown.contains(&subtype)
    {
        return known;
    }
    (is_text(head) && is_svg(head)).then_some("image/svg+xml")
}

/// Whether the first element is `svg`, behind whatever XML allows before it.
fn is_svg(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let end = if rest.starts_with("<!--") {
            "-->"
        } else if rest.starts_with("<?") || rest.starts_with("<!") {
            ">"
        } else {
            let name = rest.strip_prefix("<svg");
            return name.is_some_and(|rest| {
                rest.starts_with(|c: char| c.is_whitespace() || c == '>' || c == '/')
            });
        };
        match rest.split_once(end) {
            Some((_, behind)) => rest = behind.trim_start(),
            None => return false,
        }
    }
}

/// The type that an extension stands for.
pub fn guess(extension: &str) -> Option<String> {
    let known = mime_guess::from_ext(extension.trim_start_matches('.')).first_raw();
    known.map(ToOwned::to_owned)
}

fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(_) => head,
        // The last character may have been cut in two.
        Err(error) if head.len() - error.valid_up_to() < 4 && error.error_len().is_none() => {
            &head[..error.valid_up_to()]
        }
        Err(_) => return false,
    };
    !valid.iter().any(|byte| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_paths_and_whatever_else_is_dangerous() {
        let long = "x".repeat(300);
        let table = [
            ("cat.png", "cat", ".png"),
            ("../../etc/passwd", "passwd", ""),
            ("..\\..\\boot.ini", "boot", ".ini"),
            ("/", "file", ""),
            ("", "file", ""),
            ("..", "file", ""),
            (".bashrc", "bashrc", ""),
            ("a.tar.gz", "a.tar", ".gz"),
            ("résumé 1.pdf", "r_sum__1", ".pdf"),
            ("a\0b\n.txt", "ab", ".txt"),
            ("name.averylongextension", "name.averylongextension", ""),
            ("<script>.html", "_script_", ".html"),
            ("trailing.", "trailing", ""),
            (&long, &long[..120], ""),
        ];
        for (raw, name, extension) in table {
            assert_eq!(safe_name(raw), (name.to_owned(), extension.to_owned()), "{raw:?}");
        }
    }

    #[test]
    fn types_come_from_the_bytes_and_only_for_text_from_the_extension() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        let cut = "ä".as_bytes();
        let table: [(&[u8], &str, &str); 8] = [
            (png, ".png", "image/png"),
            (png, ".txt", "image/png"),
            (b"hello", ".txt", "text/plain"),
            (b"hello", ".png", "text/plain"),
            (b"{}", ".json", "application/json"),
            (b"a,b", ".csv", "text/csv"),
            (b"\0\x01\x02", ".txt", "application/octet-stream"),
            (&cut[..1], "", "text/plain"),
        ];
        for (head, extension, mime) in table {
            assert_eq!(sniff(head, extension), mime, "{head:?} {extension}");
        }
    }

    #[test]
    fn pictures_are_known_by_their_bytes() {
        let table: [(&[u8], Option<&str>); 9] = [
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Some("image/png")),
            (b"GIF89a", Some("image/gif")),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Some("image/svg+xml")),
            (
                b"<?xml version='1.0'?>\n<!-- <b> --><!DOCTYPE svg>\n<svg></svg>",
                Some("image/svg+xml"),
            ),
            (b"<html><svg></svg></html>", None),
            (b"<svgs>", None),
            (b"%PDF-1.7", None),
            (b"hello", None),
            (b"", None),
        ];
        for (head, mime) in table {
            assert_eq!(image_type(head), mime, "{}", String::from_utf8_lossy(head));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_name_escapes(raw in ".{0,200}", head: Vec<u8>) {
            let (name, extension) = safe_name(&raw);
            let whole = format!("{name}{extension}");
            assert!(whole.is_ascii() && !whole.contains(['/', '\\', '\0']));
            assert!(!name.is_empty() && name.len() <= NAME && extension.len() <= EXTENSION);
            let _ = sniff(&head, &extension);
        }
    }
}
