/** The shell script that makes the root folder of a sandbox out of mounts and runs the program in it. */
import { lstatSync, statSync } from "node:fs"
import { dirname } from "node:path"
import type { Sandboxed } from "./program.ts"

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

const kind = (path: string): "link" | "folder" | "file" | null => {
  const found = lstatSync(path, { throwIfNoEntry: false })
  return found === undefined ? null : found.isSymbolicLink() ? "link" : found.isDirectory() ? "folder" : "file"
}

/** Folders of the system that interpreters load libraries from. */
const system: ReadonlyArray<string> = ["/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store"]

/** Bytes of the files that a program writes, and the number of them. */
const disk = { size: "64m", files: 4096 }

/**
 * Run as process 1 of new namespaces, by root of the machine or of a user namespace. In a `tmpfs` that no other process sees, over `/sys`:
 * the folders of the system and of the interpreter, read-only; `/dev/null`; an empty `/tmp`. Neither `/proc` nor `/sys` nor `/etc`. The old
 * root is unmounted. The program runs in a bind mount of the new root: a process whose root is not the root of its namespace may not make
 * user namespaces (`create_user_ns` of Linux), and so gets no capability back. `user` is a number that no account of the machine has, where
 * the machine's root runs Keel: for root and root's files there would be no limit of processes and no permission.
 */
export const script = (
  { command, files = [], input, limits, reads = [] }: Sandboxed,
  user: number | null
): string => {
  const shown = [...system, ...reads.filter((path) => !system.some((one) => `${path}/`.startsWith(`${one}/`)))]
  const bound = shown.filter((path) => kind(path) === "folder" || (kind(path) !== null && !system.includes(path)))
  const links = system.filter((path) => kind(path) === "link")
  const isFile = (path: string): boolean => statSync(path).isFile()
  const inside = (path: string): string => quoted(path.slice(1))
  const folders = bound.map((path) => inside(isFile(path) ? dirname(path) : path))
  const mebibytes = (n: number): number => Math.ceil(n * 2 ** 20)
  const identity = user === null ? "" : `--reuid ${user} --regid ${user} --clear-groups`
  return `set -e
umask 022
PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec 9<&0
echo 1000 > /proc/self/oom_score_adj || :
mount -t tmpfs -o size=${disk.size},nr_inodes=${disk.files},mode=755,nosuid,nodev keel /sys
cd /sys
mkdir -p old jail proc etc tmp dev ${folders.join(" ")}
${links.length === 0 ? "" : `cp -P ${links.join(" ")} .`}
cp /etc/ld.so.cache etc || :
chmod 1777 tmp
: > dev/null
${bound.filter(isFile).map((path) => `: > ${inside(path)}`).join("\n")}
${files.map(({ name }, i) => `cat <&${4 + i} > ${inside(name)}\nexec ${4 + i}<&-`).join("\n")}
${input === undefined ? "" : "cat <&9 > dev/stdin\nexec 9< dev/stdin"}
mount --rbind /proc proc
${bound.map((path) => `mount --rbind -o ro,nosuid,nodev ${quoted(path)} ${inside(path)}`).join("\n")}
mount --bind /dev/null dev/null
pivot_root . old
cd /
umount -l /old /proc
mount --rbind / /jail
unset PWD OLDPWD
chroot /jail setpriv ${identity} --no-new-privs --bounding-set=-all --inh-caps=-all \\
  prlimit --cpu=${limits.seconds} --data=${mebibytes(limits.memory)} --nproc=${limits.processes} --nofile=64 \\
  --fsize=${mebibytes(16)} --core=0 --memlock=0 --msgqueue=0 \\
  ${command.map(quoted).join(" ")} <&9 9<&- &
exec 9<&-
wait $!
`
}
