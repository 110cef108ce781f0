// The first block with its three products in bfloat16 on matrix tiles (AMX): 32 taps, filled up with zeros, and 32
// channels at a time.
#pragma once
#if defined(__AMX_BF16__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "first.h"

constexpr int TAPS = 32;   // the depth of one tile product
constexpr int STEP = 32;   // pixels computed together: two tiles of 16 rows
static_assert(BLOCK == 32);

// The tiles of this thread, as they were before given back at the end: others (oneDNN) keep theirs between calls.
struct Tiles {
  alignas(64) unsigned char before[64];
  static bool allowed() {
    static const bool ok = syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) == 0;
    return ok;
  }
  Tiles() {
    alignas(64) unsigned char ours[64] = {1};
    for (int t = 0; t < 8; t++) ours[16 + 2 * t] = 64, ours[48 + t] = 16;  // 16 rows of 64 bytes
    _tile_storeconfig(before);
    _tile_loadconfig(ours);
  }
  ~Tiles() { before[0] ? _tile_loadconfig(before) : _tile_release(); }
};

static inline uint16_t rounded(float x) {
  uint32_t u; memcpy(&u, &x, sizeof u);
  return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

// 16 rows of 16 values become columns.
static inline void transpose(__m512* r) {
  __m512 t[16];
  for (int i = 0; i < 16; i += 2) t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]), t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; j++) {
      __m512d a = (__m512d)t[i + j], b = (__m512d)t[i + 2 + j];
      r[i + 2 * j] = (__m512)_mm512_unpacklo_pd(a, b), r[i + 2 * j + 1] = (__m512)_mm512_unpackhi_pd(a, b);
    }
  for (int i = 0; i < 4; i++) {
    __m512 a = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88), b = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
    __m512 c = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88), d = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    t[i] = _mm512_shuffle_f32x4(a, c, 0x88), t[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
    t[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88), t[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
  }
  for (int i = 0; i < 16; i++) r[i] = t[i];
}

struct First {  // one thread's scratch for the first convolution on tiles
  int taps, pixels, filled;  // `filled`: pixels rounded up to whole steps
  std::vector<uint16_t> image, patches, by_tap, weights, transposed, gz, pairs;
  std::vector<float> columns;
  std::vector<M> active;

  // weights [taps, channels]: pairs of taps for `convolve`, pairs of channels for `add_columns`
  First(Padded in, Shape s, const float* given) : taps(in.taps()), pixels(s.pixels()) {
    filled = (pixels + STEP - 1) / STEP * STEP;
    image.resize(in.size() + 8);
    patches.resize((size_t)filled * TAPS);
    weights.resize((size_t)TAPS * s.channels);
    transposed.resize((size_t)TAPS * s.channels);
    gz.resize((size_t)filled * s.channels);  // by blocks; what is beyond the pixels stays 0
    active.resize(2 * (size_t)pixels);
    for (int k = 0; k < taps; k++)
      for (int c = 0; c < s.channels; c++) {
        uint16_t w = rounded(given[(size_t)k * s.channels + c]);
        weights[(size_t)(c / 16) * 16 * TAPS + (k / 2) * 32 + (c % 16) * 2 + k % 2] = w;
        transposed[(size_t)(c / BLOCK) * BLOCK * TAPS + (k / 16) * 512 + (c % BLOCK / 2) * 32 + (k % 16) * 2 + c % 2] = w;
      }
  }

  void fill(const float* padded, Padded in, Shape s) {
    for (int i = 0; i < in.size(); i++) image[i] = rounded(padded[i]);
    // Four values at a time, of which three are wanted: the next three overwrite the fourth, and after the last there
    // is a weight of zero.
    for (int y = 0; y < s.height; y++)
      for (int x = 0; x < s.width; x++) {
        uint16_t* out = patches.data() + ((size_t)y * s.width + x) * TAPS;
        for (int c = 0; c < in.colours; c++)
          for (int k = 0; k < 3; k++)
            memcpy(out + c * 9 + k * 3, image.data() + (c * in.rows() + y + k) * in.columns() + x, 8);
      }
  }

