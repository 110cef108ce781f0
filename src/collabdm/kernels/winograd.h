// 3x3 convolutions with a border of one zero, by Winograd's F(4x4, 3x3): a tile of 4x4 results takes 36 products a pair
// of channels where it takes 144 directly. Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (2016).
//
//   forward          out = A' [U * V] A    U = G w G' of the weights, V = B' d B of a tile's 6x6 pixels, each of the 36
//   at the weights   G' [V * A g A'] G     places by itself: a product of matrices over channels (or over tiles)
//
// The gradient at the images is the forward convolution of the weights turned around. Only in float: the transforms
// lose two bits. A tile's sums run over channels in order, and those of the weights over tiles in order, whatever the
// number of threads.
#pragma once
#include <algorithm>
#include <vector>

#include "vectors.h"
#include "winograd_sides.h"

constexpr int LINE = 16;      // floats of a line of the cache
constexpr int TOGETHER = 48;  // tiles that are transformed together: what they become stays in the second cache
// Tiles multiplied together: enough sums to hide the latency, and few enough to stay in registers.
#if defined(__AVX512F__)
constexpr int ROWS = 8;
#elif defined(__AVX2__) || defined(__aarch64__)
constexpr int ROWS = 6;
#else
constexpr int ROWS = 2;
#endif

// From place to place. Not a multiple of 4096 bytes: the 36 places of a tile would push each other out of the cache.
static inline size_t apart(int channels) { return (size_t)TOGETHER * channels + L; }
static inline size_t spot(int place, int tile, int channels) {
  return place * apart(channels) + (size_t)tile * channels;
}

struct Tiling {  // images [height, width] in tiles, image after image
  int height, width;
  int rows() const { return (height + SIDE - 1) / SIDE; }
  int columns() const { return (width + SIDE - 1) / SIDE; }
  int of_image() const { return rows() * columns(); }
  struct Place { size_t image; int y, x; };  // of a tile's first result
  Place place(int tile) const {
    int inside = tile % of_image();
    return Place{(size_t)(tile / of_image()), inside / columns() * SIDE, inside % columns() * SIDE};
  }
};

// seen[place][tile][channel] of `count` tiles
static void see(const float* images, Tiling in, int channels, int first, int count, float* seen) {
  for (int t = 0; t < count; t++) {
    auto at = in.place(first + t);
    const float* image = images + at.image * in.height * in.width * channels;
    for (int c = 0; c < channels; c += L) {
      V d[PLACES], v[PLACES];
#pragma GCC unroll 6
      for (int i = 0; i < SPAN; i++)
#pragma GCC unroll 6
        for (int j = 0; j < SPAN; j++) {
          int y = at.y + i - 1, x = at.x + j - 1;
          bool inside = y >= 0 && y < in.height && x >= 0 && x < in.width;
          d[i * SPAN + j] = inside ? load(image + ((size_t)y * in.width + x) * channels + c) : zero();
        }
#pragma GCC unroll 6
      for (int i = 0; i < SPAN; i++) seen_side(d + i, v + i, SPAN);
#pragma GCC unroll 6
      for (int i = 0; i < SPAN; i++) {
        V row[SPAN];
        seen_side(v + i * SPAN, row, 1);
        for (int j = 0; j < SPAN; j++) store(seen + spot(i * SPAN + j, t, channels) + c, row[j]);
      }
    }
  }
}

// spread[place][tile][channel] of `count` tiles of gradients; what lies outside of an image has none
static void spread(const float* grads, Tiling out, int channels, int first, int count, float* spread) {
  for (int t = 0; t < count; t++) {
    auto at = out.place(first + t);
    const float* image = grads + at.image * out.height * out.width * channels;
    for (int c = 0; c < channels; c += L) {
      V g[SIDE * SIDE], half[SPAN * SIDE];
      for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
          bool inside = at.y + i < out.height && at.x + j < out.width;
          g[i * SIDE + j] = inside ? load(image + ((size_t)(at.y + i) * out.width + at.x + j) * channels + c) : zero();
        }
      for (int j = 0; j < SIDE; j++) spread_side(g + j, SIDE, half + j, SIDE);
      for (int i = 0; i < SPAN; i++) {
        V row[SPAN];
        spread_side(half + i * SIDE, 1, row, 1);
        for (int j = 0; j < SPAN; j++) store(spread + spot(i * SPAN + j, t, channels) + c, row[j]);
      }
    }
  }
}

// BLOCK channels of the results of `count` tiles, from products[place][tile][BLOCK]
static void show(const float* products, Tiling out, int channels, int first, int count, float* images) {
  for (int t = 0; t < count; t++) {
    auto at = out.place(first + t);
    float* image = images + at.image * out.height * out.width * channels;
    for (int c = 0; c < BLOCK; c += L) {
      V m[PLACES], half[SIDE * SPAN], y[SIDE * SIDE];
      for (int p = 0; p < PLACES; p++) m[p] = load(products + spot(p, t, BLOCK) + c);
      for (int j = 0; j < SPAN; j++) result_side(m + j, SPAN, half + j, SPAN);
      for (int i = 0; i < SIDE; i++) result_side(half + i * SPAN, 1, y + i * SIDE, 1);
      for (int i = 0; i < SIDE && at.y + i < out.height; i++)
        for (int j = 0; j < SIDE && at.x + j < out.width; j++)
          store(image + ((size_t)(at.y + i) * out.width + at.x + j) * channels + c, y[i * SIDE + j]);
    }
  }
}

