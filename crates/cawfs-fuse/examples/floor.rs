//! Mounts an empty file system in memory until it is unmounted: `floor DIR`. It measures what FUSE costs by itself; see `cawfs-bench`.

use cawfs_fuse::{Mount, MountOptions};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args_os().nth(1).ok_or("usage: floor DIR")?;
    let options = MountOptions {
        source: "floor".into(),
        subtype: Some("floor".into()),
        access_times: cawfs_fs::AccessTimes::Never,
        allow_other: true,
        ..MountOptions::default()
    };
    let mount = Mount::attach(Path::new(&dir), &options)?;
    // It can be looked at only once it is served.
    let warm = std::thread::spawn(move || {
        let warm = cawfs_fuse::warm_up(Path::new(&dir));
        println!("{}", if warm.is_ok() { "mounted" } else { "failed" });
    });
    cawfs_fuse::floor::serve(mount)?;
    warm.join().map_err(|_| "a thread panicked".into())
}
