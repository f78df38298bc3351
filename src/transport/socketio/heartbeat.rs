//! Reads the heads of the frames that come in on a WebSocket: finds the heartbeats, and takes
//! out what the library would end the session for.
//!
//! The library keeps heartbeats to itself, and they are what proves that something has arrived.
//! It also breaks with a client that sends a packet of the handshake on an open session, which
//! proxies and impatient clients do and nobody minds. Such a frame becomes one that it passes
//! over, of the same length. Only heads are read, so this costs next to nothing.

use super::season;

/// The longest head (fourteen bytes), and the longest packet that is looked at.
const KEPT: usize = 14 + PROBE.len();
/// A whole text message in one frame.
const FINAL_TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;
/// A WebSocket's own ping, which the library answers, and the answer, which it passes over.
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;
/// The longest payload these two can have.
const MAX_CONTROL: u64 = 125;
const PROBE: &[u8] = b"2probe";
const PROBE_ANSWER: &[u8] = b"3probe";

/// How a packet begins that connects to a namespace with a name.
const NAMESPACE: &[u8] = b"40/";
/// The longest of these that is looked at.
const MAX_NAMESPACE: usize = 4096;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// How many heartbeats have ended.
    pub(super) heartbeats: usize,
    /// The client wants to hear `3probe`.
    pub(super) is_probed: bool,
}

/// Keeps the place between two reads.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    kept: [u8; KEPT],
    len: usize,
    /// Bytes of the present frame that are of no interest.
    skip: u64,
    /// The client speaks the third version.
    is_version_3: bool,
}

/// What a packet of text is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Heartbeat,
    Probe,
    OutOfSeason,
    /// Connects to a namespace with a name.
    Namespace,
    Other,
    /// That depends on what follows.
    Unclear,
}

impl FrameReader {
    pub(super) fn new(is_version_3: bool) -> Self {
        Self { is_version_3, ..Self::default() }
    }

