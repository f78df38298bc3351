//! Reads the few frames a client sends on a WebSocket before it changes over to it.

/// A final frame of text.
const TEXT: u8 = 0x81;
const CONTINUES: u8 = 0x70;
const MASKED: u8 = 0x80;
const MAX_SHORT: usize = 125;

/// A frame that says goodbye.
pub(super) const CLOSE: &[u8] = b"\x88\x00";

/// What a frame says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// `2probe`: is anybody there?
    Probe,
    /// `5`: from now on by this way.
    Upgrade,
    /// A WebSocket's own ping.
    Ping(Vec<u8>),
    /// The answer to one.
    Pong,
    /// Goodbye, or what nobody says here.
    Other,
}

/// Takes the first frame out of `bytes`, once it is complete.
pub(super) fn next(bytes: &mut Vec<u8>) -> Option<Said> {
    let &[kind, len, ..] = bytes.as_slice() else { return None };
    let payload_len = usize::from(len & !MASKED);
    if len & MASKED == 0 || kind & CONTINUES != 0 || payload_len > MAX_SHORT {
        return Some(Said::Other);
    }
    let end = 6 + payload_len;
    let frame = bytes.get(2..end)?;
    let (mask, payload) = frame.split_at(4);
    let payload: Vec<u8> =
        payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    bytes.drain(..end);
    Some(match (kind, payload.as_slice()) {
        (TEXT, b"2probe") => Said::Probe,
        (TEXT, [b'5', ..]) => Said::Upgrade,
        (0x89, _) => Said::Ping(payload),
        (0x8A, _) => Said::Pong,
        _ => Said::Other,
    })
}

/// The answer to a WebSocket's own ping.
pub(super) fn pong(payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).unwrap_or_default();
    [&[0x8A, len], payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, text: &[u8]) -> Vec<u8> {
        let mask = [7, 11, 13, 17];
        let len = u8::try_from(text.len()).unwrap();
        let masked = text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        [kind, MASKED | len].into_iter().chain(mask).chain(masked).collect()
    }

    #[test]
    fn frames_are_read_one_by_one_however_they_arrive() {
        let stream = [
            frame(TEXT, b"2probe"),
            frame(0x89, b"hi"),
            frame(0x8A, b""),
            frame(TEXT, b"5"),
            frame(TEXT, b"4"),
            frame(0x88, b""),
            frame(1, b"5"),
        ]
        .concat();
        let expected = [
            Said::Probe,
            Said::Ping(b"hi".to_vec()),
            Said::Pong,
            Said::Upgrade,
            Said::Other,
            Said::Other,
            Said::Other,
        ];
        for piece in [1, 3, stream.len()] {
            let (mut bytes, mut said) = (Vec::new(), Vec::new());
            for part in stream.chunks(piece) {
                bytes.extend_from_slice(part);
                while let Some(frame) = next(&mut bytes) {
                    said.push(frame);
                }
            }
            assert_eq!(said, expected, "in pieces of {piece}");
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn frames_that_no_client_sends_are_not_waited_for() {
        for head in [&[TEXT, 5][..], &[TEXT, MASKED | 0x7E], &[0xC1, MASKED | 0x01]] {
            assert_eq!(next(&mut head.to_vec()), Some(Said::Other), "{head:?}");
        }
        assert_eq!(next(&mut vec![TEXT]), None);
        assert_eq!(pong(b"hi"), b"\x8a\x02hi");
    }
}
