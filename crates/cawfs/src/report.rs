//! What a store is and did, as JSON; `output` makes it readable.

use cawdb::Store;
use serde_json::{Map, Value, json};

/// Sizes, sharing, caches and counters of a store.
pub fn of_store(store: &Store) -> Value {
    let (space, s) = (store.space(), store.stats());
    let m = &s.memory;
    let counters: Map<String, Value> = s
        .counters
        .iter()
        .map(|(name, n)| ((*name).to_owned(), json!(n)))
        .collect();
    json!({
        "failure": store.failure(),
        "space": {
            "limit_bytes": space.limit,
            "used_bytes": space.used,
            "available_bytes": space.available,
            "allocated_bytes": s.allocated_bytes,
            "waiting_to_be_free_bytes": s.limbo_bytes,
            "file_blocks_bytes": s.used_blocks_bytes,
            "file_occupies_bytes": s.occupied_bytes,
        },
        "content": {
            "shown_bytes": s.shown_bytes,
            "stored_bytes": s.run_bytes,
            "exclusive_bytes": s.exclusive_bytes,
            "shared_bytes": s.shared_bytes,
        },
        "tree": {
            "height": s.height,
            "root_slots": s.root_slots,
            "nodes": s.nodes,
            "shared_nodes": s.shared_nodes,
            "runs": s.runs,
            "nodes_being_released": s.releasing,
        },
        "memory": {
            "read_budget_bytes": m.budget,
            "segments_bytes": m.segments,
            "indexes_and_filters_bytes": m.indexes,
            "segments_and_indexes_limit_bytes": m.cache_limit,
            "nodes_bytes": m.nodes,
            "table_bytes": m.table,
            "merge_memo_bytes": m.memo,
            "change_budget_bytes": m.change_budget,
            "memtable_bytes": m.memtable,
            "unwritten_runs_bytes": m.unwritten_runs,
            "unwritten_nodes_bytes": m.unwritten_nodes,
            "held_by_readers_bytes": m.held_by_readers,
            "journal_pending_bytes": m.pending,
        },
        "cache": {
            "hits": s.cache_hits,
            "misses": s.cache_misses,
        },
        "disk": {
            "reads": s.io.reads,
            "read_bytes": s.io.read_bytes,
            "writes": s.io.writes,
            "written_bytes": s.io.write_bytes,
            "past_cache_bytes": s.io.past_cache_bytes,
            "read_past_cache_bytes": s.io.read_past_cache_bytes,
            "read_begun_bytes": s.io.read_begun_bytes,
            "read_begun_used_bytes": s.io.read_begun_used_bytes,
            "syncs": s.io.syncs,
            "discards": s.io.discards,
        },
        "opening": opening(store),
        "engine": counters,
        "latency": { "disk": crate::latency::of_disk(&s.io_times) },
    })
}

/// What opening the store took.
fn opening(store: &Store) -> Value {
    let opening = store.recovery();
    json!({
        "checkpoint": opening.generation,
        "replayed_batches": opening.batches,
        "replayed_bytes": opening.journal_bytes,
        "journal_bytes": opening.ring_bytes,
        "torn_end": opening.torn,
        "milliseconds": opening.elapsed.as_millis() as u64,
    })
}
