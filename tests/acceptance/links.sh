#!/usr/bin/env bash
# Hard links: ln, cp -a, rsync -aH, tar, git clone --local, du and find inside clones; a clone has the links of a copy.
. "$(dirname "$0")/lib.sh"
HERE=$(realpath "$(dirname "$0")")
need git rsync tar python3 rustc
setup
source_tree "$(slice 400 6000)"

# links DIR: the names of each file that has several in it, one file a line, and its link count.
links() {
    (cd "$1" && find . ! -type d -printf '%i\t%n\t%p\n') | LC_ALL=C sort -t $'\t' -k3 |
        awk -F '\t' '{ names[$1] = names[$1] " " $3; count[$1] = $2; n[$1]++ }
            END { for (i in names) if (n[i] > 1 || count[i] > 1) print count[i] names[i] }' | LC_ALL=C sort
}
same_links() {
    diff <(links "$1") <(links "$2") >"$SCRATCH/diff.out" || { head -20 "$SCRATCH/diff.out" >&2; fail "links of $1 and $2 differ"; }
}
is() { [ "$2" = "$3" ] || fail "$1: $2, expected $3"; }
count() { stat -c %h "$1"; }
number() { stat -c %i "$1"; }

mkdir -p "$M/project/a/deep" "$M/project/b"
T=$M/project
echo one >"$T/a/one"
ln "$T/a/one" "$T/b/uno"
ln "$T/b/uno" "$T/a/deep/ein"
ln -s nowhere "$T/a/link" && ln -P "$T/a/link" "$T/b/link"
mkfifo "$T/a/pipe" && ln "$T/a/pipe" "$T/b/pipe"
is "links of a file" "$(count "$T/a/one") $(count "$T/b/uno") $(count "$T/a/deep/ein")" "3 3 3"
is "number" "$(number "$T/a/one")" "$(number "$T/a/deep/ein")"
echo two >>"$T/a/deep/ein"
is "content through another name" "$(cat "$T/b/uno" | tr '\n' ' ')" "one two "
chmod 600 "$T/b/uno"
is "mode through another name" "$(stat -c %a "$T/a/one")" 600
is "find -samefile" "$(find "$T" -samefile "$T/a/one" | wc -l)" 3
mv "$T/a/deep" "$T/b/moved" && mv "$T/b" "$M/b"
is "after moves" "$(count "$T/a/one") $(cat "$M/b/moved/ein" | wc -l)" "3 2"
mv "$M/b" "$T/b"
rm "$T/b/uno"
is "after a removal" "$(count "$T/a/one") $(count "$T/b/moved/ein")" "2 2"
exec 7<"$T/a/one"
rm "$T/a/one" "$T/b/moved/ein"
is "open without a name" "$(stat -L -c %h /proc/self/fd/7) $(cat <&7 | wc -l)" "0 2"
exec 7<&-
python3 - "$M" <<'PYTHON'
import errno, os, sys
os.chdir(sys.argv[1])
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(fd, b"nameless")
os.link(f"/proc/self/fd/{fd}", "named", src_dir_fd=fd, follow_symlinks=True)
os.link("named", "again")
assert (os.fstat(fd).st_nlink, os.stat("named").st_ino) == (2, os.stat("again").st_ino)
os.unlink("named"); os.unlink("again")
assert os.fstat(fd).st_nlink == 0
for wrong, names in ((errno.EPERM, ("project", "x")), (errno.EEXIST, ("project/b/pipe", "project/a/link"))):
    try: os.link(*names); raise SystemExit("linked")
    except OSError as e: assert e.errno == wrong, e
PYTHON
check_store
point "ln, mv, rm, open files, O_TMPFILE" "ok"

# Links within directories, across them, and out of what is cloned.
cp -r "$TREE" "$M/tree"
n=0
find "$M/tree" -type f | LC_ALL=C sort >"$SCRATCH/files"
mkdir -p "$M/tree/links/in" "$M/outside"
while IFS= read -r file; do
    n=$((n + 1))
    case $((n % 5)) in
        0) ln "$file" "$file.same" ;;
        1) ln "$file" "$M/tree/links/$n" && ln "$file" "$M/tree/links/in/$n" ;;
        2) ln "$file" "$M/outside/$n" ;;
        3) ln "$file" "$M/tree/links/$n" && ln "$file" "$M/outside/$n" ;;
    esac
