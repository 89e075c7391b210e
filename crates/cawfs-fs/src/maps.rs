//! Maps of user and group ids: as which id a stored one is shown.
//!
//! ```text
//!   0:100000:65536      stored 0 ─► shown 100000, 1 ─► 100001, … 65535 ─► 165535      as maps of user namespaces are written
//! ```
//! * A map is partial and one to one: its ranges hold no id twice, on either side, and never 2^32 - 1, which is no id.
//! * Each map has one form: ranges rise by their stored ids, and two that could be one are one. So equal maps are equal values.

use crate::errno::{Kind, Result};
use crate::inode::Reader;
use std::sync::Arc;

/// What is shown in the place of an id that has no image, as chown(2) writes "none": the kernel shows its overflow id, and takes
/// nobody for the owner.
pub const NO_ID: u32 = u32::MAX;
/// Most ranges of a map of users, or of groups: as many as the kernel takes.
pub const MOST_RANGES: usize = 340;
/// Bytes of a range in records and ioctls.
pub(crate) const RANGE_BYTES: usize = 12;

/// Ids that lie together: `inside`, `inside + 1`, … are shown as `outside`, `outside + 1`, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdRange {
    /// The first id, as it is stored.
    pub inside: u32,
    /// The first id, as it is shown.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

impl IdRange {
    pub(crate) fn encode(self) -> [u8; RANGE_BYTES] {
        let [a, b, c] = [self.inside, self.outside, self.count].map(u32::to_le_bytes);
        let mut out = [0; RANGE_BYTES];
        for (to, byte) in out.iter_mut().zip([a, b, c].into_iter().flatten()) {
            *to = byte;
        }
        out
    }
    pub(crate) fn read(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            inside: r.u32()?,
            outside: r.u32()?,
            count: r.u32()?,
        })
    }
    fn swapped(self) -> Self {
        Self {
            inside: self.outside,
            outside: self.inside,
            count: self.count,
        }
    }
    /// The end of a side; no id is 2^32 - 1.
    fn end(start: u32, count: u32) -> Option<u32> {
        start.checked_add(count)
    }
}

/// A map of users, or of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdMap(Vec<IdRange>);

impl IdMap {
    /// The map in which all ids stay.
    fn identity() -> Self {
        let (inside, outside, count) = (0, 0, u32::MAX);
        Self(vec![IdRange {
            inside,
            outside,
            count,
        }])
    }
    /// The map of these ranges, in any order; EINVAL if they are none.
    fn new(ranges: &[IdRange]) -> Result<Self> {
        let bad = |why: &'static str| Err(Kind::Invalid.because(why));
        for range in ranges {
            let ends = IdRange::end(range.inside, range.count)
                .zip(IdRange::end(range.outside, range.count));
            if range.count == 0 || ends.is_none() {
                return bad("a range of ids is empty, or too long");
            }
        }
        let map = Self::in_order(ranges.to_vec());
        if map.overlaps() || map.inverse().overlaps() {
            return bad("two ranges of ids overlap");
        }
        if map.0.len() > MOST_RANGES {
            return bad("too many ranges of ids");
        }
        Ok(map)
    }
    fn in_order(mut ranges: Vec<IdRange>) -> Self {
        ranges.sort_unstable();
        let mut joined: Vec<IdRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut() {
                Some(last)
                    if IdRange::end(last.inside, last.count) == Some(range.inside)
                        && IdRange::end(last.outside, last.count) == Some(range.outside) =>
                {
                    last.count += range.count;
                }
                _ => joined.push(range),
            }
        }
        Self(joined)
    }
    fn overlaps(&self) -> bool {
        let mut pairs = self.0.iter().zip(self.0.iter().skip(1));
        pairs.any(|(a, b)| b.inside - a.inside < a.count)
    }
    fn inverse(&self) -> Self {
        Self::in_order(self.0.iter().map(|range| range.swapped()).collect())
    }
    /// As which id a stored one is shown; none if it has no image.
    fn shown(&self, id: u32) -> Option<u32> {
        let behind = self.0.partition_point(|range| range.inside <= id);
        let range = self.0.get(behind.checked_sub(1)?)?;
        let offset = id - range.inside;
        (offset < range.count).then(|| range.outside + offset)
    }
    /// Which id is shown as this one; none if there is none.
    fn stored(&self, id: u32) -> Option<u32> {
        let holds = |range: &&IdRange| id.wrapping_sub(range.outside) < range.count;
        let range = self.0.iter().find(holds)?;
        Some(range.inside + (id - range.outside))
    }
    /// This map, and then another.
    fn then(&self, outer: &Self) -> Self {
        let mut all = Vec::new();
        for a in &self.0 {
            for b in &outer.0 {
                let start = a.outside.max(b.inside);
                let end = (a.outside + a.count).min(b.inside + b.count);
                if start < end {
                    all.push(IdRange {
                        inside: a.inside + (start - a.outside),
                        outside: b.outside + (start - b.inside),
                        count: end - start,
                    });
                }
            }
        }
        Self::in_order(all)
    }
    fn ids(&self) -> u64 {
        self.0.iter().map(|range| u64::from(range.count)).sum()
    }
    /// The map that, followed by `outer`, is this one; none if `outer` does not show all ids that this one shows.
    fn within(&self, outer: &Self) -> Option<Self> {
        let inner = self.then(&outer.inverse());
        (inner.ids() == self.ids() && inner.0.len() <= MOST_RANGES).then_some(inner)
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.0.len() as u16).to_le_bytes());
        for range in &self.0 {
            out.extend_from_slice(&range.encode());
        }
    }
    /// The map from bytes; none if they are not one, in its one form.
    fn read(r: &mut Reader<'_>) -> Option<Self> {
        let count = u16::from_le_bytes(r.array()?);
        let ranges = (0..count).map(|_| IdRange::read(r));
        let ranges = ranges.collect::<Option<Vec<_>>>()?;
        let map = Self::new(&ranges).ok()?;
        (map.0 == ranges).then_some(map)
    }
}

