//! Mounts by a user other than root, through `fusermount3`.
//!
//! The device may be for root only here, so root makes a mount namespace of its own, with a device that all may open over
//! it, and becomes a user. Nothing outside of the namespace changes, and it goes with its last process.

use crate::site::{done, need_fuse};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// By root in the namespace: `$1` is a folder, `$2` who to be, `$3` what he does.
const NAMESPACE: &str = r#"
set -eu
mount -t tmpfs none "$1"
cp "$PROGRAM" "$1/cawfs"
mknod -m 666 "$1/fuse" c 10 229
mount --bind "$1/fuse" /dev/fuse
mkdir "$1/home" && chown "$2:$2" "$1/home" && cd "$1/home"
exec setpriv --reuid="$2" --regid="$2" --clear-groups env PATH="$1:$PATH" sh -euc "$3" sh "$1"
"#;

const USES: &str = r#"
fails() { ! "$@" 2>said || { echo "done: $*"; exit 1; }; }
shown() { grep " $1/home/mnt " /proc/self/mounts; }
cawfs mkfs --size 256M store >/dev/null
mkdir mnt
fails cawfs mount -o allow_other store mnt
grep -q user_allow_other said
fails cawfs mount -o awake store mnt
grep -q 'mount without awake' said
! shown "$1"
cawfs mount -o noexec,strictatime store mnt >/dev/null
shown "$1" | grep -q "fuse rw,nosuid,nodev,noexec,relatime,user_id=$(id -u),"
mkdir -p mnt/tree/dir
echo content > mnt/tree/dir/file
ln mnt/tree/dir/file mnt/tree/link
cawfs clone mnt/tree mnt/copy >/dev/null
[ "$(cat mnt/copy/link)" = content ]
a=$(stat -c %x mnt/copy/link); cat mnt/copy/link >/dev/null; [ "$a" != "$(stat -c %x mnt/copy/link)" ]
cawfs rm mnt/tree
cawfs sync mnt
cawfs stats mnt >/dev/null
fails cawfs mount -o remount,ro store mnt
exec 3<mnt/copy/link
fails cawfs umount mnt
grep -q 'in use' said
exec 3<&-
# A process of its namespace may hold what was just closed, for a moment.
cawfs umount mnt || { sleep 1; cawfs umount mnt; }
! shown "$1"
cawfs check store >/dev/null
cawfs mount -o ro,subtype=cawfs store mnt >/dev/null
shown "$1" | grep -q 'fuse.cawfs ro,'
[ "$(cat mnt/copy/dir/file)" = content ]
fails sh -c 'echo x > mnt/new'
cawfs umount mnt
cawfs mount --foreground store mnt & daemon=$!
until shown "$1" >/dev/null; do sleep 0.1; done
cat mnt/copy/link >/dev/null
kill -9 $daemon
fails wait $daemon
fails cat mnt/copy/link
cawfs umount mnt
! shown "$1"
echo all of it
"#;

#[test]
fn a_user_mounts_uses_and_unmounts_through_fusermount3() {
    need_fuse();
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        NAMESPACE,
        "sh",
    ]);
    command.arg(folder.path()).args(["1000", USES]);
    command.env("PROGRAM", env!("CARGO_BIN_EXE_cawfs"));
    assert_eq!(done(command.output().unwrap()), "all of it\n");
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(
        !table.contains(folder.path().to_str().unwrap()),
        "it stayed in its namespace"
    );
}
