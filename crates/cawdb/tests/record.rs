//! Journal records of batches: round trip, and bytes that nobody wrote.

use bytes::Bytes;
use cawdb::{Batch, KeyRange, Op};
use proptest::prelude::*;

#[path = "../src/record.rs"]
mod record;

fn some_bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        prop::collection::vec(any::<u8>(), 100..300),
    ]
    .prop_map(Bytes::from)
}

fn range() -> impl Strategy<Value = KeyRange> {
    (some_bytes(), prop::option::of(some_bytes())).prop_map(|(lo, hi)| KeyRange { lo, hi })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (some_bytes(), some_bytes()).prop_map(|(key, value)| Op::Put { key, value }),
        some_bytes().prop_map(|key| Op::Delete { key }),
        (some_bytes(), any::<u32>(), some_bytes()).prop_map(|(key, offset, bytes)| Op::Patch {
            key,
            offset,
            bytes
        }),
        range().prop_map(|range| Op::DeleteRange { range }),
        (range(), some_bytes(), some_bytes()).prop_map(|(source, from, to)| Op::CloneRange {
            source,
            from,
            to
        }),
    ]
}

proptest! {
    #[test]
    fn batches_come_back(ops in prop::collection::vec(op(), 0..12)) {
        let mut batch = Batch::new();
        batch.ops = ops;
        let bytes = Bytes::from(record::encode(&batch));
        prop_assert_eq!(record::decode(&bytes)?, batch);
        for cut in 0..bytes.len() {
            prop_assert!(record::decode(&bytes.slice(..cut)).is_err());
        }
    }

    #[test]
    fn any_bytes_are_survived_and_what_decodes_is_canonical(
        bytes in prop::collection::vec(0u8..6, 0..40),
    ) {
        let bytes = Bytes::from(bytes);
        if let Ok(batch) = record::decode(&bytes) {
            prop_assert_eq!(record::encode(&batch), bytes);
        }
    }
}

#[test]
fn impossible_records_are_refused() {
    let many = [0xff, 0xff, 0xff, 0xff, 0x0f];
    for bad in [&[][..], &[1], &[1, 5], &[0, 0], &[1, 3, 0, 2], &many] {
        assert!(
            record::decode(&Bytes::copy_from_slice(bad)).is_err(),
            "{bad:?}"
        );
    }
    let long_offset = [1, 2, 0, 0x80, 0x80, 0x80, 0x80, 0x10, 0];
    assert!(record::decode(&Bytes::copy_from_slice(&long_offset)).is_err());
}
