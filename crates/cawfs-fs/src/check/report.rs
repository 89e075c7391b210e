//! What a check finds.

/// What is wrong; the numbers are for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A record that does not decode.
    BadRecord = 1,
    /// A key that means nothing.
    BadKey = 2,
    /// An entry whose directory does not exist, or is none.
    NoDirectory = 3,
    /// A directory whose link count is not 2 + subdirectories, or a file with several names whose count is not theirs.
    BadLinks = 4,
    /// An extended attribute of nothing, or of an object that says it has none.
    StrayAttribute = 5,
    /// A block of nothing, or of something other than a file.
    StrayBlock = 6,
    /// A file whose count of blocks is not what is stored.
    BadBlocks = 7,
    /// A block that holds bytes beyond the end of its file.
    BeyondEnd = 8,
    /// A number that two objects show.
    SharedNumber = 9,
    /// No root directory.
    NoRoot = 10,
    /// A name that leads to a file with several names, which is not there.
    NoBody = 11,
    /// A name of such a file that its home does not know, or one that its home knows and that is not there.
    BadBackReference = 12,
    /// Such a file in a directory that is not marked as its home.
    UnmarkedHome = 13,
    /// Such a file without a name.
    NoName = 14,
    /// A name of such a file where ids are shown otherwise than in its home.
    CrossedMaps = 15,
    /// A directory above something guarded that is not marked so, and would be removed without looking.
    UnmarkedGuard = 16,
}

impl Fault {
    /// Whether [`repair_names`](crate::repair_names) mends it: what is right follows from names and records that are whole.
    pub fn is_repairable(self) -> bool {
        matches!(
            self,
            Self::BadLinks | Self::BadBackReference | Self::UnmarkedHome | Self::UnmarkedGuard
        )
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::BadRecord => "its record does not decode",
            Self::BadKey => "a key that means nothing",
            Self::NoDirectory => "its directory does not exist",
            Self::BadLinks => "its link count is wrong",
            Self::StrayAttribute => "an extended attribute of nothing",
            Self::StrayBlock => "a block of nothing",
            Self::BadBlocks => "its count of blocks is wrong",
            Self::BeyondEnd => "a block reaches beyond its end",
            Self::SharedNumber => "its inode number is that of another object",
            Self::NoRoot => "there is no root directory",
            Self::NoBody => "a name of a file that is not there",
            Self::BadBackReference => {
                "a name that the home of its file does not know, or the reverse"
            }
            Self::UnmarkedHome => "its directory is not marked as a home",
            Self::NoName => "it has no name",
            Self::UnmarkedGuard => "something below it is guarded, and it is not marked so",
            Self::CrossedMaps => "ids are shown otherwise there than where its file is kept",
        })
    }
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub fault: Fault,
    /// Where: a path, or a key in hexadecimal.
    pub place: String,
}

/// The result of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What is wrong, in key order; empty if all is well.
    pub findings: Vec<Finding>,
    /// Directories, the root included.
    pub directories: u64,
    /// Regular files.
    pub files: u64,
    /// Other objects.
    pub others: u64,
    /// File blocks, those of orphans included.
    pub blocks: u64,
    /// Unlinked objects that wait for their last close.
    pub orphans: u64,
}
