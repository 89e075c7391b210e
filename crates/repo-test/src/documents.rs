//! Rules for the documents: links lead somewhere, decisions can be found, promises name tests that exist.
use crate::lexer::code_of;
use crate::repo::Repo;

/// Relative links of Markdown pages that lead to no file or folder.
pub fn dead_links(repo: &Repo) -> Vec<String> {
    let mut complaints = Vec::new();
    for page in repo.with_ending(".md") {
        for target in links(&page.text) {
            let target = target.split('#').next().unwrap_or_default();
            let outside =
                target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            let path = join(&page.path, target);
            let folder = format!("{path}/");
            if !outside
                && !repo
                    .files
                    .iter()
                    .any(|f| f.path == path || f.path.starts_with(&folder))
            {
                complaints.push(format!("{}: the link to {target} leads nowhere", page.path));
            }
        }
    }
    complaints
}

/// The targets of `[text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
}

/// A path relative to a page, from the root of the repository, without the place on the page.
fn join(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    let target = target.split('#').next().unwrap_or_default();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Decision pages that neither the map nor the list of decisions links to.
pub fn decisions_unlinked(repo: &Repo) -> Vec<String> {
    let folder = "docs/decisions/";
    let listing = format!("{folder}README.md");
    let mut linked = Vec::new();
    for page in ["ARCHITECTURE.md", listing.as_str()] {
        linked.extend(links(repo.text(page).unwrap_or_default()).map(|target| join(page, target)));
    }
    let pages = repo
        .files
        .iter()
        .filter(|f| f.path.starts_with(folder) && f.path != listing);
    let lost = pages.filter(|f| !linked.contains(&f.path));
    lost.map(|f| format!("{}: no link leads here", f.path))
        .collect()
}

/// Pages below `docs` that no other page links to: nobody would find them.
pub fn pages_unlinked(repo: &Repo) -> Vec<String> {
    let linked: Vec<(&str, String)> = repo
        .with_ending(".md")
        .flat_map(|page| {
            links(&page.text).map(|target| (page.path.as_str(), join(&page.path, target)))
        })
        .collect();
    let pages = repo
        .with_ending(".md")
        .filter(|f| f.path.starts_with("docs/"));
    let lost = pages.filter(|f| {
        !linked
            .iter()
            .any(|(from, to)| *to == f.path && *from != f.path)
    });
    lost.map(|f| format!("{}: no page links here", f.path))
        .collect()
}

/// Headings of `docs/semantics.md` without a line of tests, and tests named there that do not exist.
///
/// A line is `Tests: `, then names of test functions or of scripts in backticks.
pub fn promises_without_test(repo: &Repo) -> Vec<String> {
    let page = "docs/semantics.md";
    let Some(text) = repo.text(page) else {
        return vec![format!("{page} is missing")];
    };
    let mut complaints = Vec::new();
    let mut open: Option<&str> = None;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            complaints.extend(open.map(|h| format!("{page}: {h:?} names no test")));
            open = Some(heading);
        } else if let Some(names) = line.strip_prefix("Tests: ") {
            let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
            if !names.is_empty() {
                open = None;
            }
            let missing = names.iter().filter(|name| !test_exists(repo, name));
            complaints
                .extend(missing.map(|name| format!("{page}: the test {name} does not exist")));
        }
    }
    complaints.extend(open.map(|h| format!("{page}: {h:?} names no test")));
    complaints
}

fn test_exists(repo: &Repo, name: &str) -> bool {
    if name.ends_with(".sh") {
        return repo.text(name).is_some();
    }
    let start = format!("fn {name}(");
    repo.rust().any(|file| {
        let code = code_of(&file.text);
        let mut marked = false;
        code.lines().any(|line| {
            let line = line.trim();
            let found = marked && line.contains(&start);
            marked = line == "#[test]" || marked && line.starts_with("#[");
            found
        })
    })
}

/// Whether `docs/format.md` names the version that the code writes, `const FORMAT_VERSION`.
pub fn format_version(repo: &Repo) -> Vec<String> {
    let versions: Vec<String> = repo
        .rust()
        .filter_map(|f| version_in(&code_of(&f.text)))
        .collect();
    let page = repo.text("docs/format.md").unwrap_or_default();
    match versions.as_slice() {
        [version] if page.contains(&format!("format version {version}")) => Vec::new(),
        [version] => vec![format!(
            "docs/format.md does not say \"format version {version}\""
        )],
        many => vec![format!(
            "FORMAT_VERSION is defined {} times, not once",
            many.len()
        )],
    }
}

fn version_in(code: &str) -> Option<String> {
    let (_, rest) = code.split_once("const FORMAT_VERSION:")?;
    let (_, value) = rest.split_once('=')?;
    Some(value.split(';').next()?.trim().to_string())
}
