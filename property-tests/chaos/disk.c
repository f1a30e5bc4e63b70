// LD_PRELOAD, Linux: counts what the process changes on the disk below $CHAOS_UNDER, but heartbeats, and ends it (SIGKILL) before change
// number $CHAOS_AT; of a write with $CHAOS_TORN, half-way. $CHAOS_LOG gets a line for each: the call and its path.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

static atomic_int count;

static int ours(const char *path) {
  const char *under = getenv("CHAOS_UNDER");
  size_t n = strlen(path);
  return under && strstr(path, under) && !(n > 5 && strcmp(path + n - 5, "/beat") == 0);
}

static const char *path_of(int fd, char *buffer) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, buffer, PATH_MAX - 1);
  buffer[n < 0 ? 0 : n] = 0;
  return buffer;
}

static void end(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

// Whether a write has to be cut.
static int change(const char *call, const char *path) {
  int me = atomic_fetch_add(&count, 1);
  const char *log = getenv("CHAOS_LOG"), *at = getenv("CHAOS_AT");
  if (log) {
    char line[PATH_MAX + 64];
    int n = snprintf(line, sizeof line, "%s %s\n", call, path), fd = REAL(open)(log, O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (REAL(write)(fd, line, n) < 0) abort();
    close(fd);
  }
  if (!at || me != atoi(at)) return 0;
  if (getenv("CHAOS_TORN")) return 1;
  end();
  return 0;
}

#define CHANGES(name, parameters, path, arguments) \
  int name parameters { \
    if (ours(path)) change(#name, path); \
    return REAL(name) arguments; \
  }
CHANGES(unlink, (const char *path), path, (path))
CHANGES(rmdir, (const char *path), path, (path))
CHANGES(mkdir, (const char *path, mode_t mode), path, (path, mode))
CHANGES(rename, (const char *from, const char *to), to, (from, to))
CHANGES(unlinkat, (int folder, const char *path, int flags), path, (folder, path, flags))

#define OPENS(name) \
  int name(const char *path, int flags, ...) { \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0; \
    va_end(more); \
    if (flags & (O_CREAT | O_TRUNC) && ours(path)) change("open", path); \
    return REAL(name)(path, flags, mode); \
  }
OPENS(open)
OPENS(open64)

#define WRITES(name, parameters, rest) \
  ssize_t name parameters { \
    char buffer[PATH_MAX]; \
    if (fd > 2 && ours(path_of(fd, buffer)) && change("write", buffer)) { \
      size_t size = n; \
      n = size / 2; \
      if (REAL(name) rest < 0) abort(); \
      end(); \
    } \
    return REAL(name) rest; \
  }
WRITES(write, (int fd, const void *bytes, size_t n), (fd, bytes, n))
WRITES(pwrite, (int fd, const void *bytes, size_t n, off_t at), (fd, bytes, n, at))
WRITES(pwrite64, (int fd, const void *bytes, size_t n, off_t at), (fd, bytes, n, at))
