//! A mail store as an IMAP server has it: a folder for each mailbox, a file for each message, the flags of a message in its name.
//!
//! ```text
//! deliver:  tmp/message, fsync, rename to cur/message:2,      read: open, read      mark: rename to cur/message:2,S, fsync of cur
//! ```

use crate::session::Session;
use anyhow::Result;
use fastrand::Rng;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

const MAILBOXES: u32 = 10;

/// Runs it in a folder of its own of the tree `base`.
pub fn run(session: &mut Session) -> Result<()> {
    let dir = session.system.path("base").join("mail");
    let messages = session.sizes.mail_messages;
    let mut random = session.random.fork();
    for mailbox in 0..MAILBOXES {
        fs::create_dir_all(dir.join(format!("{mailbox}/tmp")))?;
        fs::create_dir_all(dir.join(format!("{mailbox}/cur")))?;
    }
    let mut stored = Vec::new();
    let amount = Some((f64::from(messages), "messages"));
    session.measured("mail: deliver", 0, amount, |_| {
        for index in 0..messages {
            stored.push(deliver(&dir, index, &mut random)?);
        }
        Ok(())
    })?;
    session.cold()?;
    session.measured("mail: read or mark, cold at first", 0, amount, |_| {
        for _ in 0..messages {
            let message = random.usize(0..stored.len());
            match random.bool() {
                true => drop(fs::read(&stored[message])?),
                false => mark(&mut stored[message])?,
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// Messages of 1 to 32 KiB, small ones more often.
fn deliver(dir: &Path, index: u32, random: &mut Rng) -> Result<PathBuf> {
    let mailbox = dir.join((index % MAILBOXES).to_string());
    let most = 1 << random.usize(11..16);
    let bytes = random.usize(1 << 10..=most);
    let mut text = vec![0; bytes];
    random.fill(&mut text);
    let new = mailbox.join(format!("tmp/{index}"));
    let mut file = File::create(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    let place = mailbox.join(format!("cur/{index}:2,"));
    fs::rename(new, &place)?;
    Ok(place)
}

/// Marks a message as seen, or as not.
fn mark(message: &mut PathBuf) -> Result<()> {
    let name = message.file_name().unwrap_or_default().to_string_lossy();
    let name = match name.strip_suffix('S') {
        Some(unseen) => unseen.to_owned(),
        None => format!("{name}S"),
    };
    let marked = message.with_file_name(name);
    fs::rename(&*message, &marked)?;
    let folder = marked.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    *message = marked;
    Ok(())
}
