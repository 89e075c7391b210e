//! Decoders of the file system for a fuzzer; see `cawdb::disk::fuzz`.

use crate::acl::Acl;
use crate::inode::Inode;
use crate::links::{LinkId, Record, Reference};
use crate::maps::{IdRange, Ids};
use crate::{key_name, protocol};
use bytes::Bytes;
pub use cawdb::fuzz::Target;

const OWN: &[Target] = &[
    Target {
        name: "inode",
        run: inode,
        seeds: || {
            let kinds = [crate::FileType::Regular, crate::FileType::Directory];
            let now = crate::Time { secs: 5, nanos: 6 };
            let of = |kind| Inode::new(kind, 0o644, now).encode().to_vec();
            let id = LinkId { number: 7, tag: 8 };
            let kind = crate::FileType::Regular;
            let link = Reference { kind, id }.encode().to_vec();
            let mut mapped = Inode::new(crate::FileType::Directory, 0o755, now);
            mapped.inherited.ids = Ids::new(&[RANGE], &[RANGE]).unwrap_or_default();
            let mapped = mapped.encode().to_vec();
            kinds.into_iter().map(of).chain([link, mapped]).collect()
        },
    },
    Target {
        name: "acl",
        run: acl,
        seeds: || vec![vec![2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255]],
    },
    Target {
        name: "stage_name",
        run: |bytes| {
            if let Some((token, index)) = protocol::parse_stage_name(bytes) {
                assert_eq!(protocol::stage_name(token, index).as_bytes(), bytes);
            }
        },
        seeds: || vec![protocol::stage_name(77, 3).into_bytes()],
    },
    Target {
        name: "ioctl",
        run: |bytes| {
            let _ = (
                protocol::Stage::decode(bytes),
                protocol::decode_remove(bytes),
            );
            let _ = protocol::decode_mapped(bytes);
            let _ = (
                protocol::decode_stats(bytes),
                protocol::answer_stats(bytes, b"text"),
            );
        },
        seeds: || vec![protocol::ask_stats(4).to_vec(), mapped_stage()],
    },
    Target {
        name: "key",
        run: |bytes| drop(key_name(bytes)),
        seeds: || {
            let file = b"\0\0\0\x01dSdir\0Efile\0\0\0\0\0\0\0\0\x01".to_vec();
            vec![
                file,
                b"\0\0\0\x01mSdir\0HseventeenletterX\0xuser.a".to_vec(),
                b"\0\0\0\x01mSdir\0LSin\0Efile".to_vec(),
            ]
        },
    },
];

/// The decoders of the file system and of the engine.
pub fn targets() -> impl Iterator<Item = Target> {
    cawdb::fuzz::targets().chain(OWN.iter().copied())
}

const RANGE: IdRange = IdRange {
    inside: 0,
    outside: 100_000,
    count: 65_536,
};

fn mapped_stage() -> Vec<u8> {
    let stage = protocol::Stage {
        count: 1,
        flags: 2,
        token: 0,
    };
    protocol::encode_mapped(stage, &[RANGE], &[]).map_or_else(|_| Vec::new(), Vec::from)
}

fn inode(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(record) = Record::decode(&bytes) {
        let written = match record {
            Record::Own(inode) => inode.encode(),
            Record::Link(link) => link.encode(),
        };
        assert_eq!(written, bytes, "what decodes is as it would be written");
    }
}

fn acl(bytes: &[u8]) {
    if let Ok(mut acl) = Acl::decode(bytes) {
        let _ = (acl.is_plain(), acl.mode(), acl.encode());
        acl.set_mode(0o640);
        let _ = acl.inherit(0o777);
    }
}
