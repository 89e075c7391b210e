//! The decoder of the kernel's requests for a fuzzer; see `cawdb::disk::fuzz`.

use crate::wire::Request;
pub use cawfs_fs::fuzz::Target;

const OWN: &[Target] = &[Target {
    name: "request",
    run: |bytes| {
        if let Some(request) = Request::parse(bytes) {
            let _ = request.name();
        }
    },
    seeds: || (0..64).map(message).collect(),
}];

/// The decoders of this crate and of those below it.
pub fn targets() -> impl Iterator<Item = Target> {
    cawfs_fs::fuzz::targets().chain(OWN.iter().copied())
}

/// A message of an operation, with something in its body.
fn message(opcode: u8) -> Vec<u8> {
    let mut bytes = vec![0; 40];
    bytes.extend((0..120).map(|n| if n % 9 == 8 { 0 } else { b'a' + n % 20 }));
    let len = bytes.len() as u32;
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    bytes[4] = opcode;
    bytes
}
