// The vector instructions the kernels are written in. Nothing outside this file names an instruction set: a target supplies
// a vector `vec` of `LANES` floats, the size of the tiles of a product that its registers hold, and the operations below.
#pragma once

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>

typedef v128_t vec;
#define LANES 4
// Registers hold a tile of TILE_ROWS x TILE_VECS accumulators, one row of vectors and one scalar: 15 of the 16 of x86.
#define TILE_ROWS 6
#define TILE_VECS 2
#define POINTER_ROWS 1

#define LD(p) wasm_v128_load(p)
#define ST(p, a) wasm_v128_store(p, a)
#define SPLAT(x) wasm_f32x4_splat(x)
#define LD_SPLAT(p) wasm_v128_load32_splat(p)
#define ADD(a, b) wasm_f32x4_add(a, b)
#define SUB(a, b) wasm_f32x4_sub(a, b)
#define MUL(a, b) wasm_f32x4_mul(a, b)
#define DIV(a, b) wasm_f32x4_div(a, b)
#define NEG(a) wasm_f32x4_neg(a)
#define SQRT(a) wasm_f32x4_sqrt(a)
// A NaN in `a` stays, a NaN in `b` is dropped.
#define MAX(a, b) wasm_f32x4_pmax(a, b)
#define MIN(a, b) wasm_f32x4_pmin(a, b)

// a · b + c, rounded once where the machine can.
#ifdef __wasm_relaxed_simd__
#define FMA(a, b, c) wasm_f32x4_relaxed_madd(a, b, c)
#else
#define FMA(a, b, c) wasm_f32x4_add(wasm_f32x4_mul(a, b), c)
#endif

// `a` is computed here and later loads come later: otherwise the compiler gathers those of a whole loop body, and of several
// passes of it, and runs out of registers.
// There is no such instruction.
#define PREFETCH(p) (void)(p)
#define PREFETCH_WRITE(p) (void)(p)
#define PIN(a) __asm__ volatile("" : "+r"(a) : : "memory")

// A number in every lane, made outside the loop: engines build a vector literal anew, in four instructions, at every use.
static inline vec constant(float x) {
  vec a = SPLAT(x);
  __asm__("" : "+r"(a));
  return a;
}

// 2^k where `biased` holds MAGIC + k, k from -126 to 127; 0 for -127, infinity for 128. MAGIC = 1.5 · 2²³ pushes an integer
// into the low mantissa bits; shifted to the exponent and added to that of 1, k is what is left.
#define MAGIC 12582912.f
#define POW2(biased) wasm_i32x4_add(wasm_i32x4_shl(biased, 23), constant(1.f))

static inline float sum_lanes(vec a) {
  return (wasm_f32x4_extract_lane(a, 0) + wasm_f32x4_extract_lane(a, 2)) +
         (wasm_f32x4_extract_lane(a, 1) + wasm_f32x4_extract_lane(a, 3));
}

// The sums of the lanes of four vectors, in the order of sum_lanes.
static inline void sum_lanes4(vec a, vec b, vec c, vec d, float out[4]) {
  vec ab_lo = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), ab_hi = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7);
  vec cd_lo = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), cd_hi = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
  vec ab = ADD(ab_lo, ab_hi), cd = ADD(cd_lo, cd_hi);
  ST(out, ADD(wasm_i64x2_shuffle(ab, cd, 0, 2), wasm_i64x2_shuffle(ab, cd, 1, 3)));
}

// to[k · step + r] = from[r · stride + k], r and k below 4.
#define TRANSPOSE 4
static inline void transpose(const float *from, long stride, float *to, long step) {
  vec a = LD(from), b = LD(from + stride), c = LD(from + 2 * stride), d = LD(from + 3 * stride);
  vec ab_lo = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), ab_hi = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7);
  vec cd_lo = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), cd_hi = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
  ST(to, wasm_i64x2_shuffle(ab_lo, cd_lo, 0, 2));
  ST(to + step, wasm_i64x2_shuffle(ab_lo, cd_lo, 1, 3));
  ST(to + 2 * step, wasm_i64x2_shuffle(ab_hi, cd_hi, 0, 2));
  ST(to + 3 * step, wasm_i64x2_shuffle(ab_hi, cd_hi, 1, 3));
}

#define KERNEL_OF(type, name) __attribute__((export_name(#name))) type name
#define KERNEL(name) KERNEL_OF(void, name)

#else
#include "simdNative.h"
#endif

// Products of pairs of bfloat16 (each element holds two), where the machine has them.
#ifndef DOT_PAIRS
#define DOT_PAIRS(a, b, c) FMA(a, b, c)
#define HAS_PAIRS 0
#else
#define HAS_PAIRS 1
#endif
