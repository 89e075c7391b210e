//! Called as a mount helper: `mount.fuse.cawfs STORE DIR -o opts`, `mount.cawfs …`, or, by the generic
//! helper of FUSE, `cawfs STORE DIR -o opts`.
//!
//! Their flags are those that mount(8) passes on: `-s` (sloppy), `-n` and `-v` mean nothing here; `-f` is a rehearsal;
//! the NAME of `mount.fuse.NAME` or `-t fuse.NAME` is shown in the type, so that mount(8) finds the helper again when it is to
//! mount anew.

use crate::failure::Failure;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Turns the call of a mount helper into `cawfs mount …`; other calls stay as they are.
pub fn rewrite(args: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let name = args
        .first()
        .map(Path::new)
        .and_then(Path::file_name)
        .unwrap_or_default();
    let by_name = name.to_string_lossy().starts_with("mount.");
    let looks_like_path = |a: &OsString| a.to_string_lossy().contains('/');
    let by_arguments = args.len() >= 3 && args.iter().skip(1).take(2).all(looks_like_path);
    if !by_name && !by_arguments {
        return Ok(args);
    }
    let mut out: Vec<OsString> = vec!["cawfs".into(), "mount".into()];
    let subtype_of = |kind: &str| kind.strip_prefix("fuse.").map(subtype);
    let named = name.to_str().and_then(|name| name.strip_prefix("mount."));
    out.extend(named.and_then(subtype_of).into_iter().flatten());
    let mut rest = args.into_iter().skip(1);
    while let Some(arg) = rest.next() {
        match arg.to_str() {
            Some("-o" | "-t") => {
                let missing = || Failure::usage(format!("{}: a value is missing", arg.display()));
                let value = rest.next().ok_or_else(missing)?;
                match arg == OsStr::new("-o") {
                    true => out.extend([arg, value]),
                    false => out.extend(value.to_str().and_then(subtype_of).into_iter().flatten()),
                }
            }
            Some("-f") => std::process::exit(0),
            Some(flags)
                if flags.starts_with('-')
                    && flags.trim_matches(['-', 's', 'n', 'v']).is_empty() => {}
            _ => out.push(arg),
        }
    }
    Ok(out)
}

fn subtype(name: &str) -> [OsString; 2] {
    ["-o".into(), format!("subtype={name}").into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(words: &str) -> String {
        let args = words.split(' ').map(OsString::from).collect();
        let out: Vec<String> = rewrite(args)
            .unwrap()
            .iter()
            .map(|a| a.to_string_lossy().into_owned())
            .collect();
        out.join(" ")
    }

    #[test]
    fn helpers_become_mounts_and_commands_stay() {
        let mount = "cawfs mount /s /d -o ro";
        let typed = "cawfs mount /s /d -o subtype=cawfs -o ro";
        assert_eq!(rewritten("mount.cawfs /s /d -t fuse.cawfs -o ro"), typed);
        let typed = "cawfs mount -o subtype=x /s /d -o ro";
        assert_eq!(rewritten("/sbin/mount.fuse.x /s /d -sn -o ro"), typed);
        assert_eq!(rewritten("mount.cawfs /s /d -t cawfs -o ro"), mount);
        assert_eq!(rewritten("cawfs /s /d -o ro"), mount);
        assert_eq!(rewritten("cawfs mount s d -o ro"), "cawfs mount s d -o ro");
        assert_eq!(rewritten("cawfs clone /a /b /c"), "cawfs clone /a /b /c");
        assert_eq!(rewritten("cawfs"), "cawfs");
    }
}
