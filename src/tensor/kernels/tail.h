// The last elements of a row that do not fill a vector. A target may supply masked instructions for it in simd.h (LD_PART and
// ST_PART); otherwise they pass through memory on the stack.
#pragma once

#include "kernel.h"

#ifndef LD_PART
// n < LANES elements from `from`, zeros after them.
static inline vec load_part(const float *from, long n) {
  float lanes[LANES];
  for (long i = 0; i < LANES; i++) lanes[i] = i < n ? from[i] : 0;
  return LD(lanes);
}
// The first n lanes to `to`.
static inline void store_part(float *to, vec a, long n) {
  float lanes[LANES];
  ST(lanes, a);
  for (long i = 0; i < n; i++) to[i] = lanes[i];
}
#define LD_PART(p, n) load_part(p, n)
#define ST_PART(p, a, n) store_part(p, a, n)
#endif

// The first n lanes of a vector; the others are `rest`.
INLINE vec first_lanes(vec a, long n, float rest) {
  float lanes[LANES];
  ST(lanes, a);
  for (long i = n; i < LANES; i++) lanes[i] = rest;
  return LD(lanes);
}
