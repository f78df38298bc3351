//! Counts how much of what comes in on a WebSocket the library holds.
//!
//! It holds what comes until an event is complete: frames, their fragments, and the bytes that
//! an event announces. Only frames' heads are read, so this costs next to nothing.

/// The longest head of a frame.
const LONGEST: usize = 14;
/// How much of a payload is looked at: as much as tells how many attachments an event has.
const PEEK: usize = 8;
const HEAD: usize = LONGEST + PEEK;
const MASKED: u8 = 0x80;
const FINAL: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
/// Attachments of an event that does not say at once how many it has.
const MANY: u32 = 64;

/// Keeps the place between two reads.
#[derive(Debug, Default)]
pub(super) struct HeldBytes {
    head: [u8; HEAD],
    len: usize,
    /// Bytes of the present frame that are of no interest.
    skip: u64,
    /// Bytes of messages that the library holds.
    held: u64,
    /// Attachments that the event held is still to get.
    missing: u32,
    /// The message under way is text; it began in a frame before.
    is_text: bool,
    /// The present frame is a message's, not a ping or the like, which are answered at once.
    counts: bool,
    /// The present frame ends its message, so that what it leaves is known when it has come.
    ends: bool,
}

impl HeldBytes {
    /// Goes over `bytes`, up to a frame with which more than `most` would be held: how many
    /// bytes there were before that frame's head was complete.
    pub(super) fn count(&mut self, bytes: &[u8], most: u64) -> usize {
        let (all, mut bytes) = (bytes.len(), bytes);
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                self.skip -= skipped as u64;
                if self.counts {
                    self.held += skipped as u64;
                }
                bytes = &bytes[skipped..];
                self.end_frame();
                continue;
            }
            self.head[self.len] = bytes[0];
            self.len += 1;
            let rest = &bytes[1..];
            let Some(payload) = self.payload_behind_head() else {
                bytes = rest;
                continue;
            };
            let seen = self.len - self.head_len();
            if seen == 0 && self.held.saturating_add(payload) > most {
                // Who reads the head makes room for all that it announces.
                self.len -= 1;
                return all - bytes.len();
            }
            bytes = rest;
            let wanted = payload.min(PEEK as u64);
            if (seen as u64) < wanted {
                continue;
            }
            self.begin_frame(payload, seen);
            self.skip = payload - seen as u64;
            self.len = 0;
            self.end_frame();
        }
        all
    }

    /// Bytes that have come and belong to nothing complete.
    pub(super) const fn held(&self) -> u64 {
        self.held + self.len as u64
    }

    /// A frame's head has come, and the first bytes of its payload.
    fn begin_frame(&mut self, payload: u64, seen: usize) {
        let opcode = self.head[0] & OPCODE;
        self.counts = opcode <= BINARY;
        if !self.counts {
            self.ends = false;
            return;
        }
        let is_final = self.head[0] & FINAL != 0;
        if opcode != CONTINUATION {
            self.is_text = opcode == TEXT;
            if self.is_text {
                let announced = match self.attachments(seen) {
                    // Nobody cuts a message into crumbs but to hide what it is.
                    None if payload < PEEK as u64 && is_final => 0,
                    None => MANY,
                    Some(attachments) => attachments,
                };
                self.missing = self.missing.max(announced);
            }
        }
        self.held += seen as u64;
        self.ends = is_final;
    }

    /// If the present frame has come to its end and is a message's last, tells what is held on.
    fn end_frame(&mut self) {
        if self.skip > 0 || !std::mem::take(&mut self.ends) {
            return;
        }
        if !self.is_text {
            self.missing = self.missing.saturating_sub(1);
        }
        if self.missing == 0 {
            self.held = 0;
        }
    }

    /// How many attachments the event has that begins here; `None` if that is not to be seen.
    fn attachments(&self, seen: usize) -> Option<u32> {
        let mut text = [0; PEEK];
        let peeked = seen.min(PEEK);
        for (at, byte) in text[..peeked].iter_mut().enumerate() {
            *byte = self.unmasked(at);
        }
        let text = &text[..peeked];
        match text {
            [b'4', b'5' | b'6', rest @ ..] => {
                let digits = rest.iter().position(|byte| *byte == b'-')?;
                let digits = std::str::from_utf8(&rest[..digits]).ok()?;
                Some(digits.parse().unwrap_or(MANY).min(MANY))
            }
            [b'4'] | [] => None,
            _ => Some(0),
        }
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

    /// A byte of the payload, as it was before it was masked.
    fn unmasked(&self, at: usize) -> u8 {
        let head = self.head_len();
        let mask = if self.head[1] & MASKED == 0 { 0 } else { self.head[head - 4 + at % 4] };
        self.head[head + at] ^ mask
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
    fn what_the_library_holds_is_counted() {
        let part = |opcode: u8, text: &[u8]| {
            let mut frame = frame(opcode, text);
            frame[0] &= !FINAL;
            frame
        };
        let bytes = [b'x'; 300];
        // What comes, and what is held then.
        let table = [
            (vec![frame(1, br#"42["a"]"#), frame(9, &bytes[..100]), frame(2, &bytes)], 0),
            (vec![part(1, br#"42["aaaaaa"#)], 10),
            (vec![part(1, br#"42["aaaaaa"#), frame(9, b"ping"), part(0, &bytes)], 310),
            (vec![part(1, br#"42["aaaaaa"#), frame(0, br#""]"#)], 0),
            (vec![frame(1, br#"452-["a"]"#), frame(2, &bytes)], 309),
            (vec![frame(1, br#"452-["a"]"#), frame(2, &bytes), frame(2, &bytes)], 0),
            (vec![frame(1, br#"452-["a"]"#), frame(1, br#"42["b"]"#), frame(2, &bytes)], 316),
            (vec![frame(1, br#"450-["a"]"#)], 0),
            (vec![part(1, b"4"), frame(0, br#"564-["a"]"#), frame(2, &bytes)], 310),
            (vec![frame(1, b"3"), frame(1, b"5"), frame(1, b"41"), frame(8, b"")], 0),
        ];
        for (frames, held) in table {
            let stream = frames.concat();
            for piece in [1, 5, stream.len()] {
                let mut reader = HeldBytes::default();
                stream.chunks(piece).for_each(|bytes| {
                    reader.count(bytes, u64::MAX);
                });
                assert_eq!(reader.held(), held, "{stream:?} in pieces of {piece}");
            }
        }
        let mut reader = HeldBytes::default();
        reader.count(&frame(1, &vec![b'4'; 300_000])[..200_000], u64::MAX);
        assert_eq!(reader.held(), 200_000 - 14);
    }

    #[test]
    fn a_frame_that_announces_too_much_is_not_shown() {
        let large = frame(1, &vec![b'4'; 300_000]);
        let stream = [frame(1, b"3"), frame(1, br#"42["a"]"#), large].concat();
        let before = frame(1, b"3").len() + frame(1, br#"42["a"]"#).len() + 13;
        for piece in [1, 5, 1000, stream.len()] {
            let mut reader = HeldBytes::default();
            let mut passed = 0;
            for bytes in stream.chunks(piece) {
                let seen = reader.count(bytes, 200_000);
                passed += seen;
                if seen < bytes.len() {
                    break;
                }
            }
            assert_eq!(passed, before, "in pieces of {piece}");
            reader.count(&stream[passed..], u64::MAX);
            assert_eq!(reader.held(), 0);
        }
    }
}
