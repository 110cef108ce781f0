// Vectors of neighbouring channels, in float; loaded from and stored to float or bfloat16.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int L = 16;
#else
constexpr int L = 8;
#endif
constexpr int BLOCK = 2 * L;  // channels computed together
constexpr int PIXELS = 8;     // neighbouring pixels computed together: 2 * 8 accumulators hide the latency

typedef float V __attribute__((vector_size(4 * L)));
typedef uint32_t U __attribute__((vector_size(4 * L)));
typedef uint16_t H __attribute__((vector_size(2 * L)));
struct bfloat16 { uint16_t bits; };

static inline V load(const float* p) { V v; memcpy(&v, p, sizeof v); return v; }
static inline void store(float* p, V v) { memcpy(p, &v, sizeof v); }
static inline V load(const bfloat16* p) {
  H h; memcpy(&h, p, sizeof h);
  U u = __builtin_convertvector(h, U) << 16;
  V v; memcpy(&v, &u, sizeof v); return v;
}
static inline void store(bfloat16* p, V v) {  // round to nearest, ties to even
#if defined(__AVX512BF16__)
  auto h = _mm512_cvtneps_pbh((__m512)v);
  memcpy(p, &h, sizeof h);
#else
  U u; memcpy(&u, &v, sizeof u);
  u = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  H h = __builtin_convertvector(u, H); memcpy(p, &h, sizeof h);
#endif
}
// Two vectors of neighbouring channels: of bfloat16, one whole line of the cache.
static inline void store(float* p, V a, V b) { store(p, a), store(p + L, b); }
static inline void store(bfloat16* p, V a, V b) {
#if defined(__AVX512BF16__)
  auto h = _mm512_cvtne2ps_pbh((__m512)b, (__m512)a);
  memcpy(p, &h, sizeof h);
#else
  store(p, a), store(p + L, b);
#endif
}
static inline V zero() { return V{}; }
#if defined(__AVX512F__)
typedef __mmask16 M;  // one bit a lane
static inline V relu(V x) { return (V)_mm512_max_ps((__m512)x, _mm512_setzero_ps()); }
static inline M above_zero(V x) { return _mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(), _CMP_GT_OQ); }
static inline V add_where(M m, V sum, V x) { return (V)_mm512_mask_add_ps((__m512)sum, m, (__m512)sum, (__m512)x); }
static inline V add_product_where(M m, V sum, V x, V y) {
  return (V)_mm512_mask3_fmadd_ps((__m512)x, (__m512)y, (__m512)sum, m);
}
#else
typedef int32_t M __attribute__((vector_size(4 * L)));
static inline V relu(V x) { return x > zero() ? x : zero(); }
static inline M above_zero(V x) { return x > zero(); }
static inline V add_where(M m, V sum, V x) { return sum + (m ? x : zero()); }
static inline V add_product_where(M m, V sum, V x, V y) { return sum + (m ? x * y : zero()); }
#endif
static inline V root(V x) { for (int i = 0; i < L; i++) x[i] = __builtin_sqrtf(x[i]); return x; }