  // z [filled pixels, BLOCK] of the channels from `c`, with their mean and scale where asked for: each step's pixels
  // are summed while they are in the nearest cache.
  void convolve(int c, float* z, float* mean = nullptr, float* scale = nullptr) const {
    Moments moments;
    const uint16_t* w = weights.data() + (size_t)(c / 16) * 16 * TAPS;
    _tile_loadd(6, w, 64);
    _tile_loadd(7, w + 16 * TAPS, 64);
    for (int p = 0; p < filled; p += STEP) {
      const uint16_t* a = patches.data() + (size_t)p * TAPS;
      float* out = z + (size_t)p * BLOCK;
      _tile_loadd(4, a, 64);
      _tile_loadd(5, a + 16 * TAPS, 64);
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
      _tile_stored(0, out, 4 * BLOCK);
      _tile_stored(1, out + 16, 4 * BLOCK);
      _tile_stored(2, out + 16 * BLOCK, 4 * BLOCK);
      _tile_stored(3, out + 16 * BLOCK + 16, 4 * BLOCK);
      if (mean) {
        if (p == 0) moments.start(out);
        moments.add(out, BLOCK, pixels - p < STEP ? pixels - p : STEP);
      }
    }
    if (mean) moments.finish(pixels, mean, scale);
  }

