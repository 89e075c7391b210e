//! A file system in memory, and the tree that is cloned.

use cawdb::Store;
use cawfs_fs::{
    Caller, CloneOptions, Error, FormatOptions, Fs, IdRange, Ids, Kind, MountOptions, NO_ID,
    NodeId, RenameMode, SetAttr, WriteFlags, XattrMode, check,
};

pub const ME: Caller = Caller::ROOT;
pub const TOP: NodeId = NodeId::ROOT;
pub const ACCESS: &[u8] = b"system.posix_acl_access";
pub const DEFAULT: &[u8] = b"system.posix_acl_default";

pub struct Mounted {
    pub store: Store,
    pub fs: Fs,
}

impl std::ops::Deref for Mounted {
    type Target = Fs;
    fn deref(&self) -> &Fs {
        &self.fs
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(check(&self.store.snapshot(), true).unwrap().findings, []);
        }
    }
}

pub fn mount() -> Mounted {
    let store = Store::in_memory();
    let format = FormatOptions {
        mode: 0o777,
        ..FormatOptions::default()
    };
    Fs::format(&store, &format).unwrap();
    let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
    Mounted { store, fs }
}

pub fn range(inside: u32, outside: u32, count: u32) -> IdRange {
    IdRange {
        inside,
        outside,
        count,
    }
}

/// Users and groups of this range shown as those.
pub fn mapped(inside: u32, outside: u32, count: u32) -> CloneOptions {
    let one = [range(inside, outside, count)];
    CloneOptions {
        ids: Ids::new(&one, &one).unwrap(),
        ..CloneOptions::default()
    }
}

/// As containers have it.
pub fn shifted() -> CloneOptions {
    mapped(0, 100_000, 65_536)
}

pub fn read_only() -> CloneOptions {
    CloneOptions {
        read_only: true,
        ..CloneOptions::default()
    }
}

pub fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut out = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&perm.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    }
    out
}

/// A list for the owner, a user, the group, a group, a mask, others.
pub fn list_of(user: u32, group: u32) -> Vec<u8> {
    let none = NO_ID;
    let entries = [
        (1, 7, none),
        (2, 5, user),
        (4, 5, none),
        (8, 4, group),
        (16, 7, none),
        (32, 0, none),
    ];
    list(&entries)
}

pub fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> Kind {
    result.unwrap_err().kind()
}

impl Mounted {
    pub fn at(&self, path: &str) -> NodeId {
        let names = path.split('/').filter(|name| !name.is_empty());
        let step = |dir, name: &str| self.lookup(&ME, dir, name.as_bytes()).unwrap().node;
        names.fold(TOP, step)
    }
    pub fn split<'a>(&self, path: &'a str) -> (NodeId, &'a [u8]) {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        (self.at(dir), name.as_bytes())
    }
    pub fn dir(&self, path: &str) -> Result<NodeId, Error> {
        let (dir, name) = self.split(path);
        self.mkdir(&ME, dir, name, 0o755).map(|entry| entry.node)
    }
    pub fn file(&self, who: &Caller, path: &str) -> Result<NodeId, Error> {
        let (dir, name) = self.split(path);
        let node = self.mknod(who, dir, name, 0o644, 0)?.node;
        self.write(node, 0, path.as_bytes(), WriteFlags::default())?;
        Ok(node)
    }
    pub fn chown(&self, path: &str, uid: u32, gid: u32) -> Result<(), Error> {
        let change = SetAttr {
            uid: Some(uid),
            gid: Some(gid),
            ..SetAttr::default()
        };
        self.setattr(&ME, self.at(path), &change).map(|_| ())
    }
    pub fn chmod(&self, path: &str, mode: u32) -> Result<(), Error> {
        let change = SetAttr {
            mode: Some(mode),
            ..SetAttr::default()
        };
        self.setattr(&ME, self.at(path), &change).map(|_| ())
    }
    pub fn clone(&self, from: &str, to: &str, options: &CloneOptions) -> Result<(), Error> {
        let (dir, name) = self.split(to);
        let done = self.clone_tree_with(&ME, self.at(from), (dir, name), options);
        done.map(|_| ())
    }
    pub fn mv(&self, from: &str, to: &str) -> Result<(), Error> {
        self.mv_as(from, to, RenameMode::Replace)
    }
    pub fn mv_as(&self, from: &str, to: &str, mode: RenameMode) -> Result<(), Error> {
        let ((a, name), (b, new)) = (self.split(from), self.split(to));
        self.rename(&ME, a, name, b, new, mode)
    }
    pub fn ln(&self, from: &str, to: &str) -> Result<(), Error> {
        let (dir, name) = self.split(to);
        self.link(&ME, self.at(from), dir, name).map(|_| ())
    }
    /// Owner and group as they are shown.
    pub fn owner(&self, path: &str) -> (u32, u32) {
        let attr = self.getattr(self.at(path)).unwrap();
        (attr.uid, attr.gid)
    }
    pub fn acl(&self, path: &str) -> Vec<u8> {
        self.getxattr(self.at(path), ACCESS).unwrap().to_vec()
    }
    pub fn again(&self) -> Mounted {
        let (store, options) = (self.store.clone(), MountOptions::default());
        let fs = Fs::mount(store.clone(), options).unwrap();
        Mounted { store, fs }
    }
}

/// `tree/` of root with `sub/` of 5, `sub/f` of 5:6, `sub/l` with a list, `sub/far` of one who has no image.
pub fn tree(m: &Mounted) {
    m.dir("tree").unwrap();
    m.dir("tree/sub").unwrap();
    m.chown("tree/sub", 5, 5).unwrap();
    for (name, uid, gid) in [("f", 5, 6), ("l", 0, 0), ("far", 70_000, 7)] {
        let path = format!("tree/sub/{name}");
        m.file(&ME, &path).unwrap();
        m.chown(&path, uid, gid).unwrap();
    }
    let value = list_of(9, 70_001);
    m.setxattr(&ME, m.at("tree/sub/l"), ACCESS, &value, XattrMode::Any)
        .unwrap();
}

/// What [`tree`] looks like where ids are so much larger.
pub fn is_shifted(m: &Mounted, top: &str, by: u32) {
    let owner = |path: &str| m.owner(&format!("{top}{path}"));
    assert_eq!(owner(""), (by, by));
    assert_eq!(owner("/sub"), (by + 5, by + 5));
    assert_eq!(owner("/sub/f"), (by + 5, by + 6));
    assert_eq!(owner("/sub/far"), (NO_ID, by + 7));
    let left: Vec<_> = list_of(by + 9, 0);
    let entry = 4 + 3 * 8..4 + 4 * 8;
    let left = [&left[..entry.start], &left[entry.end..]].concat();
    assert_eq!(
        m.acl(&format!("{top}/sub/l")),
        left,
        "without who has no image"
    );
}
