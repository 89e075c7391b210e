//! The longest keys and values, and requests that make no sense.
use crate::support::{assert_whole, content, faulty, put, settle, tiny};
use cawdb::{Batch, Error, KeyRange, Store};

/// Keys and values as long as allowed, through clones, patches, merges, checkpoints and the journal.
#[test]
fn the_longest_keys_and_values() {
    let disk = faulty();
    let store = Store::open(disk.clone(), tiny()).unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut value: Vec<u8> = (0..cawdb::MAX_VALUE_BYTES).map(|_| rng.u8(..)).collect();
    let key = |first: u8| [&[first][..], &vec![0xff; cawdb::MAX_KEY_BYTES - 1]].concat();
    put(&store, key(b'a'), value.clone()).unwrap();
    store.sync().unwrap();
    let mut batch = Batch::new();
    batch.clone_prefix("a", "b").put(key(b'a'), "short");
    store.commit(batch).unwrap();
    let mut batch = Batch::new();
    batch.patch(key(b'b'), cawdb::MAX_VALUE_BYTES as u32 - 3, "end");
    store.commit(batch).unwrap();
    value.truncate(cawdb::MAX_VALUE_BYTES - 3);
    value.extend(b"end");
    settle(&store);
    store.checkpoint().unwrap();
    drop(store);
    let store = Store::open(disk, tiny()).unwrap();
    assert!(
        store.get(&key(b'b')).unwrap().unwrap() == value,
        "the long value"
    );
    assert_eq!(store.get(&key(b'a')).unwrap().unwrap(), "short");
    settle(&store);
    assert_whole(&store);
    assert!(content(&store).unwrap()[1] == (key(b'b'), value));
}

/// Adds something without meaning to a batch.
type Wrong<'a> = Box<dyn Fn(&mut Batch) + 'a>;

/// What makes no sense is refused, and changes nothing.
#[test]
fn nonsense_is_refused() {
    let store = Store::open(faulty(), tiny()).unwrap();
    put(&store, "k", vec![1]).unwrap();
    let range = |lo: &[u8], hi: Option<&[u8]>| KeyRange {
        lo: bytes::Bytes::copy_from_slice(lo),
        hi: hi.map(bytes::Bytes::copy_from_slice),
    };
    let long = vec![b'x'; cawdb::MAX_KEY_BYTES + 1];
    let wrong: Vec<Wrong<'_>> = vec![
        Box::new(|b| {
            b.put(long.clone(), "v");
        }),
        Box::new(|b| {
            b.put("v", vec![0; cawdb::MAX_VALUE_BYTES + 1]);
        }),
        Box::new(|b| {
            b.patch("v", u32::MAX, "v");
        }),
        Box::new(|b| {
            b.patch("v", cawdb::MAX_VALUE_BYTES as u32, "v");
        }),
        Box::new(|b| {
            b.clone_range(range(b"a", None), "a", "b");
        }),
        Box::new(|b| {
            b.clone_range(range(b"a", Some(b"c")), "a", "b");
        }),
        Box::new(|b| {
            b.clone_range(range(b"a", Some(b"b\0")), "a", "b");
        }),
        Box::new(|b| {
            b.clone_range(range(b"a", Some(b"b")), "aa", "b");
        }),
        Box::new(|b| {
            b.clone_prefix("k", long.clone());
        }),
        Box::new(|b| {
            b.delete_range(range(&long, None));
        }),
    ];
    for (n, op) in wrong.iter().enumerate() {
        let mut batch = Batch::new();
        batch.put("other", "v");
        op(&mut batch);
        let refused = store.commit(batch);
        assert!(
            matches!(refused, Err(Error::Invalid(_))),
            "{n}: {refused:?}"
        );
    }
    let mut batch = Batch::new();
    batch
        .delete_range(range(b"z", Some(b"a")))
        .clone_range(range(b"z", Some(b"a")), "z", "a");
    store.commit(batch).unwrap();
    assert_eq!(content(&store).unwrap(), [(b"k".to_vec(), vec![1])]);
    assert_whole(&store);
}
