//! `bench-engine ENGINE DIR CACHE`: opens an engine's store in a folder, and does what the lines of standard input say.
//!
//! ```text
//! cawfs-bench ── "puts a 5000 100000 7" ──► this program ── commits, reads, scans ──► cawdb, RocksDB, fjall, redb, LMDB
//!             ◄── {"seconds":0.12,"items":5000,"bytes":2090000} ──
//! ```
//!
//! One process for each engine and mount, so that memory, processor time and requests are those of this engine alone; whoever
//! asks counts them. CACHE is in bytes. An empty line of input, or its end, closes the store. `bench-engine list` tells which engines
//! were built in.

mod cawdb;
mod engine;
#[cfg(feature = "peers")]
mod fjall;
#[cfg(feature = "peers")]
mod lmdb;
#[cfg(feature = "peers")]
mod redb;
#[cfg(feature = "rocksdb")]
mod rocks;
mod work;

use anyhow::{Context, Result, bail};
use engine::Engine;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        ["list"] => {
            println!("{}", NAMES.join(" "));
            Ok(())
        }
        [engine, dir, cache] => serve(engine, Path::new(dir), cache),
        _ => Err(anyhow::anyhow!(
            "usage: bench-engine list | ENGINE DIR CACHE"
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-engine: {error:#}");
            ExitCode::from(1)
        }
    }
}

/// The engines that were built in.
const NAMES: &[&str] = &[
    "cawdb",
    #[cfg(feature = "rocksdb")]
    "rocksdb",
    #[cfg(feature = "peers")]
    "fjall",
    #[cfg(feature = "peers")]
    "redb",
    #[cfg(feature = "peers")]
    "lmdb",
];

/// Each has a cache of `cache` bytes for what it read, and a quarter of that for what it has not yet written.
fn open(engine: &str, dir: &Path, cache: u64) -> Result<Box<dyn Engine>> {
    Ok(match engine {
        "cawdb" => Box::new(cawdb::Cawdb::open(dir, cache)?),
        #[cfg(feature = "rocksdb")]
        "rocksdb" => Box::new(rocks::Rocks::open(dir, cache)?),
        #[cfg(feature = "peers")]
        "fjall" => Box::new(fjall::Fjall::open(dir, cache)?),
        #[cfg(feature = "peers")]
        "redb" => Box::new(redb::Redb::open(dir, cache)?),
        #[cfg(feature = "peers")]
        "lmdb" => Box::new(lmdb::Lmdb::open(dir)?),
        _ => bail!("{engine} was not built in: see bench-engine list"),
    })
}

fn serve(engine: &str, dir: &Path, cache: &str) -> Result<()> {
    let cache = cache.parse().context("the cache is a number of bytes")?;
    let engine = open(engine, dir, cache)?;
    let mut output = std::io::stdout();
    writeln!(output, "{{\"open\":true}}")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let answer = match work::run(&*engine, &line) {
            Ok(done) => {
                serde_json::json!({"seconds": done.seconds, "items": done.items, "bytes": done.bytes})
            }
            Err(error) => serde_json::json!({"error": format!("{error:#}")}),
        };
        writeln!(output, "{answer}")?;
    }
    Ok(())
}
