//! The thread that tells the kernel what it may not believe any more.
//!
//! The kernel takes the directory's lock for a name, and waits for pages that are being written for
//! a file. So a notification is never sent by a thread that serves a request the kernel might hold
//! such a lock for: all go through this thread, which holds no lock of ours while the readers go on.
//! But for attributes the kernel takes no lock that anybody keeps: whoever looks after the answer is to see the new ones, so these are told before it.
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
    connection: Arc<Connection>,
}

impl Notifier {
    /// Starts the thread.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn start(connection: Arc<Connection>) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let thread = std::thread::Builder::new().name("cawfs-notify".into());
        let device = connection.clone();
        thread.spawn(move || run(&device, &queue))?;
        Ok(Self { jobs, connection })
    }

    /// Sends notifications: of attributes at once, others some time soon. Nobody waits for them, so any request may ask for it.
    pub fn send(&self, notices: Vec<Notice>) {
        let of_attributes = |notice: &Notice| matches!(notice, Notice::Attributes(_));
        let (at_once, notices): (Vec<_>, Vec<_>) = notices.into_iter().partition(of_attributes);
        at_once
            .iter()
            .for_each(|notice| tell(&self.connection, notice));
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

fn tell(connection: &Connection, notice: &Notice) {
    if let Err(e) = connection.notify(notice) {
        tracing::debug!(?notice, error = %e, "notification refused");
    }
}

fn run(connection: &Connection, queue: &Receiver<Job>) {
    for job in queue {
        for notice in &job.notices {
            tell(connection, notice);
        }
        // Whoever asked may have gone meanwhile.
        let _ = job.done.send(());
    }
}
