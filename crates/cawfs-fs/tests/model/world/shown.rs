//! How two objects differ, for people.

use super::tree::{Body, Shown, Xattrs};

impl Shown {
    /// How another object differs from this one.
    pub fn difference(&self, got: &Self) -> String {
        let mut parts = Vec::new();
        match (&self.body, &got.body) {
            (Body::File(a), Body::File(b)) if a != b => {
                let at = a.iter().zip(b.iter()).position(|(a, b)| a != b);
                let at = at.unwrap_or(a.len().min(b.len()));
                let (x, y) = (a.get(at), b.get(at));
                let (a, b) = (a.len(), b.len());
                parts.push(format!("byte {at} is {y:?} of {b}, not {x:?} of {a}"));
            }
            (a, b) if a != b => parts.push(format!("is {b:?}, not {a:?}")),
            _ => {}
        }
        if self.mode != got.mode {
            parts.push(format!("mode {:o}, not {:o}", got.mode, self.mode));
        }
        if self.flags != got.flags {
            parts.push(format!("{:?}, not {:?}", got.flags, self.flags));
        }
        if self.owner != got.owner {
            parts.push(format!("belongs to {:?}, not {:?}", got.owner, self.owner));
        }
        if self.links != got.links {
            parts.push(format!("{} links, not {}", got.links, self.links));
        }
        if self.xattrs != got.xattrs {
            let names = |of: &Xattrs| {
                of.iter()
                    .map(|(n, v)| (n.escape_ascii().to_string(), v.len()))
                    .collect::<Vec<_>>()
            };
            parts.push(format!(
                "attributes {:?}, not {:?}",
                names(&got.xattrs),
                names(&self.xattrs)
            ));
        }
        parts.join(", ")
    }
}
