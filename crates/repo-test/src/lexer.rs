//! Just enough of Rust's lexical grammar to tell code from comments, strings and characters.
//!
//! Invariant: the result has the same lines as the input, and every character that is not code is a blank;
//! so positions in it are positions in the file.
//!
//! ```text
//!  let brace = "}"; // fn
//!  let brace =    ;
//! ```

/// The code of a file, with comments and the content of literals blanked.
pub fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (len, is_code) = token(&chars[at..], at.checked_sub(1).map(|before| chars[before]));
        for c in &chars[at..(at + len).min(chars.len())] {
            out.push(if is_code || *c == '\n' { *c } else { ' ' });
        }
        at += len;
    }
    out
}

/// Length of what starts here, and whether it is code. `before` is the character in front.
fn token(rest: &[char], before: Option<char>) -> (usize, bool) {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    match (rest[0], rest.get(1).copied()) {
        ('/', Some('/')) => (rest.iter().take_while(|c| **c != '\n').count(), false),
        ('/', Some('*')) => (block_comment(rest), false),
        ('"', _) => (string(rest), false),
        ('r', Some('"' | '#')) if !before.is_some_and(|c| is_word(c) && c != 'b' && c != 'c') => {
            raw_string(rest).map_or((1, true), |len| (len, false))
        }
        ('\'', Some(_)) => character(rest).map_or((1, true), |len| (len, false)),
        _ => (1, true),
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match (rest[at], rest.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Length of `r"..."` or `r#"..."#`; none for a raw identifier.
fn raw_string(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let mut at = 2 + hashes;
    while at < rest.len() {
        let closing = rest[at + 1..]
            .iter()
            .take(hashes)
            .filter(|c| **c == '#')
            .count();
        if rest[at] == '"' && closing == hashes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(at)
}

/// Length of a character literal; none for a lifetime.
fn character(rest: &[char]) -> Option<usize> {
    if rest[1] == '\\' {
        let end = rest.iter().skip(3).position(|c| *c == '\'')?;
        return Some(end + 4);
    }
    (rest.get(2) == Some(&'\'')).then_some(3)
}

/// The identifiers of a line.
pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_what_is_not_code() {
        let cases = [
            ("a // b", "a     "),
            ("a /* x /* y */ \n */ b", "a              \n    b"),
            (r#"f("}\"{", 'a')"#, "f(      ,    )"),
            (r##"f(r#"a"}"#, br"\")"##, "f(        , b    )"),
            ("&'a str, '\\'', '{'", "&'a str,     ,    "),
            ("r#type var\"x\"", "r#type var   "),
        ];
        for (text, code) in cases {
            assert_eq!(code_of(text), code, "of {text:?}");
        }
    }

    #[test]
    fn open_ends_do_not_panic() {
        for text in ["\"abc", "r#\"abc", "/* x", "'\\", "'", "\"\\", "r#", "'\\n"] {
            code_of(text);
        }
    }
}
