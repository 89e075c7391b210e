//! Decoders of the engine for a fuzzer, and a whole store; see [`cawdb_disk::fuzz`].

mod image;

use crate::{Batch, KeyRange};
use bytes::Bytes;
pub use cawdb_disk::fuzz::Target;

const OWN: &[Target] = &[
    Target {
        name: "record",
        run: |bytes| drop(crate::record::decode(&Bytes::copy_from_slice(bytes))),
        seeds: || vec![crate::record::encode(&sample_batch())],
    },
    Target {
        name: "table",
        run: |bytes| {
            if let Ok(entries) = crate::image::decode_entries(bytes) {
                let _ = crate::image::encode_entries(&entries);
            }
        },
        seeds: || vec![image::table_payload()],
    },
    Target {
        name: "superblock_body",
        run: |bytes| drop(crate::image::Body::decode(bytes)),
        seeds: || vec![image::body()],
    },
    Target {
        name: "store",
        run: image::run,
        seeds: || vec![Vec::new(), vec![0, 0, 0, 0, 1], vec![3; 40]],
    },
];

/// The decoders of the engine and of the floors below it.
pub fn targets() -> impl Iterator<Item = Target> {
    let below = cawdb_disk::fuzz::TARGETS
        .iter()
        .chain(cawdb_node::fuzz::TARGETS);
    below.chain(OWN).copied()
}

/// Of the stores fed so far: how many opened, in how many of those a check found something, in how many nothing.
pub fn stores_met() -> [u64; 3] {
    [0, 1, 2].map(|i| image::MET[i].load(std::sync::atomic::Ordering::Relaxed))
}

fn sample_batch() -> Batch {
    let mut batch = Batch::new();
    batch.put("a", "value");
    batch.delete("b");
    batch.patch("c", 7, "piece");
    batch.delete_range(KeyRange::prefix("d"));
    batch.clone_prefix("e", "f");
    batch
}
