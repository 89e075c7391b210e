"""Builds of small C programs: generation n is built in the folder n, run, synced; the last ones are kept, and run again."""
import os, subprocess

FILES, KEPT = 6, 4


def expected(n):
    return sum(n * k + k for k in range(FILES)) % 1_000_007


def write(folder, n):
    names = range(FILES)
    for k in names:
        with open(f"{folder}/part{k}.c", "w") as file:
            file.write(f"long part{k}(void) {{ return {n}L * {k} + {k}; }}\n")
    with open(f"{folder}/main.c", "w") as file:
        file.write("#include <stdio.h>\n" + "".join(f"long part{k}(void);\n" for k in names))
        file.write(f"int main(void) {{ printf(\"%ld\\n\", ({' + '.join(f'part{k}()' for k in names)}) % 1000007); return 0; }}\n")


def build(site, folder):
    names = [f"part{k}" for k in range(FILES)] + ["main"]
    for name in names:
        site.run("cc", "-O0", "-c", f"{name}.c", "-o", f"{name}.o", cwd=folder)
    site.run("cc", "-o", "program", *(f"{name}.o" for name in names), cwd=folder)


def answer(folder):
    return int(subprocess.run([f"{folder}/program"], stdout=subprocess.PIPE, check=True).stdout)


def work(site):
    site.begin()
    n = site.last("begun") + 1
    for _ in site.rounds():
        folder, copy = f"{site.folder}/{n}", f"{site.folder}/clone-{n}"
        site.log("begun", n)
        site.remove(folder, copy)
        os.makedirs(folder)
        write(folder, n)
        build(site, folder)
        assert answer(folder) == expected(n), f"{folder}: wrong answer"
        # Another one, from a clone in which all sources change.
        site.clone(folder, copy)
        write(copy, n + 1)
        build(site, copy)
        assert answer(copy) == expected(n + 1) and answer(folder) == expected(n), f"{copy}: not independent"
        site.log("removed", n - KEPT)
        site.remove(f"{site.folder}/{n - KEPT}", f"{site.folder}/clone-{n - KEPT}")
        site.sync()
        site.log("done", n)
        n += 1


def verify(site):
    done, removed = site.last("done"), site.last("removed")
    finished = {int(line[1]) for line in site.logged() if line[0] == "done"}
    for n in sorted(n for n in finished if n > removed):
        folder, copy = f"{site.folder}/{n}", f"{site.folder}/clone-{n}"
        assert answer(folder) == expected(n), f"{folder}: wrong answer"
        assert answer(copy) == expected(n + 1), f"{copy}: wrong answer"
    return f"{done + 1} builds acknowledged"
