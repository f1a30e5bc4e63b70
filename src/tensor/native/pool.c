// Memory and threads of the native target. A kernel is cut into parts; whoever is free takes the next one, so that the caller
// never waits for a thread that the machine has not woken up yet. Threads look for work for a moment and then sleep.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_ARGUMENTS 24
// About 50 µs.
#define SPINS 2000

#if defined(__x86_64__)
#define RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ volatile("yield")
#else
#define RELAX() (void)0
#endif

// A kernel with its arguments unpacked from doubles; kernelCalls.h lists them all (written by build.ts from the sources).
typedef void (*kernel_call)(int t, int nt, float *scratch, const double *arguments);
typedef double (*value_call)(const double *arguments);
#include "kernelCalls.h"

typedef struct {
  // Which job, and in the lowest 8 bits how many of its parts nobody has taken.
  _Alignas(64) atomic_ulong ticket;
  _Alignas(64) atomic_int pending;
  _Alignas(64) atomic_int asleep;
  atomic_int stop;
  kernel_call kernel;
  int parts;
  char *scratch;
  size_t scratch_stride;
  double arguments[MAX_ARGUMENTS];
  int threads;
  pthread_t *workers;
  pthread_mutex_t mutex;
  pthread_cond_t work;
} pool;

typedef struct { pool *pool; int thread; } start;

#define LEFT(ticket) ((int)((ticket) & 255))

// Takes parts of the job of `ticket` until none is left. What it reads is of this job if the ticket is still there to take:
// the next job is described only when all parts of this one are finished.
static void take_parts(pool *p, unsigned long ticket, int thread) {
  while (LEFT(ticket) > 0) {
    kernel_call kernel = p->kernel;
    int parts = p->parts;
    float *scratch = (float *)(p->scratch + (size_t)thread * p->scratch_stride);
    if (!atomic_compare_exchange_weak(&p->ticket, &ticket, ticket - 1)) continue;
    kernel(LEFT(ticket) - 1, parts, scratch, p->arguments);
    atomic_fetch_sub(&p->pending, 1);
    ticket = atomic_load(&p->ticket);
  }
}

static void *work(void *argument) {
  start *s = argument;
  pool *p = s->pool;
  int thread = s->thread;
  free(s);
  for (;;) {
    unsigned long ticket = atomic_load(&p->ticket);
    for (int i = 0; i < SPINS && LEFT(ticket) == 0; i++) {
      RELAX();
      ticket = atomic_load_explicit(&p->ticket, memory_order_acquire);
    }
    if (LEFT(ticket) == 0) {
      pthread_mutex_lock(&p->mutex);
      atomic_fetch_add(&p->asleep, 1);
      while (LEFT(ticket = atomic_load(&p->ticket)) == 0 && !atomic_load(&p->stop)) pthread_cond_wait(&p->work, &p->mutex);
      atomic_fetch_sub(&p->asleep, 1);
      pthread_mutex_unlock(&p->mutex);
    }
    if (atomic_load(&p->stop)) return 0;
    take_parts(p, ticket, thread);
  }
}

// A pool of `threads` threads, the caller's included; 0 when the system refuses one.
EXPORT double keel_open(int threads) {
  pool *p = aligned_alloc(64, (sizeof(pool) + 63) / 64 * 64);
  if (!p) return 0;
  memset(p, 0, sizeof *p);
  p->threads = threads;
  p->workers = calloc((size_t)threads, sizeof(pthread_t));
  pthread_mutex_init(&p->mutex, 0);
  pthread_cond_init(&p->work, 0);
  for (int i = 1; i < threads; i++) {
    start *s = malloc(sizeof *s);
    *s = (start){p, i};
    if (pthread_create(&p->workers[i], 0, work, s)) return 0;
  }
  return (double)(uintptr_t)p;
}

EXPORT void keel_close(double address) {
  pool *p = (pool *)(uintptr_t)address;
  pthread_mutex_lock(&p->mutex);
  atomic_store(&p->stop, 1);
  pthread_cond_broadcast(&p->work);
  pthread_mutex_unlock(&p->mutex);
  for (int i = 1; i < p->threads; i++) pthread_join(p->workers[i], 0);
  pthread_mutex_destroy(&p->mutex);
  pthread_cond_destroy(&p->work);
  free(p->workers);
  free(p);
}

EXPORT void keel_scratch(double address, double scratch, double stride) {
  pool *p = (pool *)(uintptr_t)address;
  p->scratch = (char *)(uintptr_t)scratch;
  p->scratch_stride = (size_t)stride;
}

// Runs kernel number `kernel` in `parts` parts; in one part, on the caller alone.
EXPORT void keel_run(double address, int kernel, int parts, const double *arguments) {
  pool *p = (pool *)(uintptr_t)address;
  if (parts == 1) {
    kernel_calls[kernel](0, 1, (float *)p->scratch, arguments);
    return;
  }
  memcpy(p->arguments, arguments, sizeof p->arguments);
  p->kernel = kernel_calls[kernel];
  p->parts = parts;
  unsigned long ticket = (atomic_load(&p->ticket) & ~255ul) + 256 + (unsigned long)parts;
  atomic_store(&p->pending, parts);
  atomic_store(&p->ticket, ticket);
  if (atomic_load(&p->asleep) > 0) {
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mutex);
  }
  take_parts(p, ticket, 0);
  // The last parts are under way: no longer than the kernel itself, unless their thread was put aside.
  for (int i = 0; atomic_load(&p->pending) > 0; i++) i < SPINS ? RELAX() : (void)sched_yield();
}

EXPORT double keel_ask(int value, const double *arguments) { return value_calls[value](arguments); }

// Memory comes from the system in pages of 2 MiB where it has them: with pages of 4 KiB a step spends its time on their tables.
#define PAGE (1l << 21)

// `bytes`, a multiple of PAGE; 0 when the system refuses.
EXPORT double keel_map(double bytes) {
  size_t n = (size_t)bytes;
  char *from = mmap(0, n + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (from == MAP_FAILED) return 0;
  char *at = (char *)(((uintptr_t)from + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
  if (at > from) munmap(from, (size_t)(at - from));
  if (from + PAGE > at) munmap(at + n, (size_t)(from + PAGE - at));
#ifdef MADV_HUGEPAGE
  madvise(at, n, MADV_HUGEPAGE);
#endif
  return (double)(uintptr_t)at;
}

EXPORT void keel_unmap(double pointer, double bytes) { munmap((void *)(uintptr_t)pointer, (size_t)bytes); }

// Gives the whole pages of a freed block back to the system; they come back as zeros when they are used again.
EXPORT void keel_release(double pointer, double bytes) {
  uintptr_t begin = ((uintptr_t)pointer + PAGE - 1) & ~(uintptr_t)(PAGE - 1), end = (uintptr_t)(pointer + bytes) & ~(uintptr_t)(PAGE - 1);
  if (begin < end) madvise((void *)begin, end - begin, MADV_DONTNEED);
}

EXPORT void keel_write(double to, const void *from, double bytes) { memcpy((void *)(uintptr_t)to, from, (size_t)bytes); }
EXPORT void keel_read(void *to, double from, double bytes) { memcpy(to, (void *)(uintptr_t)from, (size_t)bytes); }
