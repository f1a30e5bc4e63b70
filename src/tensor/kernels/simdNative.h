// The instructions of the machine that the kernels are compiled on: AVX-512, AVX2 with FMA, or NEON.
#pragma once

// The compiler keeps tiles in registers here by itself.
#define PIN(a)
#define constant(x) SPLAT(x)
#define PREFETCH(p) __builtin_prefetch(p)
#define PREFETCH_WRITE(p) __builtin_prefetch(p, 1)
#define MAGIC 12582912.f

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#include <immintrin.h>

typedef __m512 vec;
#define LANES 16
// 28 of 32 registers are sums, 2 the row of B; scalars of A are broadcast by the multiplication itself.
#define TILE_ROWS 14
#define TILE_VECS 2

#define LD(p) _mm512_loadu_ps(p)
#define ST(p, a) _mm512_storeu_ps(p, a)
#define FIRST(n) ((__mmask16)((1u << (n)) - 1))
#define LD_PART(p, n) _mm512_maskz_loadu_ps(FIRST(n), p)
#define ST_PART(p, a, n) _mm512_mask_storeu_ps(p, FIRST(n), a)
#define SPLAT(x) _mm512_set1_ps(x)
#define LD_SPLAT(p) _mm512_set1_ps(*(p))
#define ADD(a, b) _mm512_add_ps(a, b)
#define SUB(a, b) _mm512_sub_ps(a, b)
#define MUL(a, b) _mm512_mul_ps(a, b)
#define DIV(a, b) _mm512_div_ps(a, b)
#define NEG(a) _mm512_xor_ps(a, _mm512_set1_ps(-0.f))
#define SQRT(a) _mm512_sqrt_ps(a)
#define MAX(a, b) _mm512_max_ps(b, a)
#define MIN(a, b) _mm512_min_ps(b, a)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define POW2(biased)                                                                                 \
  _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(biased), 23), \
                                       _mm512_castps_si512(_mm512_set1_ps(1.f))))

static inline __m256 halves(vec a) {
  return _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
}

#ifdef __AVX512BF16__
#define DOT_PAIRS(a, b, c) _mm512_dpbf16_ps(c, (__m512bh)(a), (__m512bh)(b))
// (a[i], b[i]) in each element, rounded to the nearest.
#define PAIRS_ACROSS(a, b) pairs_of(a, b)
static inline vec pairs_of(vec a, vec b) {
  __m512i both = (__m512i)_mm512_cvtne2ps_pbh(b, a);
  const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                                              20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_castsi512_ps(_mm512_permutexvar_epi16(interleave, both));
}
// The pairs of up to 2 · LANES floats that follow each other, of which n are there.
static inline void ST_PAIRS_ALONG(float *to, const float *from, long n) {
  __mmask16 low = n >= 16 ? 0xffff : FIRST(n), high = n >= 32 ? 0xffff : n > 16 ? FIRST(n - 16) : 0;
  __m512 a = _mm512_maskz_loadu_ps(low, from), b = _mm512_maskz_loadu_ps(high, from + 16);
  long pairs = (n + 1) / 2;
  ST_PART(to, _mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(b, a)), pairs < 16 ? pairs : 16);
}
#endif

#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

typedef __m256 vec;
#define LANES 8
// 12 of 16 registers are sums, 2 the row of B, 1 a scalar of A.
#define TILE_ROWS 6
#define TILE_VECS 2

#define LD(p) _mm256_loadu_ps(p)
#define ST(p, a) _mm256_storeu_ps(p, a)
#define SPLAT(x) _mm256_set1_ps(x)
#define LD_SPLAT(p) _mm256_broadcast_ss(p)
#define ADD(a, b) _mm256_add_ps(a, b)
#define SUB(a, b) _mm256_sub_ps(a, b)
#define MUL(a, b) _mm256_mul_ps(a, b)
#define DIV(a, b) _mm256_div_ps(a, b)
#define NEG(a) _mm256_xor_ps(a, _mm256_set1_ps(-0.f))
#define SQRT(a) _mm256_sqrt_ps(a)
#define MAX(a, b) _mm256_max_ps(b, a)
#define MIN(a, b) _mm256_min_ps(b, a)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define POW2(biased)                                                                                 \
  _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(biased), 23), \
                                       _mm256_castps_si256(_mm256_set1_ps(1.f))))

static inline __m256 halves(vec a) { return a; }

