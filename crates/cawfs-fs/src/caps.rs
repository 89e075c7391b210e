//! Capabilities in files: they hold where the superuser is who they name.
//!
//! ```text
//! value = version and flags u32, capabilities 16 bytes       version 2: of the machine's superuser
//!                                                      u32   version 3: of a container whose superuser is this user
//! ```
//! So where ids are mapped they are those of the user as whom the superuser is shown, as if a container had set them.

use crate::inode::Reader;
use crate::maps::{Ids, NO_ID};

const VERSION: u32 = 0xff00_0000;
const MACHINES: u32 = 0x0200_0000;
const CONTAINERS: u32 = 0x0300_0000;
/// Length without a user.
const PLAIN_BYTES: usize = 20;

/// The value where ids are kept by other maps; none if nobody there can be meant.
pub(crate) fn recode(value: &[u8], from: &Ids, to: &Ids) -> Option<Vec<u8>> {
    if from == to {
        return Some(value.to_vec());
    }
    let mut reader = Reader(value);
    let magic = reader.u32()?;
    let capabilities: [u8; PLAIN_BYTES - 4] = reader.array()?;
    let root = match (magic & VERSION, reader.0.len()) {
        (MACHINES, 0) => 0,
        (CONTAINERS, 4) => reader.u32()?,
        _ => return None,
    };
    let shown = from.user(root);
    let root = to.stored_user(shown).ok().filter(|_| shown != NO_ID)?;
    let version = if root == 0 { MACHINES } else { CONTAINERS };
    let magic = (magic & !VERSION) | version;
    let mut out = [&magic.to_le_bytes(), &capabilities[..]].concat();
    if root != 0 {
        out.extend_from_slice(&root.to_le_bytes());
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::IdRange;

    #[test]
    fn they_are_those_of_whom_the_superuser_is_shown_as() {
        let range = |inside, outside, count| {
            let range = IdRange {
                inside,
                outside,
                count,
            };
            Ids::new(&[range], &[]).unwrap()
        };
        let (plain, map) = (Ids::default(), range(0, 100_000, 65_536));
        let of_machine = [&0x0200_0001u32.to_le_bytes()[..], &[7; 16]].concat();
        let shown = recode(&of_machine, &map, &plain).unwrap();
        let of_container = [&0x0300_0001u32.to_le_bytes()[..], &[7; 16]].concat();
        let of_container = [&of_container[..], &100_000u32.to_le_bytes()].concat();
        assert_eq!(shown, of_container);
        assert_eq!(recode(&shown, &plain, &map).unwrap(), of_machine);
        assert_eq!(recode(&of_machine, &range(1, 1, 9), &plain), None);
        assert_eq!(recode(&of_machine, &plain, &map), None);
        for bad in [&of_machine[..19], &shown[..23], &[]] {
            assert_eq!(recode(bad, &map, &plain), None);
        }
        assert_eq!(recode(b"?", &map, &map).unwrap(), b"?");
    }
}
