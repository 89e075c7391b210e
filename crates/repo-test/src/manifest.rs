//! The little of a `Cargo.toml` that the floors need: names, and dependencies by section.
//!
//! It reads the one style that this workspace uses, a dependency a line, and complains about others
//! rather than overlook an edge.

/// What a manifest says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The package's name.
    pub name: String,
    /// `[dependencies]` and `[build-dependencies]`.
    pub dependencies: Vec<String>,
    /// `[dev-dependencies]`.
    pub dev_dependencies: Vec<String>,
    /// Whether it takes the lints of the workspace.
    pub workspace_lints: bool,
}

/// Reads a manifest.
///
/// # Errors
/// A dependency written in a form this reader would overlook.
pub fn parse(text: &str) -> Result<Manifest, String> {
    let mut manifest = Manifest::default();
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']).to_string();
            if section.contains("dependencies.") || section.starts_with("target.") {
                return Err(format!("write the dependencies of [{section}] one a line"));
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        let package = key.split('.').next().unwrap_or(key).to_string();
        match section.as_str() {
            "package" if key == "name" => manifest.name = value.trim_matches('"').to_string(),
            "lints" if key == "workspace" => manifest.workspace_lints = value == "true",
            "dependencies" | "build-dependencies" => manifest.dependencies.push(package),
            "dev-dependencies" => manifest.dev_dependencies.push(package),
            _ => {}
        }
    }
    Ok(manifest)
}
