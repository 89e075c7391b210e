//! The readers on a pair of sockets instead of the device: one message a read, one reply a write.

use super::*;
use crate::wire::{IN_HEADER, OUT_HEADER};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::fs::File;
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};

const SLOW: u64 = 1000;
const BROKEN: u64 = 2000;

/// Answers at once, but for two nodes: one waits for a signal, one panics.
struct Kinds {
    go: Mutex<Receiver<()>>,
    panics: Arc<Mutex<Vec<String>>>,
}

impl Service for Kinds {
    fn serve(&self, request: &Request<'_>) -> Result<Answer, i32> {
        match request.header.node {
            SLOW => {
                let waiting = self.go.lock().unwrap();
                waiting.recv().unwrap();
            }
            BROKEN => panic!("on purpose"),
            _ => {}
        }
        Ok(Answer::DONE)
    }

    fn panicked(&self, request: &str, said: &(dyn Any + Send)) {
        let said = said.downcast_ref::<&str>().unwrap();
        self.panics
            .lock()
            .unwrap()
            .push(format!("{request}: {said}"));
    }
}

struct Kernel {
    device: File,
    go: Sender<()>,
    panics: Arc<Mutex<Vec<String>>>,
    server: std::thread::JoinHandle<io::Result<()>>,
}

impl Kernel {
    fn new() -> Self {
        let kind = (
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
        );
        let (ours, theirs) = socketpair(kind.0, kind.1, kind.2, None).unwrap();
        let (go, waiting) = channel();
        let panics = Arc::default();
        let service = Arc::new(Kinds {
            go: Mutex::new(waiting),
            panics: Arc::clone(&panics),
        });
        let connection = Arc::new(Connection::new(File::from(theirs)));
        let server = std::thread::spawn(move || {
            let awake = Awake::new(Some(false)).unwrap();
            serve(connection, service, awake)
        });
        Self {
            device: File::from(ours),
            go,
            panics,
            server,
        }
    }

    fn ask(&mut self, opcode: u32, unique: u64, node: u64) {
        let mut message = (IN_HEADER as u32 + 16).to_le_bytes().to_vec();
        message.extend(opcode.to_le_bytes());
        message.extend(unique.to_le_bytes());
        message.extend(node.to_le_bytes());
        message.extend([0; 16 + 16]);
        assert_eq!(self.device.write(&message).unwrap(), message.len());
    }

    /// The number of the request that is answered next, and its error.
    fn answer(&mut self) -> (u64, i32) {
        let mut reply = [0; OUT_HEADER];
        assert_eq!(self.device.read(&mut reply).unwrap(), OUT_HEADER);
        let error = i32::from_le_bytes(reply[4..8].try_into().unwrap());
        (u64::from_le_bytes(reply[8..16].try_into().unwrap()), -error)
    }

    fn unmount(self) {
        drop(self.device);
        self.server.join().unwrap().unwrap();
    }
}

const GETATTR: u32 = 3;
const FSYNC: u32 = 20;

#[test]
fn nobody_waits_for_anothers_disk() {
    let mut kernel = Kernel::new();
    for opcode in [GETATTR, FSYNC] {
        for slow in 0..20 {
            kernel.ask(opcode, slow, SLOW);
        }
        for quick in 100..150 {
            kernel.ask(GETATTR, quick, 1);
            assert_eq!(kernel.answer(), (quick, 0));
        }
        let mut slow: Vec<u64> = (0..20)
            .map(|_| {
                kernel.go.send(()).unwrap();
                kernel.answer().0
            })
            .collect();
        slow.sort_unstable();
        assert_eq!(slow, (0..20).collect::<Vec<_>>());
    }
    kernel.unmount();
}

#[test]
fn a_panic_is_an_error_of_one_request() {
    let mut kernel = Kernel::new();
    for round in 0..10 {
        kernel.ask(GETATTR, round * 2, BROKEN);
        assert_eq!(kernel.answer(), (round * 2, libc::EIO));
        kernel.ask(GETATTR, round * 2 + 1, 1);
        assert_eq!(kernel.answer(), (round * 2 + 1, 0));
    }
    let panics = kernel.panics.lock().unwrap().clone();
    assert_eq!(panics, vec!["a request (GetAttr): on purpose"; 10]);
    kernel.unmount();
}

#[test]
fn a_long_pause_does_not_put_the_readers_to_sleep() {
    let mut kernel = Kernel::new();
    kernel.ask(GETATTR, 1, 1);
    assert_eq!(kernel.answer(), (1, 0));
    std::thread::sleep(QUIET * 2);
    kernel.ask(GETATTR, 2, SLOW);
    kernel.ask(GETATTR, 3, 1);
    assert_eq!(kernel.answer(), (3, 0));
    kernel.go.send(()).unwrap();
    assert_eq!(kernel.answer(), (2, 0));
    kernel.unmount();
}
