//! The files of the repository, as text; where one is none, what is not text in it is replaced by U+FFFD.
//!
//! Invariants: paths are relative with `/`; what is built or hidden (`target`, `.git`) is left out.
use std::fs;
use std::io;
use std::path::Path;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path from the root of the repository.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// All files, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repo {
    /// The files.
    pub files: Vec<File>,
}

const LEFT_OUT: [&str; 2] = ["target", ".git"];

impl Repo {
    /// Reads every file below `root`.
    ///
    /// # Errors
    /// When a folder or file cannot be read.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        collect(root, "", &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    /// A repository of the given paths and contents.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).into(),
            text: (*text).into(),
        };
        Self {
            files: files.iter().map(file).collect(),
        }
    }

    /// The text of a file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files
            .iter()
            .find(|f| f.path == path)
            .map(|f| f.text.as_str())
    }

    /// All Rust sources.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.with_ending(".rs")
    }

    /// All files whose path ends so.
    pub fn with_ending(&self, ending: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |f| f.path.ends_with(ending))
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        // Not only folders: in a second working tree `.git` is a file.
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() {
            let text = String::from_utf8_lossy(&fs::read(entry.path())?).into_owned();
            files.push(File { path, text });
        }
    }
    Ok(())
}