#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>

typedef float32x4_t vec;
#define LANES 4
// 24 of 32 registers are sums, 4 the row of B.
#define TILE_ROWS 6
#define TILE_VECS 4
#define POINTER_ROWS 1

#define LD(p) vld1q_f32(p)
#define ST(p, a) vst1q_f32(p, a)
#define SPLAT(x) vdupq_n_f32(x)
#define LD_SPLAT(p) vld1q_dup_f32(p)
#define ADD(a, b) vaddq_f32(a, b)
#define SUB(a, b) vsubq_f32(a, b)
#define MUL(a, b) vmulq_f32(a, b)
#define DIV(a, b) vdivq_f32(a, b)
#define NEG(a) vnegq_f32(a)
#define SQRT(a) vsqrtq_f32(a)
#define MAX(a, b) vbslq_f32(vcltq_f32(a, b), b, a)
#define MIN(a, b) vbslq_f32(vcltq_f32(b, a), b, a)
#define FMA(a, b, c) vfmaq_f32(c, a, b)
#define POW2(biased) \
  vreinterpretq_f32_s32(vaddq_s32(vshlq_n_s32(vreinterpretq_s32_f32(biased), 23), vreinterpretq_s32_f32(vdupq_n_f32(1.f))))

static inline float sum_lanes(vec a) { return vaddvq_f32(a); }
static inline void sum_lanes4(vec a, vec b, vec c, vec d, float out[4]) {
  vst1q_f32(out, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
}

#define TRANSPOSE 4
static inline void transpose(const float *from, long stride, float *to, long step) {
  float32x4x2_t ab = vtrnq_f32(vld1q_f32(from), vld1q_f32(from + stride));
  float32x4x2_t cd = vtrnq_f32(vld1q_f32(from + 2 * stride), vld1q_f32(from + 3 * stride));
  vst1q_f32(to, vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0])));
  vst1q_f32(to + step, vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1])));
  vst1q_f32(to + 2 * step, vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0])));
  vst1q_f32(to + 3 * step, vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1])));
}

#else
#error "simdNative.h: no vector instructions for this processor"
#endif

#ifdef __x86_64__
// Four addresses are near one pointer: itself and one, two or three times the stride.
#define POINTER_ROWS 4

static inline __m128 quarters(vec a) {
  __m256 h = halves(a);
  return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}
static inline float sum_lanes(vec a) {
  __m128 q = quarters(a), pairs = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
}
static inline void sum_lanes4(vec a, vec b, vec c, vec d, float out[4]) {
  __m128 w = quarters(a), x = quarters(b), y = quarters(c), z = quarters(d);
  _MM_TRANSPOSE4_PS(w, x, y, z);
  _mm_storeu_ps(out, _mm_add_ps(_mm_add_ps(w, y), _mm_add_ps(x, z)));
}

// to[k · step + r] = from[r · stride + k], r and k below 8.
#define TRANSPOSE 8
static inline void transpose(const float *from, long stride, float *to, long step) {
  __m256 r[8], p[8];
#define HALVES(i) _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from + (i) * stride)), _mm_loadu_ps(from + ((i) + 4) * stride), 1)
#define LATER(i) _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from + (i) * stride + 4)), _mm_loadu_ps(from + ((i) + 4) * stride + 4), 1)
  for (int i = 0; i < 4; i++) r[i] = HALVES(i), r[i + 4] = LATER(i);
#undef HALVES
#undef LATER
  for (int i = 0; i < 8; i += 4) {
    p[i] = _mm256_unpacklo_ps(r[i], r[i + 1]), p[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    p[i + 2] = _mm256_unpacklo_ps(r[i + 2], r[i + 3]), p[i + 3] = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
    float *at = to + i * step;
    _mm256_storeu_ps(at, _mm256_shuffle_ps(p[i], p[i + 2], 0x44));
    _mm256_storeu_ps(at + step, _mm256_shuffle_ps(p[i], p[i + 2], 0xee));
    _mm256_storeu_ps(at + 2 * step, _mm256_shuffle_ps(p[i + 1], p[i + 3], 0x44));
    _mm256_storeu_ps(at + 3 * step, _mm256_shuffle_ps(p[i + 1], p[i + 3], 0xee));
  }
}
#endif

#define KERNEL_OF(type, name) static type name
#define KERNEL(name) KERNEL_OF(void, name)
