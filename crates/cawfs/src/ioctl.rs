//! The one door to ioctl(2), and the one place of this project that needs unsafe code.
//!
//! Which bytes an ioctl reads and writes is between the caller and whoever serves the file. Here both are known: only
//! files and directories on FUSE are let through, and for these the kernel copies what the number itself says.
//!
//! ```text
//! number   direction 2 bits | size 14 bits | type 8 bits | number 8 bits
//!                             └─ bytes copied from the caller, and at most so many back
//! ```

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::ioctl::Updater;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// `f_type` of all file systems served through FUSE.
const FUSE_MAGIC: u64 = 0x6573_5546;
/// Where in a number the size is, and how many bits it has.
const SIZE_SHIFT: u32 = 16;
const SIZE_MASK: u32 = (1 << 14) - 1;

/// Sends `bytes` with the ioctl `NUMBER` and receives the answer in their place.
///
/// # Errors
/// ENOTTY if `object` is not a file or directory on FUSE; what its server answers.
pub fn call<const NUMBER: u32, const N: usize>(
    object: impl AsFd,
    bytes: &mut [u8; N],
) -> Result<(), Errno> {
    timed::<NUMBER, N>(object, bytes).map(|_| ())
}

/// Does what [`call`] does, and says how long the ioctl itself took, without looking first at what it is sent to.
///
/// # Errors
/// Those of [`call`].
pub fn timed<const NUMBER: u32, const N: usize>(
    object: impl AsFd,
    bytes: &mut [u8; N],
) -> Result<Duration, Errno> {
    const {
        assert!(
            (NUMBER >> SIZE_SHIFT) & SIZE_MASK == N as u32,
            "the number says how many bytes are sent"
        );
    }
    let object = object.as_fd();
    let kind = FileType::from_raw_mode(rustix::fs::fstat(object)?.st_mode);
    let on_fuse = rustix::fs::fstatfs(object)?.f_type as u64 == FUSE_MAGIC;
    // A device node may lie on FUSE too, but its driver serves it.
    if !on_fuse || !matches!(kind, FileType::RegularFile | FileType::Directory) {
        return Err(Errno::NOTTY);
    }
    let begun = Instant::now();
    exchange::<NUMBER, N>(object, bytes)?;
    Ok(begun.elapsed())
}

/// # Safety of the call
///
/// The descriptor is that of a file or directory on FUSE, and stays so while it is open. For those (other than for the
/// devices of CUSE) the kernel reads and writes only at the address given, exactly as many bytes as the number encodes,
/// whatever the server answers; the assertion above makes that the size of `bytes`, which are borrowed alone for the time
/// of the call and in which every value is valid. A few numbers are not passed on but mean the same for every file
/// (FIONREAD and its like); none of them has the type `0xCA` of ours.
#[expect(
    unsafe_code,
    reason = "no safe call exists for ioctls of one's own; see Safety above"
)]
fn exchange<const NUMBER: u32, const N: usize>(
    object: impl AsFd,
    bytes: &mut [u8; N],
) -> Result<(), Errno> {
    // SAFETY: see above.
    unsafe { rustix::ioctl::ioctl(object, Updater::<NUMBER, [u8; N]>::new(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cawfs_fs::protocol;
    use std::fs::File;

    #[test]
    fn what_is_not_on_fuse_is_not_asked() {
        for path in ["/proc/self/status", "/dev/null", "/proc", "/"] {
            let mut bytes = [7; protocol::STAGE_BYTES];
            let object = File::open(path).unwrap();
            let answer = call::<{ protocol::CLONE_STAGE }, _>(&object, &mut bytes);
            assert_eq!(answer, Err(Errno::NOTTY), "{path}");
            assert_eq!(bytes, [7; protocol::STAGE_BYTES]);
        }
    }
}
