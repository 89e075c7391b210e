//! Rules for single sources: sizes, opening comments, forbidden words, paths of a developer's machine.
//!
//! Words that these rules forbid are put together from two halves here, or the rules would find themselves.
use crate::lexer::{code_of, words};
use crate::repo::{File, Repo};

/// Longest file, in lines.
const FILE_LINES: usize = 500;
/// Longest function, in lines.
const FUNCTION_LINES: usize = 70;

/// Sources of more than 500 lines.
pub fn long_files(repo: &Repo) -> Vec<String> {
    let long = repo
        .rust()
        .map(|f| (f, f.text.lines().count()))
        .filter(|(_, n)| *n > FILE_LINES);
    long.map(|(f, n)| format!("{}: {n} lines, more than {FILE_LINES}", f.path))
        .collect()
}

/// Sources that do not say at once what they are.
pub fn opening_comments(repo: &Repo) -> Vec<String> {
    let silent = repo.rust().filter(|f| !f.text.starts_with("//! "));
    silent
        .map(|f| format!("{}: does not open with //!", f.path))
        .collect()
}

/// Functions of more than 70 lines that are not among the exceptions (lines `path function`).
pub fn long_functions(repo: &Repo, exceptions: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in repo.rust() {
        for function in functions(file) {
            let excepted = exceptions
                .lines()
                .any(|l| l.trim() == function.exception(file));
            if function.lines > FUNCTION_LINES && !excepted {
                let Function { name, line, lines } = function;
                let path = &file.path;
                complaints.push(format!(
                    "{path}:{line}: {name} has {lines} lines, more than {FUNCTION_LINES}"
                ));
            }
        }
    }
    complaints
}

/// Exceptions that are needed no longer: the list may only become shorter.
pub fn stale_exceptions(repo: &Repo, exceptions: &str) -> Vec<String> {
    let long: Vec<String> = repo
        .rust()
        .flat_map(|file| {
            let long = functions(file)
                .into_iter()
                .filter(|f| f.lines > FUNCTION_LINES);
            long.map(|f| f.exception(file)).collect::<Vec<_>>()
        })
        .collect();
    let lines = exceptions.lines().map(str::trim);
    let entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let stale = entries.filter(|line| !long.iter().any(|l| l == line));
    stale
        .map(|line| format!("the exception {line:?} is needed no longer"))
        .collect()
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

impl Function {
    fn exception(&self, file: &File) -> String {
        format!("{} {}", file.path, self.name)
    }
}

/// All functions of a file that have a body, with the number of lines from `fn` to the closing brace.
fn functions(file: &File) -> Vec<Function> {
    let code = code_of(&file.text);
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let mut rest = words(line).skip_while(|word| *word != "fn");
        if let (Some(_), Some(name)) = (rest.next(), rest.next())
            && let Some(count) = body_lines(&lines[at..])
        {
            found.push(Function {
                name: name.to_string(),
                line: at + 1,
                lines: count,
            });
        }
    }
    found
}

/// Lines up to the brace that closes the first one opened; none if a semicolon comes first.
fn body_lines(lines: &[&str]) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (at, line) in lines.iter().enumerate() {
        let start = if at == 0 {
            line.find("fn ").unwrap_or(0)
        } else {
            0
        };
        for c in line[start..].chars() {
            match c {
                '{' => braces += 1,
                '}' if braces <= 1 => return Some(at + 1),
                '}' => braces -= 1,
                '[' | '(' => brackets += 1,
                ']' | ')' => brackets = brackets.saturating_sub(1),
                ';' if braces == 0 && brackets == 0 => return None,
                _ => {}
            }
        }
    }
    None
}

/// Marks of unfinished work, silenced tests and silenced lints, anywhere in a source.
pub fn forbidden_words(repo: &Repo) -> Vec<String> {
    let anywhere = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX:"),
    ];
    let in_code = [
        concat!("unimple", "mented!"),
        concat!("to", "do!("),
        concat!("db", "g!("),
        concat!("#[ign", "ore"),
        concat!("allow(", "dead_code"),
    ];
    // Helpers of integration tests are tests too, but clippy does not know it.
    let in_floors = concat!("allow(clippy::unwrap", "_used");
    let mut complaints = Vec::new();
    for file in repo.rust() {
        let code = code_of(&file.text);
        for (number, (line, code)) in file.text.lines().zip(code.lines()).enumerate() {
            let words = anywhere.iter().filter(|word| line.contains(**word));
            let unwraps = !file.path.contains("/tests/") && code.contains(in_floors);
            let words = words.chain(in_code.iter().filter(|word| code.contains(**word)));
            for word in words.chain(unwraps.then_some(&in_floors)) {
                complaints.push(format!("{}:{}: {word}", file.path, number + 1));
            }
        }
    }
    complaints
}

/// The sources that may hold unsafe code: a room for each thing that cannot be had without.
const UNSAFE_ROOMS: [&str; 3] = [
    "crates/cawfs/src/ioctl.rs",
    "crates/cawdb-disk/src/device/flight.rs",
    "bench-engine/src/lmdb.rs",
];

/// Unsafe code elsewhere, or the leave to write it.
pub fn unsafe_outside_its_rooms(repo: &Repo) -> Vec<String> {
    let word = concat!("uns", "afe");
    let mut complaints = Vec::new();
    for file in repo
        .rust()
        .filter(|file| !UNSAFE_ROOMS.contains(&file.path.as_str()))
    {
        for (number, line) in code_of(&file.text).lines().enumerate() {
            if words(line).any(|found| found == word || found == concat!("uns", "afe_code")) {
                complaints.push(format!("{}:{}: {word}", file.path, number + 1));
            }
        }
    }
    complaints
}

/// Bytes of the longest file, which is a plot.
const LONGEST: usize = 256 << 10;

/// What is not text, or longer than anything that somebody wrote: it got in by accident, and stays in the history of all.
pub fn stray_files(repo: &Repo) -> Vec<String> {
    let strays = repo.files.iter().filter_map(|file| {
        let text = !file.text.contains(['\0', char::REPLACEMENT_CHARACTER]);
        let bytes = file.text.len();
        (!text || bytes > LONGEST).then(|| format!("{}: {bytes} bytes, text: {text}", file.path))
    });
    strays.collect()
}

/// Absolute paths that exist only on the machine of whoever wrote them.
pub fn machine_paths(repo: &Repo) -> Vec<String> {
    let paths = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/Us", "ers/"),
    ];
    let mut complaints = Vec::new();
    for file in &repo.files {
        for (number, line) in file.text.lines().enumerate() {
            for path in paths.iter().filter(|path| starts_a_path(line, path)) {
                complaints.push(format!("{}:{}: {path}", file.path, number + 1));
            }
        }
    }
    complaints
}

/// Whether the line holds the path from its beginning on, not as the inside of a longer one.
fn starts_a_path(line: &str, path: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || "._-$)}".contains(c);
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(inside))
}