done <"$SCRATCH/files"
cp -a "$M/tree" "$SCRATCH/shadow/tree"
point "cp -a out, $(links "$M/tree" | wc -l) files with several names" "$(took "$CAWFS" clone "$M/tree" "$M/clone") to clone"
same "$SCRATCH/shadow/tree" "$M/clone" times
same_links "$SCRATCH/shadow/tree" "$M/clone"
"$CAWFS" clone "$M/clone" "$M/clone/links/inner" && "$CAWFS" clone "$M/tree/links" "$M/two" "$M/three"
cp -a "$M/tree/links" "$SCRATCH/shadow/links"
same_links "$SCRATCH/shadow/tree" "$M/clone/links/inner"
same_links "$SCRATCH/shadow/links" "$M/two"
same_links "$SCRATCH/shadow/links" "$M/three"
is "du of the clone" "$(du -s --apparent-size "$M/two" | cut -f1)" "$(du -s --apparent-size "$M/three" | cut -f1)"
[ "$(du -s "$M/clone" | cut -f1)" -lt "$(du -sl "$M/clone" | cut -f1)" ] || fail "du counts each name"
file=$(find "$M/clone/links/in" -type f | sed -n 1p)
is "find -inum in a clone" "$(find "$M/clone" -path "$M/clone/links/inner" -prune -o -inum "$(number "$file")" -print | wc -l)" "$(count "$file")"
echo changed >>"$file"
same "$SCRATCH/shadow/tree" "$M/tree" times
cp -a "$M/tree/links" "$SCRATCH/shadow/again"
same_links "$SCRATCH/shadow/links" "$SCRATCH/shadow/again"
check_store
point "links of clones are those of cp -a" "ok"
counts() { find "$1" -type f -printf '%n %i\n' | LC_ALL=C sort | md5sum; }
before=$(counts "$M/tree/links")
mv "$M/tree/links" "$M/outside/links"
is "counts and numbers after a move out of the tree" "$(counts "$M/outside/links")" "$before"
"$CAWFS" rm "$M/tree"
cp -a "$M/outside" "$SCRATCH/shadow/outside"
same_links "$SCRATCH/shadow/outside" "$M/outside"
mkdir "$M/going" && echo x >"$M/going/x" && ln "$M/going/x" "$M/staying"
is "before a clone replaces a tree" "$(count "$M/staying")" 2
"$CAWFS" clone --replace "$M/outside" "$M/going"
is "after that" "$(count "$M/staying")" 1
same_links "$SCRATCH/shadow/outside" "$M/going"
"$CAWFS" clone --replace "$M/outside" "$M/clone"
check_store
rm -r "$M/outside" "$M/two" "$M/going"
"$CAWFS" rm "$M/clone"
same_links "$SCRATCH/shadow/links" "$M/three"
check_store
point "moved, replaced, removed" "ok"

cp -a "$SCRATCH/shadow/tree" "$M/copied"
same_links "$SCRATCH/shadow/tree" "$M/copied"
rsync -aH "$M/copied/" "$M/synced/"
same_links "$M/copied" "$M/synced"
rm -r "$M/synced/links/in" && rsync -aH --delete "$M/copied/" "$M/synced/"
same_links "$M/copied" "$M/synced"
mkdir "$M/untarred" && tar --format=posix -C "$M/copied" -cf - . | tar -C "$M/untarred" -xf -
same "$M/copied" "$M/untarred" times
same_links "$M/copied" "$M/untarred"
point "cp -a, rsync -aH, tar" "ok"

mkdir -p "$M"/busy/{p,q,r}/{x,y,z}
for seed in 1 2 3; do CAWFS=$CAWFS python3 "$HERE/links.py" stress "$M/busy" $seed "$(slice 6 60)" & done
for job in $(jobs -p); do wait "$job" || fail "a process that links and moves failed"; done
busy=$(python3 "$HERE/links.py" count "$M/busy") || fail "$busy"
check_store
python3 "$HERE/links.py" count "$M/busy" >/dev/null
point "three processes that link, move and clone" "$busy"
"$CAWFS" rm "$M/busy"

export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
cp -r "$TREE" "$M/repo"
git init -q -b main "$M/repo" && git -C "$M/repo" add -A && git -C "$M/repo" commit -q -m start
git clone -q --local "$M/repo" "$M/local"
object=$(cd "$M/repo/.git/objects" && find ?? -type f | sed -n 1p)
is "an object of both" "$(number "$M/repo/.git/objects/$object")" "$(number "$M/local/.git/objects/$object")"
"$CAWFS" clone "$M/local" "$M/third"
for repo in repo local third; do git -C "$M/$repo" fsck --full --strict --no-progress; done
"$CAWFS" rm "$M/repo"
git -C "$M/local" gc -q --prune=now
git -C "$M/local" fsck --full --no-progress && git -C "$M/third" fsck --full --no-progress
remount
same_links "$SCRATCH/shadow/tree" "$M/copied"
git -C "$M/third" fsck --full --no-progress
stop
"$CAWFS" check --deep "$SCRATCH/store" >"$SCRATCH/check.out" || fail "cawfs check --deep: $(cat "$SCRATCH/check.out")"
"$CAWFS" check --salvage "$SCRATCH/saved" "$SCRATCH/store" >/dev/null
same_links "$SCRATCH/shadow/tree" "$SCRATCH/saved/copied"
same "$SCRATCH/shadow/tree" "$SCRATCH/saved/copied" times
start
check_store
point "git clone --local, gc; remount, check, salvage" "ok"