/// A map of users and one of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Maps {
    pub(crate) users: IdMap,
    pub(crate) groups: IdMap,
}

/// How ids are shown: all as they are stored, or by maps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids(pub(crate) Option<Arc<Maps>>);

impl Ids {
    /// The maps of these ranges; where there is none, ids stay. EINVAL if ranges overlap, are empty, or too many.
    pub fn new(users: &[IdRange], groups: &[IdRange]) -> Result<Self> {
        let map = |ranges: &[IdRange]| match ranges.is_empty() {
            true => Ok(IdMap::identity()),
            false => IdMap::new(ranges),
        };
        Ok(Self::of(Maps {
            users: map(users)?,
            groups: map(groups)?,
        }))
    }
    fn of(maps: Maps) -> Self {
        let all = IdMap::identity();
        let plain = maps.users == all && maps.groups == all;
        Self((!plain).then(|| Arc::new(maps)))
    }
    /// Whether all ids are shown as they are stored.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.is_none()
    }
    /// As which user a stored one is shown; [`NO_ID`] if he has no image.
    pub(crate) fn user(&self, stored: u32) -> u32 {
        let Some(maps) = &self.0 else { return stored };
        maps.users.shown(stored).unwrap_or(NO_ID)
    }
    /// The same for a group.
    pub(crate) fn group(&self, stored: u32) -> u32 {
        let Some(maps) = &self.0 else { return stored };
        maps.groups.shown(stored).unwrap_or(NO_ID)
    }
    /// Which user is shown as this one; EOVERFLOW if there is none.
    pub(crate) fn stored_user(&self, shown: u32) -> Result<u32> {
        let stored = self.0.as_ref().map(|maps| maps.users.stored(shown));
        stored.unwrap_or(Some(shown)).ok_or_else(no_image)
    }
    /// The same for a group.
    pub(crate) fn stored_group(&self, shown: u32) -> Result<u32> {
        let stored = self.0.as_ref().map(|maps| maps.groups.stored(shown));
        stored.unwrap_or(Some(shown)).ok_or_else(no_image)
    }
    /// These maps, and then others.
    pub(crate) fn then(&self, outer: &Self) -> Self {
        match (&self.0, &outer.0) {
            (_, None) => self.clone(),
            (None, _) => outer.clone(),
            (Some(a), Some(b)) => Self::of(Maps {
                users: a.users.then(&b.users),
                groups: a.groups.then(&b.groups),
            }),
        }
    }
    /// EINVAL if they are more than a record takes, as maps that add up may become.
    pub(crate) fn check_size(&self) -> Result<()> {
        let fits = |map: &IdMap| map.0.len() <= MOST_RANGES;
        match &self.0 {
            Some(maps) if !fits(&maps.users) || !fits(&maps.groups) => {
                Err(Kind::Invalid.because("too many ranges of ids, added up"))
            }
            _ => Ok(()),
        }
    }
    /// The maps of a directory below which these hold, if `above` hold above it. EXDEV if there are none.
    pub(crate) fn within(&self, above: &Self) -> Result<Self> {
        if self == above {
            return Ok(Self::default());
        }
        let Some(outer) = &above.0 else {
            return Ok(self.clone());
        };
        let all = || Maps {
            users: IdMap::identity(),
            groups: IdMap::identity(),
        };
        let inner = self.0.as_ref().map_or_else(all, |maps| Maps::clone(maps));
        let users = inner.users.within(&outer.users);
        let maps = users.zip(inner.groups.within(&outer.groups));
        let (users, groups) = maps.ok_or_else(elsewhere)?;
        Ok(Self::of(Maps { users, groups }))
    }
    /// How an owner and a group that are kept by these maps are kept by others, so that they show the same. EXDEV if they cannot.
    pub(crate) fn recode(&self, (user, group): (u32, u32), to: &Self) -> Result<(u32, u32)> {
        // Objects without a place may belong to no one; what has one never does.
        if self == to && user != NO_ID && group != NO_ID {
            return Ok((user, group));
        }
        let (user, group) = (self.user(user), self.group(group));
        if user == NO_ID || group == NO_ID {
            return Err(elsewhere());
        }
        let user = to.stored_user(user).map_err(|_| elsewhere())?;
        Ok((user, to.stored_group(group).map_err(|_| elsewhere())?))
    }
    /// As bytes; which of the two maps are there is in the bits of the answer.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> u8 {
        let Some(maps) = &self.0 else { return 0 };
        let mut bits = 0;
        for (bit, map) in [(USERS, &maps.users), (GROUPS, &maps.groups)] {
            if *map != IdMap::identity() {
                bits |= bit;
                map.encode(out);
            }
        }
        bits
    }
    /// From bytes and the bits; none if they are not as they would be written.
    pub(crate) fn read(r: &mut Reader<'_>, bits: u8) -> Option<Self> {
        let mut map = |bit| match bits & bit {
            0 => Some(IdMap::identity()),
            _ => IdMap::read(r).filter(|map| *map != IdMap::identity()),
        };
        let (users, groups) = (map(USERS)?, map(GROUPS)?);
        Some(Self::of(Maps { users, groups }))
    }
}

