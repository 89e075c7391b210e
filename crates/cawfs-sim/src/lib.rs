//! The test kit: tiny executable models, generators, shrinking and seeds.
//!
//! ```text
//!  seed ──► generate ──► [Step] ──► harness ──┬──► the engine under test
//!                          ▲                  ├──► KvModel, the specification
//!                          └──── shrink ◄─────┘    (a difference is a failure)
//! ```
//!
//! * `seed`: which seeds run, how long, and the one line that replays a failure;
//! * `kv_model`: what the engine means: an ordered map whose ranges clone;
//! * `versions`: which of its states a crash may leave;
//! * `ops`: steps whose arguments are indices into live state, so that a shortened list still makes sense;
//! * `generate`: random lists of steps over a tiny alphabet;
//! * `shrink`: makes a failing list short;
//! * `harness`: replays a list on an engine and the model and compares;
//! * `parts`: what parts of a value are;
//! * `report`: runs many seeds and prints the shortest list that fails, for steps of any kind.
//!
//! The kit knows no floor of the project: it is a dev-dependency of all of them.
mod generate;
mod harness;
mod kv_model;
mod ops;
mod parts;
mod quiet;
mod report;
mod seed;
mod shrink;
mod text;
mod versions;

pub use generate::{Mix, generate};
pub use harness::{Engine, Failure, Progress, replay};
pub use kv_model::{KvModel, KvOp, Pair, Span, successor};
pub use ops::{Limits, PickKey, PickOp, PickPrefix, PickSpan, PickTarget, Step, fill, resolve};
pub use parts::{clipped, parts_are_of};
pub use quiet::catch;
pub use report::{run, search};
pub use seed::{Plan, for_each_seed};
pub use shrink::shrink;
pub use text::{bytes_text, op_text, step_text};
pub use versions::Versions;
