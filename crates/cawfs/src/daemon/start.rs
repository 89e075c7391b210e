//! How a daemon comes to life: `mount` starts this program again in a session of its own and waits
//! until it says that the mount is usable, or why not.
//!
//! ```text
//! mount ──spawn──► daemon (setsid, chdir /)
//!   │◄── stdout: {"waiting"}\n              said at once, and goes on waiting
//!   │◄── stdout: "ready\n"                  mount answers, exit 0
//!   └◄── stdout: {"code","text","hint"}\n   exit code and message of the daemon's failure
//! ```
//!
//! The daemon then puts /dev/null in the place of its standard streams, so that nobody waits for them.

use super::Plan;
use crate::args;
use crate::failure::Failure;
use crate::output;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

const READY: &str = "ready";

/// Starts a daemon for a mount and waits until it is usable.
///
/// # Errors
/// The daemon's failure, or that it ended without a word.
pub fn launch(plan: &Plan, lists: &[String]) -> Result<(), Failure> {
    let program = std::env::current_exe()
        .map_err(|e| Failure::new(format!("cannot find this program again: {e}")))?;
    let mut command = Command::new(program);
    // Absolute paths would be taken for the call of a mount helper: the verb comes first.
    command.arg("daemon").arg(&plan.store).arg(&plan.dir);
    for list in lists {
        command.arg("-o").arg(list);
    }
    if plan.create {
        command.arg("--create");
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().map_err(|e| {
        Failure::new(format!(
            "cannot start the daemon: {}",
            crate::failure::plain(&e)
        ))
    })?;
    let line = child.stdout.take().map(last_word).unwrap_or_default();
    if line.trim_end() == READY {
        return Ok(());
    }
    let status = child.wait();
    let words: Value = serde_json::from_str(&line).unwrap_or_default();
    match words["text"].as_str() {
        Some(text) => Err(Failure {
            code: words["code"]
                .as_u64()
                .and_then(|c| u8::try_from(c).ok())
                .unwrap_or(1),
            text: text.to_owned(),
            hint: words["hint"].as_str().map(str::to_owned),
            damaged: false,
        }),
        None => {
            let how = status.map_or_else(|e| e.to_string(), |s| s.to_string());
            Err(Failure::new(format!(
                "the daemon ended before the mount was usable ({how})"
            ))
            .hint("see what it says with: cawfs mount --foreground STORE DIR"))
        }
    }
}

/// The line that says how the start ended; empty if the daemon died without one.
fn last_word(out: impl Read) -> String {
    let mut out = BufReader::new(out);
    loop {
        let mut line = String::new();
        // An unreadable line is an empty one: the daemon has died.
        let _ = out.read_line(&mut line);
        let words: Value = serde_json::from_str(&line).unwrap_or_default();
        match words["waiting"].as_str() {
            Some(text) => output::note(text),
            None => return line,
        }
    }
}

/// The daemon's life, called by `launch` through the hidden verb.
pub fn daemon(args: &args::Mount) -> crate::Outcome {
    // Fails only for the leader of a process group, who is apart already.
    let _ = rustix::process::setsid();
    let plan = crate::commands::mount::plan(args);
    let plan = match plan.and_then(|plan| {
        std::env::set_current_dir("/").map_err(|e| Failure::io("/".as_ref(), "chdir", e))?;
        if let Some(file) = &plan.options.log {
            super::log_to(Some(file))?;
        }
        Ok(plan)
    }) {
        Ok(plan) => plan,
        Err(failure) => return tell(&failure),
    };
    let mut mounted = false;
    let waiting = |text: &str| say(&json!({ "waiting": text }).to_string());
    match super::run(&plan, &waiting, || {
        say(READY);
        let_go();
        mounted = true;
    }) {
        Ok(()) => Ok(0),
        Err(failure) if mounted => {
            tracing::error!("{}", failure.text);
            Ok(failure.code)
        }
        Err(failure) => tell(&failure),
    }
}

fn tell(failure: &Failure) -> crate::Outcome {
    let words = json!({"code": failure.code, "text": failure.text, "hint": failure.hint});
    say(&words.to_string());
    Ok(failure.code)
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // If nobody listens any more, the mount is usable all the same.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn let_go() {
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null");
    let done = null.and_then(|null| {
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
        Ok(())
    });
    if let Err(e) = done {
        tracing::warn!(error = %e, "the standard streams stay open");
    }
}
