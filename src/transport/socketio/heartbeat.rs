//! Finds the heartbeats in the bytes that come in on a WebSocket.
//!
//! The library keeps them to itself, and they are what proves that something has arrived.
//! Only frames' heads are read, so this costs next to nothing.

/// The longest head (fourteen bytes), and the one byte a heartbeat consists of.
const HEAD: usize = 15;
/// A whole text message in one frame.
const FINAL_TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;

/// Keeps the place between two reads.
#[derive(Debug, Default)]
pub(super) struct HeartbeatReader {
    head: [u8; HEAD],
    len: usize,
    /// Bytes of the present frame that are of no interest.
    skip: u64,
}

impl HeartbeatReader {
    /// Goes over `bytes`; how many heartbeats end in them.
    pub(super) fn count(&mut self, mut bytes: &[u8]) -> usize {
        let mut beats = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                self.skip -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head[self.len] = bytes[0];
            self.len += 1;
            bytes = &bytes[1..];
            if let Some(payload) = self.payload_behind_head() {
                let is_short_text = self.head[0] == FINAL_TEXT && payload == 1;
                let head_len = self.head_len();
                if is_short_text && self.len == head_len {
                    continue;
                }
                if is_short_text && self.is_heartbeat(head_len) {
                    beats += 1;
                }
                self.skip = payload - (self.len - head_len) as u64;
                self.len = 0;
            }
        }
        beats
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
        Some(match self.head[1] & !MASKED {
            126 => u16::from_be_bytes([self.head[2], self.head[3]]).into(),
            127 => {
                let mut len = [0; 8];
                len.copy_from_slice(&self.head[2..10]);
                u64::from_be_bytes(len)
            }
            short => short.into(),
        })
    }

    fn head_len(&self) -> usize {
        let extended = match self.head[1] & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if self.head[1] & MASKED == 0 { 0 } else { 4 }
    }

    /// Whether the byte behind the head is a ping (Engine.IO 3) or a pong (4).
    fn is_heartbeat(&self, head_len: usize) -> bool {
        let mask = if self.head[1] & MASKED == 0 { 0 } else { self.head[head_len - 4] };
        matches!(self.head[head_len] ^ mask, b'2' | b'3')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, text: &[u8]) -> Vec<u8> {
        let mask = [7, 11, 13, 17];
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
        frame.extend(mask);
        frame.extend(text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    #[test]
    fn heartbeats_are_found_however_the_bytes_are_cut() {
        let stream = [
            frame(1, b"2probe"),
            frame(1, b"5"),
            frame(1, b"2"),
            frame(1, b""),
            frame(1, &[b'2'; 300]),
            frame(1, &vec![b'3'; 70_000]),
            frame(2, b"2"),
            frame(9, b"3"),
            frame(1, b"3"),
            frame(1, b"42[\"a\"]"),
            frame(1, b"3"),
        ]
        .concat();
        for piece in [1, 2, 7, 1000, stream.len()] {
            let mut reader = HeartbeatReader::default();
            let beats: usize = stream.chunks(piece).map(|bytes| reader.count(bytes)).sum();
            assert_eq!(beats, 3, "in pieces of {piece}");
            assert!(reader.is_between_frames());
            reader.count(&stream[..3]);
            assert!(!reader.is_between_frames());
        }
    }
}
