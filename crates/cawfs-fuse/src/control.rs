//! The ioctls that ask the daemon itself, beside those of [`cawfs_fs::protocol`], on any open file or
//! directory of a mount.
//!
//! ```text
//! STATS  in  offset:4 -:12          out  total:4 length:4 -:8 │ text, from the offset on
//! SYNC   no argument                answers when all that happened before is durable
//! ```
//!
//! The text of STATS is JSON; it is asked for in pieces, because an ioctl carries less than 16 KiB.

/// Bytes of the STATS struct.
pub const STATS_BYTES: usize = 8192;
const STATS_HEAD: usize = 16;
const TYPE: u32 = 0xCA << 8;
/// `ioctl` command: a piece of the daemon's statistics.
pub const STATS: u32 = (3 << 30) | ((STATS_BYTES as u32) << 16) | TYPE | 16;
/// `ioctl` command: make everything durable.
pub const SYNC: u32 = TYPE | 17;

/// The request for the piece that begins at `offset`.
pub fn ask_stats(offset: usize) -> [u8; STATS_BYTES] {
    let mut out = [0; STATS_BYTES];
    out[..4].copy_from_slice(&(offset as u32).to_le_bytes());
    out
}

/// The answer to a request for a piece of `text`.
pub fn answer_stats(request: &[u8], text: &str) -> Vec<u8> {
    let offset = word(request, 0).min(text.len());
    let rest = text.as_bytes().get(offset..).unwrap_or_default();
    let piece = &rest[..rest.len().min(STATS_BYTES - STATS_HEAD)];
    let mut out = vec![0; STATS_HEAD];
    out[..4].copy_from_slice(&(text.len() as u32).to_le_bytes());
    out[4..8].copy_from_slice(&(piece.len() as u32).to_le_bytes());
    out.extend(piece);
    out.resize(STATS_BYTES, 0);
    out
}

/// The piece in an answer, and the length of the whole text; `None` if it makes no sense.
pub fn read_stats(answer: &[u8]) -> Option<(&[u8], usize)> {
    let piece = answer.get(STATS_HEAD..)?.get(..word(answer, 4))?;
    Some((piece, word(answer, 0)))
}

fn word(bytes: &[u8], at: usize) -> usize {
    let word = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    word.map_or(0, |b| u32::from_le_bytes(b) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_comes_in_pieces() {
        let text: String = (0..5000).map(|i| format!("{i} ")).collect();
        let mut got: Vec<u8> = Vec::new();
        loop {
            let answer = answer_stats(&ask_stats(got.len()), &text);
            let (piece, total) = read_stats(&answer).unwrap();
            assert_eq!((answer.len(), total), (STATS_BYTES, text.len()));
            got.extend(piece);
            if got.len() == total {
                break;
            }
        }
        assert_eq!(got, text.as_bytes());
        assert_eq!(
            read_stats(&answer_stats(&ask_stats(1 << 30), "x")),
            Some((&b""[..], 1))
        );
        assert_eq!(read_stats(&[255; 20]), None);
    }
}