    /// Goes over `bytes`, and changes those that the library must not see.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> Read {
        let mut read = Read::default();
        let mut at = 0;
        while at < bytes.len() {
            if self.skip > 0 {
                let left = bytes.len() - at;
                let skipped = left.min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                self.skip -= skipped as u64;
                at += skipped;
                continue;
            }
            self.kept[self.len] = bytes[at];
            self.len += 1;
            at += 1;
            let Some(payload) = self.payload_behind_head() else { continue };
            let shown = self.len - self.head_len();
            match self.kind(payload, shown) {
                Kind::Unclear => continue,
                Kind::Heartbeat => read.heartbeats += 1,
                Kind::Other => {}
                Kind::Namespace => self.take_query_out(payload, &mut bytes[at - shown.min(at)..]),
                kind @ (Kind::Probe | Kind::OutOfSeason) => {
                    read.is_probed |= kind == Kind::Probe;
                    self.take_out(&kind, payload, &mut bytes[..at]);
                }
            }
            self.skip = payload - shown as u64;
            self.len = 0;
        }
        read
    }

    /// Whether the client is between two frames.
    pub(super) const fn is_between_frames(&self) -> bool {
        self.len == 0 && self.skip == 0
    }

    /// The length of the payload, once the head is complete.
    fn payload_behind_head(&self) -> Option<u64> {
        if self.len < 2 || self.len < self.head_len() {
            return None;
        }
        Some(match self.kept[1] & !MASKED {
            126 => u16::from_be_bytes([self.kept[2], self.kept[3]]).into(),
            127 => {
                let mut len = [0; 8];
                len.copy_from_slice(&self.kept[2..10]);
                u64::from_be_bytes(len)
            }
            short => short.into(),
        })
    }

    fn head_len(&self) -> usize {
        let extended = match self.kept[1] & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if self.kept[1] & MASKED == 0 { 0 } else { 4 }
    }

    /// What the frame is, of whose payload so many bytes have been seen.
    fn kind(&self, payload: u64, shown: usize) -> Kind {
        if self.kept[0] != FINAL_TEXT || payload == 0 {
            return Kind::Other;
        }
        if shown == 0 {
            return Kind::Unclear;
        }
        match self.unmasked(0) {
            b'0' | b'5' | b'6' => Kind::OutOfSeason,
            b'4' if self.is_version_3 && payload > NAMESPACE.len() as u64 => {
                if self.unmasked(shown - 1) != NAMESPACE[shown - 1] {
                    return Kind::Other;
                }
                if shown < NAMESPACE.len() { Kind::Unclear } else { Kind::Namespace }
            }
            b'2' | b'3' if payload == 1 => Kind::Heartbeat,
            b'2' | b'3' if payload == PROBE.len() as u64 => {
                if shown < PROBE.len() {
                    return Kind::Unclear;
                }
                let mut text = [0; PROBE.len()];
                text.iter_mut().enumerate().for_each(|(at, byte)| *byte = self.unmasked(at));
                match &text[..] {
                    PROBE => Kind::Probe,
                    PROBE_ANSWER => Kind::OutOfSeason,
                    _ => Kind::Other,
                }
            }
            _ => Kind::Other,
        }
    }

    fn unmasked(&self, at: usize) -> u8 {
        self.kept[self.head_len() + at] ^ self.mask(at)
    }

    fn mask(&self, at: usize) -> u8 {
        if self.kept[1] & MASKED == 0 { 0 } else { self.kept[self.head_len() - 4 + at % 4] }
    }

    /// Changes the frame that has been kept up to here, as far as it stands in `bytes`, into
    /// one that means nothing; a probe into one that makes the library write.
    fn take_out(&self, kind: &Kind, payload: u64, bytes: &mut [u8]) {
        if payload <= MAX_CONTROL
            && let Some(first) = bytes.len().checked_sub(self.len)
        {
            bytes[first] = if *kind == Kind::Probe { PING } else { PONG };
            return;
        }
        // The head has been read before. `3` with anything behind it proves life, no more;
        // so does `2` with anything but what makes it a probe.
        let shown = self.len - self.head_len();
        let Some(last) = bytes.last_mut() else { return };
        *last = if shown == 1 { b'3' } else { b'_' } ^ self.mask(shown - 1);
    }

    /// The same for the query of a namespace; `bytes` begin with the payload, if it was not cut.
    fn take_query_out(&self, payload: u64, bytes: &mut [u8]) {
        let Some(len) = usize::try_from(payload).ok().filter(|len| *len <= MAX_NAMESPACE) else {
            return;
        };
        let Some(masked) = bytes.get_mut(..len) else { return };
        let apply = |(at, byte): (usize, &mut u8)| *byte ^= self.mask(at);
        masked.iter_mut().enumerate().for_each(apply);
        if masked.starts_with(NAMESPACE) {
            season::take_query_out(masked);
        }
        masked.iter_mut().enumerate().for_each(apply);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [7, 11, 13, 17];

    fn frame(opcode: u8, text: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match text.len() {
            len @ ..126 => frame.push(0x80 | len as u8),
            len @ 126..0x1_0000 => {
                frame.push(0xFE);
                frame.extend((len as u16).to_be_bytes());
            }
            len => {
                frame.push(0xFF);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(text.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    #[test]
    fn heartbeats_are_found_however_the_bytes_are_cut() {
        let stream = [
            frame(1, b"2"),
            frame(1, b""),
            frame(1, &[b'2'; 300]),
            frame(1, &vec![b'3'; 70_000]),
            frame(2, b"2"),
            frame(2, b"5"),
            frame(9, b"3"),
            frame(1, b"3"),
            frame(1, b"2prob"),
            frame(1, b"2probs"),
            frame(1, b"42[\"a\"]"),
            frame(1, b"3"),
        ]
        .concat();
        for piece in [1, 2, 7, 1000, stream.len()] {
            let mut reader = FrameReader::default();
            let mut seen = stream.clone();
            let heartbeats: usize =
                seen.chunks_mut(piece).map(|bytes| reader.read(bytes).heartbeats).sum();
            assert_eq!(heartbeats, 3, "in pieces of {piece}");
            assert_eq!(seen, stream, "nothing of this is changed");
            assert!(reader.is_between_frames());
            reader.read(&mut stream[..3].to_vec());
            assert!(!reader.is_between_frames());
        }
    }

    #[test]
    fn namespaces_lose_their_query_in_the_third_version() {
        let sent =
            [frame(1, b"40/a?token=x,"), frame(1, b"40/a?b"), frame(1, b"42[\"?\"]")].concat();
        let mut bytes = sent.clone();
        FrameReader::new(true).read(&mut bytes);
        let expected =
            [frame(1, b"40/a,        "), frame(1, b"40/a, "), frame(1, b"42[\"?\"]")].concat();
        assert_eq!(bytes, expected);
        let mut bytes = sent.clone();
        FrameReader::new(false).read(&mut bytes);
        assert_eq!(bytes, sent);
        for piece in [1, 2, 5, 8, 11] {
            let (mut bytes, mut reader) = (sent.clone(), FrameReader::new(true));
            for bytes in bytes.chunks_mut(piece) {
                reader.read(bytes);
            }
            assert!(reader.is_between_frames(), "in pieces of {piece}");
        }
    }

    #[test]
    fn packets_out_of_season_are_taken_out() {
        for packet in ["5", "6", "0{}", "3probe", "5more"] {
            let mut bytes = [frame(1, packet.as_bytes()), frame(1, b"4a")].concat();
            let read = FrameReader::default().read(&mut bytes);
            assert_eq!(read, Read::default(), "{packet}");
            let expected = [frame(0xA, packet.as_bytes()), frame(1, b"4a")].concat();
            assert_eq!(bytes, expected, "{packet}");
        }
        let mut bytes = frame(1, b"2probe");
        assert!(FrameReader::default().read(&mut bytes).is_probed);
        assert_eq!(bytes, frame(9, b"2probe"));
    }

    #[test]
    fn packets_out_of_season_mean_nothing_even_when_their_head_has_been_read() {
        let long = [b'6'; 300];
        let table: [(&[u8], &[u8]); 4] =
            [(b"5", b"3"), (b"0{}", b"3{}"), (b"2probe", b"2prob_"), (b"3probe", b"3prob_")];
        for (packet, expected) in table {
            let mut bytes = frame(1, packet);
            let mut reader = FrameReader::default();
            let reads: Vec<_> = bytes.chunks_mut(1).map(|byte| reader.read(byte)).collect();
            assert_eq!(reads.iter().any(|read| read.is_probed), packet == b"2probe");
            assert_eq!(bytes, frame(1, expected));
            assert!(reader.is_between_frames());
        }
        let mut bytes = frame(1, &long);
        FrameReader::default().read(&mut bytes);
        assert_eq!(bytes, frame(1, &[&b"3"[..], &long[1..]].concat()));
    }
}