/// Bits of a record: there is a map of users, of groups.
pub(crate) const USERS: u8 = 2;
pub(crate) const GROUPS: u8 = 4;

fn no_image() -> crate::errno::Error {
    Kind::Overflow.because("an id that the maps here do not show")
}

/// The error for ids that a place cannot show.
pub(crate) fn elsewhere() -> crate::errno::Error {
    Kind::CrossDevice.because("the ids cannot be shown there as they are here")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(inside: u32, outside: u32, count: u32) -> IdRange {
        IdRange {
            inside,
            outside,
            count,
        }
    }
    fn map(ranges: &[IdRange]) -> IdMap {
        IdMap::new(ranges).unwrap()
    }

    #[test]
    fn a_map_shows_and_stores_and_has_one_form() {
        let m = map(&[range(10, 5, 3), range(0, 100, 2), range(2, 102, 1)]);
        assert_eq!(m.0, [range(0, 100, 3), range(10, 5, 3)]);
        assert_eq!(
            (m.shown(2), m.shown(3), m.shown(12)),
            (Some(102), None, Some(7))
        );
        assert_eq!(
            (m.stored(102), m.stored(103), m.stored(5)),
            (Some(2), None, Some(10))
        );
        assert_eq!((m.shown(13), m.stored(NO_ID)), (None, None));
        for bad in [
            &[range(0, 0, 0)][..],
            &[range(5, 0, u32::MAX - 4)],
            &[range(0, 5, u32::MAX - 4)],
            &[range(0, 10, 2), range(1, 20, 1)],
            &[range(0, 10, 2), range(5, 11, 1)],
        ] {
            assert!(IdMap::new(bad).is_err(), "{bad:?}");
        }
        let most = |n: u32| IdMap::new(&(0..n).map(|i| range(i * 2, i * 2, 1)).collect::<Vec<_>>());
        assert!(most(MOST_RANGES as u32).is_ok() && most(MOST_RANGES as u32 + 1).is_err());
    }

    /// All ids of a small world, by brute force.
    #[test]
    fn composition_and_division_are_those_of_functions() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut any = || {
            let ranges: Vec<_> = (0..3)
                .map(|_| range(rng.u32(..20), rng.u32(..20), rng.u32(1..8)))
                .collect();
            IdMap::new(&ranges).unwrap_or_else(|_| IdMap::identity())
        };
        let mut divided = 0;
        for _ in 0..5000 {
            let (a, b) = (any(), any());
            let both = a.then(&b);
            let inner = both.within(&b).expect("one is a");
            for id in 0..40 {
                let expected = a.shown(id).and_then(|id| b.shown(id));
                assert_eq!(both.shown(id), expected);
                assert_eq!(inner.then(&b).shown(id), expected);
                assert_eq!(both.stored(id), b.stored(id).and_then(|id| a.stored(id)));
            }
            match a.within(&b) {
                Some(inner) => assert_eq!(inner.then(&b), a),
                None => assert!(
                    (0..40)
                        .any(|id| { a.shown(id).is_some_and(|shown| b.stored(shown).is_none()) })
                ),
            }
            divided += u32::from(a.within(&b).is_some());
        }
        assert!(divided > 100, "{divided}");
    }

    #[test]
    fn hostile_bytes_are_no_map_or_the_one_that_was_written() {
        let ids = Ids::new(&[range(0, 100_000, 65_536), range(70_000, 7, 3)], &[]).unwrap();
        let mut bytes = Vec::new();
        let bits = ids.encode(&mut bytes);
        assert_eq!(bits, USERS);
        assert_eq!(Ids::read(&mut Reader(&bytes), bits), Some(ids));
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..5000 {
            let mut bad = bytes.clone();
            let at = rng.usize(..bad.len());
            bad[at] = rng.u8(..);
            let mut reader = Reader(&bad);
            if let Some(found) = Ids::read(&mut reader, bits) {
                let (mut again, used) = (Vec::new(), bad.len() - reader.0.len());
                assert_eq!(found.encode(&mut again), bits);
                assert_eq!(again, bad[..used]);
            }
        }
    }

    #[test]
    fn owners_are_recoded_or_stay_where_they_are() {
        let a = Ids::new(&[range(0, 100, 10)], &[range(0, 100, 10)]).unwrap();
        let plain = Ids::default();
        assert_eq!(a.recode((3, 4), &plain).unwrap(), (103, 104));
        assert_eq!(plain.recode((103, 104), &a).unwrap(), (3, 4));
        assert_eq!(
            plain.recode((3, 104), &a).unwrap_err().kind(),
            Kind::CrossDevice
        );
        assert_eq!(
            a.recode((10, 0), &plain).unwrap_err().kind(),
            Kind::CrossDevice
        );
        assert_eq!(a.recode((10, 0), &a.clone()).unwrap(), (10, 0));
        assert!(plain.recode((NO_ID, 0), &plain).is_err());
        assert_eq!((a.user(10), a.group(9)), (NO_ID, 109));
        assert_eq!(a.stored_user(3).unwrap_err().kind(), Kind::Overflow);
        assert_eq!(a.within(&plain).unwrap(), a);
        assert_eq!(a.within(&a).unwrap(), plain);
        assert!(plain.within(&a).is_err());
        assert_eq!(Ids::new(&[range(0, 0, u32::MAX)], &[]).unwrap(), plain);
    }
}
