//! What any file system does all day, without clones: large files, small files, small writes, durability.
//!
//! Rows are rates. Each large-file step begins cold, and ends when what it wrote is durable.

use crate::files;
use crate::process::{self, run_with};
use crate::session::Session;
use crate::workload::{large, mail};
use anyhow::{Result, bail};
use rustix::fs::{AtFlags, statat};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;

/// Runs it.
pub fn run(session: &mut Session) -> Result<()> {
    session.system.new_tree("base")?;
    large::steps(session, session.sizes.large_bytes)?;
    creates(session, "create small files + sync, 1 thread", "one", 1)?;
    creates(session, "create small files + sync, 2 threads", "two", 2)?;
    many_names(session)?;
    durable(session)?;
    mail::run(session)?;
    sqlite(session)
}

/// Files of 200 bytes in a tree of fan-out 128; then they are all removed.
fn creates(session: &mut Session, step: &'static str, tree: &str, threads: u32) -> Result<()> {
    let files = session.sizes.small_files;
    let amount = Some((f64::from(files), "files"));
    let dir = session.system.path("base").join(tree);
    let mut random = session.random.fork();
    session.measured(step, 0, amount, |system| {
        std::thread::scope(|scope| {
            let writer = |thread| {
                let dir = dir.join(format!("thread-{thread}"));
                let mut random = random.fork();
                scope.spawn(move || files::small_files(&dir, files / threads, &mut random))
            };
            let writers: Vec<_> = (0..threads).map(writer).collect();
            let ends = writers.into_iter().map(|writer| writer.join());
            let ends: Vec<_> = ends
                .map(|end| end.unwrap_or_else(|_| bail!("panicked")))
                .collect();
            ends.into_iter().collect::<Result<()>>()
        })?;
        system.sync()
    })?;
    if threads == 1 {
        session.cold()?;
        session.measured("cold rm -r + sync", 0, amount, |system| {
            fs::remove_dir_all(&dir)?;
            system.sync()
        })?;
    }
    Ok(())
}

/// One folder with many entries, listed as `ls -l` does: all names, then each looked at. (The standard library would ask for the time of birth, too,
/// which no file system over FUSE may tell in passing.)
fn many_names(session: &mut Session) -> Result<()> {
    let (dir, names) = (
        session.system.path("base").join("many"),
        session.sizes.names,
    );
    fs::create_dir(&dir)?;
    (0..names).try_for_each(|index| File::create(dir.join(format!("entry-{index}"))).map(drop))?;
    session.cold()?;
    session.measured(
        "cold readdir + stat",
        0,
        Some((f64::from(names), "entries")),
        |_| {
            let folder = File::open(&dir)?;
            let names: Vec<_> = fs::read_dir(&dir)?
                .map(|entry| Ok(entry?.file_name()))
                .collect::<std::io::Result<_>>()?;
            for name in names {
                statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Ok(())
        },
    )?;
    Ok(())
}

/// What each returns only when it is durable, and appends that are durable at the end.
fn durable(session: &mut Session) -> Result<()> {
    let base = session.system.path("base");
    let count = session.sizes.durable;
    let amount = Some((f64::from(count), "fsyncs"));
    let mut random = session.random.fork();
    let mut block = [0; 4096];
    session.measured("create 4 KiB + fsync", 0, amount, |_| {
        for index in 0..count {
            let mut file = File::create(base.join(format!("durable-{index}")))?;
            random.fill(&mut block);
            file.write_all(&block)?;
            file.sync_all()?;
        }
        Ok(())
    })?;
    let file = File::create(base.join("synced"))?;
    session.measured("write 4 KiB + fsync", 0, amount, |_| {
        for index in 0..count {
            random.fill(&mut block);
            file.write_all_at(&block, u64::from(index) * 4096)?;
            file.sync_all()?;
        }
        Ok(())
    })?;
    let records = count * 20;
    session.measured(
        "append 128 bytes",
        0,
        Some((f64::from(records), "records")),
        |_| {
            let log = OpenOptions::new()
                .append(true)
                .create(true)
                .open(base.join("log"));
            let mut log = log?;
            let mut record = [0; 128];
            for _ in 0..records {
                random.fill(&mut record);
                log.write_all(&record)?;
            }
            Ok(log.sync_all()?)
        },
    )?;
    Ok(())
}

/// Transactions of one row each.
fn sqlite(session: &mut Session) -> Result<()> {
    if !process::exists("sqlite3") {
        session.note("no SQLite, because there is no sqlite3 here");
        return Ok(());
    }
    let count = session.sizes.durable / 2;
    let database = session.system.path("base").join("database");
    let mut script = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT);\n".to_owned();
    for row in 0..count {
        let _ = writeln!(script, "INSERT INTO t VALUES ({row}, 'row {row}');");
    }
    let text = tempfile::NamedTempFile::new()?;
    fs::write(text.path(), script)?;
    let read = format!(".read {}", text.path().display());
    session.measured(
        "SQLite transactions",
        0,
        Some((f64::from(count), "rows")),
        |_| run_with("sqlite3", [database.as_os_str(), read.as_ref()], &[0]).map(drop),
    )?;
    Ok(())
}
