//! What parts of a value mean, for engines that answer them without all of it.

use std::ops::Range;

/// The bytes `want` of a value, fewer where it ends.
pub fn clipped<'a>(value: &'a [u8], want: &Range<usize>) -> &'a [u8] {
    let len = value.len();
    &value[want.start.min(len)..want.end.min(len)]
}

/// Whether the bytes that `part` gives for ranges of a value are those which the value holds there: fewer where it ends, none if there is no value.
///
/// # Errors
/// Those of `part`.
pub fn parts_are_of(
    value: Option<&[u8]>,
    part: impl Fn(&Range<usize>) -> Result<Option<Vec<u8>>, String>,
) -> Result<bool, String> {
    let len = value.map_or(0, <[u8]>::len);
    let (third, half) = (len / 3, len / 2);
    for want in [
        0..0,
        0..1,
        third..third + half + 1,
        len.saturating_sub(1)..len + 5,
        len + 1..len + 3,
    ] {
        let expected = value.map(|value| clipped(value, &want));
        if part(&want)?.as_deref() != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_part_is_found() {
        let value = b"some value".to_vec();
        let honest = |want: &Range<usize>| Ok(Some(clipped(&value, want).to_vec()));
        assert_eq!(parts_are_of(Some(&value), honest), Ok(true));
        assert_eq!(parts_are_of(None, |_| Ok(None)), Ok(true));
        assert_eq!(parts_are_of(None, honest), Ok(false));
        assert_eq!(parts_are_of(Some(&value[1..]), honest), Ok(false));
        assert_eq!(parts_are_of(Some(&value), |_| Ok(None)), Ok(false));
        let fails = |_: &Range<usize>| Err("damaged".to_string());
        assert_eq!(parts_are_of(Some(&value), fails), Err("damaged".into()));
    }
}
