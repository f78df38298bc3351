//! Packets of the handshake that are posted on an open session.
//!
//! The library refuses the whole body for one of them and forgets what stands behind it. They
//! mean nothing there, so they are left out.

use bytes::Bytes;

const SEPARATOR: u8 = 0x1E;

/// A body of packets without those that mean nothing.
pub(super) fn in_season(body: Bytes) -> Bytes {
    let packets = || body.split(|byte| *byte == SEPARATOR);
    if packets().all(is_open_packet) {
        return body;
    }
    let kept: Vec<_> = packets().filter(|packet| is_open_packet(packet)).collect();
    Bytes::from(kept.join(&SEPARATOR))
}

/// Whether a packet with its length in front means something.
pub(super) fn is_in_season(measured: &Bytes) -> bool {
    measured
        .iter()
        .position(|byte| *byte == b':')
        .is_none_or(|at| is_open_packet(&measured[at + 1..]))
}

/// Makes a packet of the third version connect to the namespace without the query behind its
/// name, which the library would take for a part of it; the length stays.
pub(super) fn take_query_out(packet: &mut [u8]) {
    let end = packet.iter().position(|byte| *byte == b',').map_or(packet.len(), |at| at + 1);
    let Some(query) = packet[..end].iter().position(|byte| *byte == b'?') else { return };
    packet[query..end].fill(b' ');
    packet[query] = b',';
}

/// The same for a packet with its length in front.
pub(super) fn without_query(measured: Bytes) -> Bytes {
    let Some(at) = measured.iter().position(|byte| *byte == b':') else { return measured };
    if !measured[at + 1..].starts_with(b"40/") {
        return measured;
    }
    let mut packet = measured.to_vec();
    take_query_out(&mut packet[at + 1..]);
    packet.into()
}

/// Whether this means something on an open session; nonsense does, for it ends it.
fn is_open_packet(packet: &[u8]) -> bool {
    !matches!(packet, [b'0' | b'5' | b'6', ..] | b"2probe" | b"3probe")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_of_namespaces_are_left_out() {
        let table = [
            ("13:40/a?token=x,", "13:40/a,        "),
            ("6:40/a?b", "6:40/a, "),
            ("5:40/a,", "5:40/a,"),
            ("8:42/a,[?]", "8:42/a,[?]"),
        ];
        for (packet, expected) in table {
            assert_eq!(without_query(Bytes::from(packet)), expected.as_bytes(), "{packet}");
        }
    }

    #[test]
    fn packets_of_the_handshake_are_left_out() {
        let table = [
            ("40", "40"),
            ("5", ""),
            ("40\u{1e}5\u{1e}42[\"a\"]", "40\u{1e}42[\"a\"]"),
            ("2probe\u{1e}3", "3"),
            ("0{}\u{1e}6\u{1e}3probe", ""),
            ("9\u{1e}5", "9"),
            ("45", "45"),
            ("2probes", "2probes"),
            ("", ""),
        ];
        for (body, expected) in table {
            assert_eq!(in_season(Bytes::from(body)), expected.as_bytes(), "{body:?}");
        }
        for (packet, expected) in
            [("1:5", false), ("2:45", true), ("6:2probe", false), ("0:", true)]
        {
            assert_eq!(is_in_season(&Bytes::from(packet)), expected, "{packet}");
        }
    }
}
