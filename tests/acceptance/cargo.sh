#!/usr/bin/env bash
# cargo inside the mount: build and test of a small crate, and an incremental build in a clone.
. "$(dirname "$0")/lib.sh"
need cargo rustc
setup
export CARGO_NET_OFFLINE=true
unset CARGO_TARGET_DIR

mkdir -p "$M/small/src" "$M/small/tests"
printf '[package]\nname = "small"\nversion = "0.1.0"\nedition = "2024"\n' >"$M/small/Cargo.toml"
printf 'pub mod words;\npub fn twice(n: u64) -> u64 { n * 2 }\n' >"$M/small/src/lib.rs"
printf 'pub fn count(text: &str) -> usize { text.split_whitespace().count() }\n' >"$M/small/src/words.rs"
printf 'fn main() { println!("{} {}", small::twice(21), small::words::count("a b c")); }\n' >"$M/small/src/main.rs"
printf '#[test]\nfn works() { assert_eq!(small::twice(2), 4); }\n' >"$M/small/tests/works.rs"

in_crate() { (cd "$1" && shift && "$@"); }
# What cargo says is only shown when it fails.
quiet_in() { in_crate "$@" >"$SCRATCH/cargo.out" 2>&1 || { cat "$SCRATCH/cargo.out" >&2; return 1; }; }
point "cargo build" "$(took quiet_in "$M/small" cargo build -q)"
[ "$(in_crate "$M/small" cargo run -q)" = "42 3" ] || fail "the program printed something else"
point "cargo test" "$(took quiet_in "$M/small" cargo test -q)"

"$CAWFS" clone "$M/small" "$M/other"
printf 'pub mod words;\npub fn twice(n: u64) -> u64 { n + n + 0 }\n' >"$M/other/src/lib.rs"
point "incremental build and test in a clone" "$(took quiet_in "$M/other" cargo test -q)"
[ "$(in_crate "$M/small" cargo run -q --offline)" = "42 3" ] || fail "the original changed"
check_store
[ "$("$M/small/target/debug/small")" = "42 3" ] || fail "the program does not run after a remount"
point "runs after a remount; check is clean" "ok"
