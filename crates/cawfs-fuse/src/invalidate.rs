//! The thread that tells the kernel what it may not believe any more.
//!
//! The kernel takes the directory's lock for a name, and waits for pages that are being written for
//! a file. So a notification is never sent by a thread that serves a request the kernel might hold
//! such a lock for: all go through this thread, which holds no lock of ours while the readers go on.
//!
//! An ioctl holds no lock of the kernel; only ioctls wait for their notifications.

use crate::connection::{Connection, Notice};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

struct Job {
    notices: Vec<Notice>,
    done: Sender<()>,
}

/// Hands notifications to their thread, which ends when the last of these is dropped.
#[derive(Debug, Clone)]
pub struct Notifier {
    jobs: Sender<Job>,
}

impl Notifier {
    /// Starts the thread.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn start(connection: Arc<Connection>) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let thread = std::thread::Builder::new().name("cawfs-notify".into());
        thread.spawn(move || run(&connection, &queue))?;
        Ok(Self { jobs })
    }

    /// Sends notifications some time soon. Nobody waits for them, so any request may ask for it.
    pub fn send(&self, notices: Vec<Notice>) {
        if !notices.is_empty() {
            let (done, _) = channel();
            // An error means that the thread is gone, and the mount with it.
            let _ = self.jobs.send(Job { notices, done });
        }
    }

    /// Sends notifications, in order, and waits until the kernel has acted on all of them: dirty
    /// pages of invalidated files have then come back as writes. Only for ioctls.
    pub fn send_and_wait(&self, notices: Vec<Notice>) {
        if notices.is_empty() {
            return;
        }
        let (done, finished) = channel();
        if self.jobs.send(Job { notices, done }).is_ok() {
            // An error means that the thread is gone, and the mount with it.
            let _ = finished.recv();
        }
    }
}

fn run(connection: &Connection, queue: &Receiver<Job>) {
    for job in queue {
        for notice in &job.notices {
            if let Err(e) = connection.notify(notice) {
                tracing::debug!(?notice, error = %e, "notification refused");
            }
        }
        // Whoever asked may have gone meanwhile.
        let _ = job.done.send(());
    }
}
