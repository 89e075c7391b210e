//! An image file attached to a loop device.
//!
//! Invariant: dropping it detaches the device; the file goes with its folder. Discards are switched off, so that every
//! system finds its image as it was written once, none pays for placing it on the disk anew, and no discard counts as a write.

use crate::process;
use crate::system::Counts;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The device.
#[derive(Debug)]
pub struct Image {
    device: PathBuf,
}

impl Image {
    /// Makes a file of `bytes`, written with zeros if `written`, otherwise sparse, and attaches it.
    pub fn attach(file: &Path, bytes: u64, written: bool) -> Result<Self> {
        make_file(file, bytes, written).context("cannot make an image")?;
        let attach = |direct: &str| {
            let args = ["-f", "--show", direct].map(AsRef::as_ref);
            process::run_with("losetup", args.into_iter().chain([file.as_os_str()]), &[0])
        };
        // Not every file system lets a loop device go past the page cache.
        let device = attach("--direct-io=on").or_else(|_| attach("--direct-io=off"))?;
        let image = Self {
            device: PathBuf::from(device.trim()),
        };
        for limit in ["discard_max_bytes", "write_zeroes_unmap_max_bytes"] {
            let _ = fs::write(image.sys("queue").join(limit), "0");
        }
        Ok(image)
    }

    /// The device's path.
    pub fn device(&self) -> &Path {
        &self.device
    }

    fn sys(&self, file: &str) -> PathBuf {
        let name = self.device.file_name().unwrap_or_default();
        Path::new("/sys/block").join(name).join(file)
    }

    /// What has passed through it.
    pub fn counts(&self) -> Result<Counts> {
        let text = fs::read_to_string(self.sys("stat"))?;
        parse(&text).context("the counts of a loop device cannot be read")
    }
}

/// Reads, read sectors, writes, written sectors are the fields 0, 2, 4, 6; a sector is 512 bytes there always.
fn parse(stat: &str) -> Option<Counts> {
    let fields: Vec<u64> = stat
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    Some(Counts {
        reads: *fields.first()?,
        read_bytes: fields.get(2)? * 512,
        writes: *fields.get(4)?,
        written_bytes: fields.get(6)? * 512,
        by_process: None,
    })
}

fn make_file(path: &Path, bytes: u64, written: bool) -> Result<()> {
    let mut file = File::create(path)?;
    if written {
        let zeros = vec![0; 4 << 20];
        for _ in 0..bytes / zeros.len() as u64 {
            process::go_on()?;
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
    }
    file.set_len(bytes)?;
    Ok(())
}

impl Drop for Image {
    fn drop(&mut self) {
        // Whoever was just unmounted may hold the device a moment longer.
        for _ in 0..50 {
            if process::tidy_up("losetup", ["-d".as_ref(), self.device.as_os_str()]) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        eprintln!("cawfs-bench: cannot detach {}", self.device.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_a_device_are_read_from_their_columns() {
        let stat = "   56   0   8564   65   67   2543   208   143   0   40   211   0 0 0 0 15 3\n";
        let counts = parse(stat).unwrap();
        assert_eq!((counts.reads, counts.read_bytes), (56, 8564 * 512));
        assert_eq!((counts.writes, counts.written_bytes), (67, 208 * 512));
        assert!(parse("1 2").is_none());
        assert!(parse("a b c d e f g h").is_none());
    }
}
