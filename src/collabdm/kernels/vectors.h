// Vectors of neighbouring channels, in float; loaded from and stored to float or bfloat16.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__AVX512BF16__)
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
static inline V zero() { return V{}; }
static inline V positive(V y, V x) { return y > zero() ? x : zero(); }  // x where y > 0, else 0
static inline V root(V x) { for (int i = 0; i < L; i++) x[i] = __builtin_sqrtf(x[i]); return x; }