// products[row][BLOCK] = sum over k of left[row * row_step + k * step] * right[k][BLOCK], rows `right_step` apart
template <int P> static inline void multiply_rows(const float* left, size_t row_step, size_t step, const float* right,
                                                  size_t right_step, int depth, float* products, size_t out_step,
                                                  bool add) {
  V sum[P][2];
#pragma GCC unroll 8
  for (int p = 0; p < P; p++)
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) sum[p][i] = add ? load(products + p * out_step + i * L) : zero();
  for (int k = 0; k < depth; k++) {
    V w0 = load(right + k * right_step), w1 = load(right + k * right_step + L);
    const float* x = left + k * step;
#pragma GCC unroll 8
    for (int p = 0; p < P; p++) {
      sum[p][0] += w0 * x[p * row_step];
      sum[p][1] += w1 * x[p * row_step];
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; p++)
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) store(products + p * out_step + i * L, sum[p][i]);
}

static void multiply(int rows, const float* left, size_t row_step, size_t step, const float* right, size_t right_step,
                     int depth, float* products, size_t out_step, bool add) {
  int r = 0;
  for (; r + ROWS <= rows; r += ROWS)
    multiply_rows<ROWS>(left + r * row_step, row_step, step, right, right_step, depth, products + r * out_step,
                        out_step, add);
  for (; r < rows; r++)
    multiply_rows<1>(left + r * row_step, row_step, step, right, right_step, depth, products + r * out_step, out_step,
                     add);
}

// U as [place][out / BLOCK][in][BLOCK] of `weights` [in, 3, 3, out]. `turned`: for the way back, every 3x3 is turned
// around (and `in` is what the forward convolution calls `out`).
static void place_weights(const float* weights, int in, int out, bool turned, float* u, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int i = 0; i < in; i++)
    for (int o = 0; o < out; o += L) {
      V w[9], half[SPAN * 3], row[SPAN];
      for (int k = 0; k < 9; k++) w[k] = load(weights + ((size_t)i * 9 + (turned ? 8 - k : k)) * out + o);
      for (int j = 0; j < 3; j++) weight_side(w + j, 3, half + j, 3);
      for (int j = 0; j < SPAN; j++) {
        weight_side(half + j * 3, 1, row, 1);
        for (int k = 0; k < SPAN; k++)
          store(u + (((size_t)(j * SPAN + k) * (out / BLOCK) + o / BLOCK) * in + i) * BLOCK + o % BLOCK, row[k]);
      }
    }
}

// out [n, height, width, `out_channels`]: the convolution of images [n, height, width, `channels`]
static void winograd(const float* images, int n, Tiling tiling, int channels, const float* u, int out_channels,
                     float* out, int threads) {
  const int tiles = n * tiling.of_image(), blocks = out_channels / BLOCK;
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> seen(PLACES * apart(channels)), products(PLACES * apart(BLOCK));
#pragma omp for schedule(static)
    for (int first = 0; first < tiles; first += TOGETHER) {
      const int count = std::min(TOGETHER, tiles - first);
      see(images, tiling, channels, first, count, seen.data());
      for (int block = 0; block < blocks; block++) {
        for (int p = 0; p < PLACES; p++) {
          const float* weights = u + ((size_t)p * blocks + block) * channels * BLOCK;
          // The next place's, as far as the second cache: all of them together are larger than that.
          if (p + 1 < PLACES)
            for (int i = 0; i < channels * BLOCK; i += LINE)
              __builtin_prefetch(weights + (size_t)blocks * channels * BLOCK + i, 0, 2);
          multiply(count, seen.data() + p * apart(channels), channels, 1, weights, BLOCK, channels,
                   products.data() + p * apart(BLOCK), BLOCK, false);
        }
        show(products.data(), tiling, out_channels, first, count, out + block * BLOCK);
      }
    }
  }
}

// at_weights [in, 3, 3, out] of gradients [n, height, width, out] at the convolution of images [n, height, width, in]
static void winograd_at_weights(const float* images, int n, Tiling tiling, int channels, const float* grads,
                                int out_channels, float* at_weights, int threads) {
  const int tiles = n * tiling.of_image(), parts = (tiles + TOGETHER - 1) / TOGETHER;
  std::vector<float> seen(PLACES * apart(channels)), given(PLACES * apart(out_channels));
  std::vector<float> sums((size_t)PLACES * channels * out_channels);
#pragma omp parallel num_threads(threads)
  {
    for (int part = 0; part < parts; part++) {
      const int first = part * TOGETHER, count = std::min(TOGETHER, tiles - first);
#pragma omp single
      {
        see(images, tiling, channels, first, count, seen.data());
        spread(grads, tiling, out_channels, first, count, given.data());
      }
#pragma omp for schedule(static)
      for (int p = 0; p < PLACES; p++)
        for (int c = 0; c < out_channels; c += BLOCK)
          multiply(channels, seen.data() + p * apart(channels), 1, channels,
                   given.data() + p * apart(out_channels) + c, out_channels, count,
                   sums.data() + (size_t)p * channels * out_channels + c, out_channels, part > 0);
    }
#pragma omp for schedule(static)
    for (int i = 0; i < channels; i++)
      for (int o = 0; o < out_channels; o += L) {
        V half[SPAN * 3], row[SPAN], w[9];
        for (int j = 0; j < SPAN; j++) {
          for (int k = 0; k < SPAN; k++)
            row[k] = load(sums.data() + ((size_t)(j * SPAN + k) * channels + i) * out_channels + o);
          weight_side_back(row, 1, half + j * 3, 1);
        }
        for (int j = 0; j < 3; j++) weight_side_back(half + j, 3, w + j, 3);
        for (int k = 0; k < 9; k++) store(at_weights + ((size_t)i * 9 + k) * out_channels + o, w[k]);
      }
  }
}
