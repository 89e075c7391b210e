//! Processors that stay awake while requests come closely: who asks for it, and that the kernel hears it.

use crate::site::{Site, cawfs, refused};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

const DEVICE: &str = "/dev/cpu_dma_latency";

fn daemon_has_it(site: &Site) -> bool {
    let open = format!("/proc/{}/fd", site.daemon().as_raw_nonzero());
    fs::read_dir(open).unwrap().any(|entry| {
        fs::read_link(entry.unwrap().path()).is_ok_and(|target| target == Path::new(DEVICE))
    })
}

/// What all who ask agree on, in µs.
fn latency() -> i32 {
    let mut word = [0; 4];
    File::open(DEVICE).unwrap().read_exact(&mut word).unwrap();
    i32::from_ne_bytes(word)
}

#[test]
fn the_kernel_is_asked_while_requests_come_closely() {
    let site = Site::unmounted();
    if !Path::new(DEVICE).exists() {
        let (store, root) = (site.store(), site.root());
        let asked = cawfs([
            OsStr::new("mount"),
            "-oawake".as_ref(),
            store.as_ref(),
            root.as_ref(),
        ]);
        return refused(asked, 1, "mount without awake");
    }
    // Whoever else asks, a daemon of another test for one, would answer in our place.
    let asleep = latency() != 0;
    site.mount("awake");
    assert!(daemon_has_it(&site));
    let since = Instant::now();
    let mut n = 0;
    if !asleep {
        println!("somebody keeps processors awake already: that ours is heard cannot be seen");
    }
    while asleep && latency() != 0 {
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "after {n} requests"
        );
        // Names that do not exist are asked for each time.
        for _ in 0..200 {
            n += 1;
            assert!(!site.path(format!("missing-{n}")).exists());
        }
    }
    site.umount();
    site.mount("noawake");
    assert!(!daemon_has_it(&site));
}
