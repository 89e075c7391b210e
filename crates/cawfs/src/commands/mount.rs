//! `cawfs mount`: looks at what is asked, then starts the daemon or becomes it.

use crate::Outcome;
use crate::args::Mount;
use crate::daemon::{self, Plan, start};
use crate::failure::Failure;
use crate::mounts;
use crate::options::Options;
use crate::output;
use crate::stuck;

/// Mounts a store.
pub fn run(args: &Mount) -> Outcome {
    let options = Options::parse(&args.options)?;
    if options.remount {
        super::remount::run(&args.store, &args.dir, &args.options)?;
        return Ok(0);
    }
    let plan = planned(args, options)?;
    if !args.foreground {
        start::launch(&plan, &args.options)?;
        return Ok(0);
    }
    daemon::log_to(plan.options.log.as_deref())?;
    daemon::run(&plan, &output::note, || {})?;
    Ok(0)
}

/// Checks the command line of a mount and makes its paths absolute.
pub fn plan(args: &Mount) -> Result<Plan, Failure> {
    planned(args, Options::parse(&args.options)?)
}

fn planned(args: &Mount, options: Options) -> Result<Plan, Failure> {
    let missing = !args.store.exists();
    if missing && !args.create {
        return Err(Failure::at(&args.store, "there is no such store")
            .hint("make one with: cawfs mkfs STORE, or mount with --create"));
    }
    let store = if missing {
        std::path::absolute(&args.store)
    } else {
        args.store.canonicalize()
    };
    let store = store.map_err(|e| Failure::io(&args.store, "cannot look at it", e))?;
    let dir =
        mounts::absolute(&args.dir).map_err(|e| Failure::io(&args.dir, "cannot mount there", e))?;
    clear_stale(&dir)?;
    if !dir.is_dir() {
        return Err(Failure::at(
            &dir,
            "cannot mount there: it is not a directory",
        ));
    }
    if store.starts_with(&dir) {
        return Err(Failure::at(
            &dir,
            "cannot mount there: the store itself lies below",
        ));
    }
    Ok(Plan {
        store,
        dir,
        options,
        create: args.create,
    })
}

/// Dead mounts that may lie on top of each other.
const STACKED: usize = 16;

/// Removes mounts that dead daemons left behind.
fn clear_stale(dir: &std::path::Path) -> Result<(), Failure> {
    if let Ok(Some(entry)) = mounts::at(dir) {
        stuck::release(&entry);
    }
    for _ in 0..STACKED {
        if !std::fs::read_dir(dir).is_err_and(|e| mounts::is_stale(&e)) {
            break;
        }
        super::umount::clean_up("mount", dir)?;
    }
    Ok(())
}