  // columns [filled pixels, TAPS] = gz . weights
  void fill_columns(int channels) {
    columns.resize((size_t)filled * TAPS);
    for (int p = 0; p < filled; p += STEP) {
      float* out = columns.data() + (size_t)p * TAPS;
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int c = 0; c < channels; c += BLOCK) {
        const uint16_t *w = transposed.data() + (size_t)c * TAPS, *a = gz.data() + (size_t)c * filled + (size_t)p * BLOCK;
        _tile_loadd(4, a, 64);
        _tile_loadd(6, w, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, w + 512, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + 16 * BLOCK, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      _tile_stored(0, out, 4 * TAPS);
      _tile_stored(1, out + 16, 4 * TAPS);
      _tile_stored(2, out + 16 * TAPS, 4 * TAPS);
      _tile_stored(3, out + 16 * TAPS + 16, 4 * TAPS);
    }
  }

  // The image's gradient from `columns`; `padded` is scratch.
  void gather_columns(Padded in, const int* offsets, Shape s, float* padded, float* at_image) const {
    memset(padded, 0, sizeof(float) * in.size());
    for (int y = 0; y < s.height; y++)
      for (int x = 0; x < s.width; x += 16) {
        const float* given = columns.data() + ((size_t)y * s.width + x) * TAPS;
        const int wide = s.width - x < 16 ? s.width - x : 16;
        const __mmask16 there = (__mmask16)((1u << wide) - 1);
        for (int half = 0; half < taps; half += 16) {
          __m512 by_pixel[16];
          for (int p = 0; p < 16; p++) by_pixel[p] = p < wide ? _mm512_loadu_ps(given + p * TAPS + half) : _mm512_setzero_ps();
          transpose(by_pixel);
          // Neighbours in a row one after the other would wait for each other's stores.
          for (int column = 0; column < 3; column++)
            for (int k = (column + 2 * half) % 3; k < 16 && half + k < taps; k += 3) {
              float* out = padded + offsets[half + k] + y * in.columns() + x;
              _mm512_mask_storeu_ps(out, there, _mm512_add_ps(_mm512_maskz_loadu_ps(there, out), by_pixel[k]));
            }
        }
      }
    in.take(padded, at_image);
  }

  // From tap to tap: not a power of two, so that sixteen taps do not share a set of the cache.
  int stride() const { return filled + STEP; }

  // rows of the image as every tap sees them: by_tap [TAPS, stride]
  void fill_by_tap(Padded in, Shape s) {
    by_tap.resize((size_t)TAPS * stride());
    for (int k = 0; k < taps; k++)
      for (int y = 0; y < s.height; y++)
        memcpy(by_tap.data() + (size_t)k * stride() + y * s.width,
               image.data() + ((k / 9) * in.rows() + y + k % 9 / 3) * in.columns() + k % 3, 2 * s.width);
  }

  // at_weights [taps, channels] of the channels from `c`: by_tap . gz
  void weight_sums(int c, Shape s, float* at_weights) {
    const uint16_t* given = gz.data() + (size_t)c * filled;
    pairs.resize((size_t)filled * BLOCK);
    for (int p = 0; p < filled; p += 2)
      for (int i = 0; i < BLOCK; i += L) {
        H even, odd;
        memcpy(&even, given + (size_t)p * BLOCK + i, sizeof even);
        memcpy(&odd, given + (size_t)(p + 1) * BLOCK + i, sizeof odd);
        U both = __builtin_convertvector(even, U) | __builtin_convertvector(odd, U) << 16;
        memcpy(pairs.data() + (size_t)p * BLOCK + 2 * i, &both, sizeof both);
      }
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int p = 0; p < filled; p += STEP) {
      const uint16_t* b = pairs.data() + (size_t)p * BLOCK;
      _tile_loadd(4, by_tap.data() + p, 2 * stride());
      _tile_loadd(5, by_tap.data() + (size_t)16 * stride() + p, 2 * stride());
      _tile_loadd(6, b, 128);
      _tile_loadd(7, b + 32, 128);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    float sums[TAPS * BLOCK];
    _tile_stored(0, sums, 4 * BLOCK);
    _tile_stored(1, sums + 16, 4 * BLOCK);
    _tile_stored(2, sums + 16 * BLOCK, 4 * BLOCK);
    _tile_stored(3, sums + 16 * BLOCK + 16, 4 * BLOCK);
    for (int k = 0; k < taps; k++)
      memcpy(at_weights + (size_t)k * s.channels + c, sums + k * BLOCK, sizeof(float) * BLOCK);
  }
};

static void first_forward_tiles(const float* images, int n, Padded in, const float* weights, Shape s,
                                const float* gamma, const float* beta, bfloat16* out, float* mean, float* scale,
                                int threads) {
#pragma omp parallel num_threads(threads)
  {
    Tiles tiles;
    First first(in, s, weights);
    std::vector<float> padded(in.size()), z((size_t)first.filled * BLOCK);
#pragma omp for schedule(static)
    for (int i = 0; i < n; i++) {
      in.fill(padded.data(), images + (size_t)i * in.colours * in.height * in.width);
      first.fill(padded.data(), in, s);
      for (int c = 0; c < s.channels; c += BLOCK) {
        size_t at = (size_t)i * s.channels + c;
        first.convolve(c, z.data(), mean + at, scale + at);
        pool(z.data(), BLOCK, s, mean + at, scale + at, gamma + c, beta + c,
             out + (size_t)i * s.rows() * s.columns() * s.channels + c);
      }
    }
  }
}

static void first_backward_tiles(const float* images, int n, Padded in, const float* weights, Shape s,
                                 const float* gamma, const float* beta, const float* mean, const float* scale,
                                 const bfloat16* g, float* at_images, float* at_weights, float* at_gamma,
                                 float* at_beta, int threads) {
  std::vector<int> offsets = in.offsets();
#pragma omp parallel num_threads(threads)
  {
    Tiles tiles;
    First first(in, s, weights);
    std::vector<float> padded(in.size()), z((size_t)first.filled * BLOCK);
#pragma omp for schedule(static)
    for (int i = 0; i < n; i++) {
      size_t start = (size_t)i * in.colours * in.height * in.width;
      in.fill(padded.data(), images + start);
      first.fill(padded.data(), in, s);
      if (at_weights) first.fill_by_tap(in, s);
      for (int c = 0; c < s.channels; c += BLOCK) {
        size_t at = (size_t)i * s.channels + c;
        first.convolve(c, z.data());
        pool_backward(z.data(), BLOCK, s, mean + at, scale + at, gamma + c, beta + c,
                      g + (size_t)i * s.rows() * s.columns() * s.channels + c,
                      (bfloat16*)first.gz.data() + (size_t)c * first.filled, BLOCK, at_gamma + at, at_beta + at, first.active.data());
        if (at_weights) first.weight_sums(c, s, at_weights + (size_t)i * first.taps * s.channels);
      }
      if (!at_images) continue;
      first.fill_columns(s.channels);
      first.gather_columns(in, offsets.data(), s, padded.data(), at_images + start);
    }
  }
}
#endif
