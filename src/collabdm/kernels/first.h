// The first block on vectors: 3x3 convolution of few colours (`taps` = 9 * colours weights for every channel), then as
// in norm.h. The convolution is computed again on the way back: that is cheaper than fetching it from memory.
#pragma once
#include <vector>

#include "norm.h"

struct Padded {  // planes with a border of `pad` zeros
  int colours, height, width, pad;
  int rows() const { return height + 2 * pad; }
  int columns() const { return width + 2 * pad; }
  int size() const { return colours * rows() * columns(); }
  int taps() const { return 9 * colours; }
  Shape convolved(int channels) const { return Shape{rows() - 2, columns() - 2, channels}; }
  std::vector<int> offsets() const {
    std::vector<int> out;
    for (int c = 0; c < colours; c++)
      for (int k = 0; k < 9; k++) out.push_back((c * rows() + k / 3) * columns() + k % 3);
    return out;
  }
  void fill(float* padded, const float* image) const {
    memset(padded, 0, sizeof(float) * size());
    for (int c = 0; c < colours; c++)
      for (int y = 0; y < height; y++)
        memcpy(padded + (c * rows() + y + pad) * columns() + pad, image + (c * height + y) * width,
               sizeof(float) * width);
  }
  void take(const float* padded, float* image) const {
    for (int c = 0; c < colours; c++)
      for (int y = 0; y < height; y++)
        memcpy(image + (c * height + y) * width, padded + (c * rows() + y + pad) * columns() + pad,
               sizeof(float) * width);
  }
};

template <int P> static inline void convolve_pixels(const float* image, const int* offsets, int taps,
                                                    const float* weights, int channels, float* z) {
  V sum[P][2] = {};
  for (int k = 0; k < taps; k++) {
    V w0 = load(weights + (size_t)k * channels), w1 = load(weights + (size_t)k * channels + L);
    const float* pixel = image + offsets[k];
#pragma GCC unroll 8
    for (int p = 0; p < P; p++) {
      sum[p][0] += w0 * pixel[p];
      sum[p][1] += w1 * pixel[p];
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; p++) {
    store(z + p * BLOCK, sum[p][0]);
    store(z + p * BLOCK + L, sum[p][1]);
  }
}

// BLOCK channels of all pixels, [pixels, BLOCK].
static void convolve(const float* padded, Padded in, const int* offsets, const float* weights, Shape s, float* z) {
  for (int y = 0; y < s.height; y++) {
    int x = 0;
    const float* row = padded + y * in.columns();
    float* out = z + (size_t)y * s.width * BLOCK;
    for (; x + PIXELS <= s.width; x += PIXELS)
      convolve_pixels<PIXELS>(row + x, offsets, in.taps(), weights, s.channels, out + x * BLOCK);
    for (; x < s.width; x++) convolve_pixels<1>(row + x, offsets, in.taps(), weights, s.channels, out + x * BLOCK);
  }
}

// columns[pixel][tap] += sum over BLOCK channels of gz[pixel][channel] * transposed[channel][tap]
template <int P, int N> static inline void tap_sums(const float* gz, const float* transposed, float* columns) {
  V sum[P][N];
#pragma GCC unroll 8
  for (int p = 0; p < P; p++)
    for (int i = 0; i < N; i++) sum[p][i] = load(columns + (p * N + i) * L);
  for (int c = 0; c < BLOCK; c++) {
    V w[N];
    for (int i = 0; i < N; i++) w[i] = load(transposed + ((size_t)c * N + i) * L);
#pragma GCC unroll 8
    for (int p = 0; p < P; p++)
      for (int i = 0; i < N; i++) sum[p][i] += w[i] * gz[p * BLOCK + c];
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; p++)
    for (int i = 0; i < N; i++) store(columns + (p * N + i) * L, sum[p][i]);
}

template <int N> static void all_tap_sums(const float* gz, const float* transposed, int pixels, float* columns) {
  int p = 0;
  for (; p + PIXELS <= pixels; p += PIXELS)
    tap_sums<PIXELS, N>(gz + (size_t)p * BLOCK, transposed, columns + (size_t)p * N * L);
  for (; p < pixels; p++) tap_sums<1, N>(gz + (size_t)p * BLOCK, transposed, columns + (size_t)p * N * L);
}

// at_weights[tap][channel] += sum over pixels of gz[pixel][channel] * image[pixel + tap]: nine taps of one colour
static void weight_sums(const float* image, Padded in, const int* offsets, Shape s, const float* gz, float* at_weights) {
  V sum[9][2] = {};
  for (int y = 0; y < s.height; y++)
    for (int x = 0; x < s.width; x++) {
      const float* at = gz + ((size_t)y * s.width + x) * BLOCK;
      const float* pixel = image + y * in.columns() + x;
      V g0 = load(at), g1 = load(at + L);
#pragma GCC unroll 9
      for (int k = 0; k < 9; k++) {
        sum[k][0] += g0 * pixel[offsets[k]];
        sum[k][1] += g1 * pixel[offsets[k]];
      }
    }
  for (int k = 0; k < 9; k++) {
    store(at_weights + (size_t)k * s.channels, sum[k][0]);
    store(at_weights + (size_t)k * s.channels + L, sum[k][1]);
  }
}

// The image's gradient from that of every pixel's taps, [pixels, stride]; `padded` is scratch.
static void gather(const float* columns, int stride, Padded in, const int* offsets, Shape s, float* padded,
                   float* at_image) {
  memset(padded, 0, sizeof(float) * in.size());
  for (int y = 0; y < s.height; y++)
    for (int k = 0; k < in.taps(); k++) {
      float* out = padded + offsets[k] + y * in.columns();
      const float* given = columns + (size_t)y * s.width * stride + k;
      for (int x = 0; x < s.width; x++) out[x] += given[x * stride];
    }
  in.take(padded, at_image);
}

template <class T> static void first_forward(const float* images, int n, Padded in, const float* weights, Shape s,
                                             const float* gamma, const float* beta, T* out, float* mean, float* scale,
                                             int threads) {
  std::vector<int> offsets = in.offsets();
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> padded(in.size()), z((size_t)s.pixels() * BLOCK);
#pragma omp for schedule(static)
    for (int i = 0; i < n; i++) {
      in.fill(padded.data(), images + (size_t)i * in.colours * in.height * in.width);
      for (int c = 0; c < s.channels; c += BLOCK) {
        size_t at = (size_t)i * s.channels + c;
        convolve(padded.data(), in, offsets.data(), weights + c, s, z.data());
        statistics(z.data(), BLOCK, s.pixels(), mean + at, scale + at);
        pool(z.data(), BLOCK, s, mean + at, scale + at, gamma + c, beta + c,
             out + (size_t)i * s.rows() * s.columns() * s.channels + c);
      }
    }
  }
}

// `at_images` and `at_weights` [n, taps, channels] may be null.
template <class T> static void first_backward(const float* images, int n, Padded in, const float* weights, Shape s,
                                              const float* gamma, const float* beta, const float* mean,
                                              const float* scale, const T* g, float* at_images, float* at_weights,
                                              float* at_gamma, float* at_beta, int threads) {
  constexpr int N = 32 / L;  // vectors that hold the taps of at most three colours
  std::vector<int> offsets = in.offsets();
  const int taps = in.taps();
  std::vector<float> transposed((size_t)s.channels * N * L);
  for (int c = 0; c < s.channels; c++)
    for (int k = 0; k < taps; k++) transposed[(size_t)c * N * L + k] = weights[(size_t)k * s.channels + c];
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> padded(in.size()), z((size_t)s.pixels() * BLOCK), columns;
    std::vector<M> active(2 * (size_t)s.pixels());
#pragma omp for schedule(static)
    for (int i = 0; i < n; i++) {
      size_t start = (size_t)i * in.colours * in.height * in.width;
      in.fill(padded.data(), images + start);
      columns.assign(at_images ? (size_t)s.pixels() * N * L : 0, 0.0f);
      for (int c = 0; c < s.channels; c += BLOCK) {
        size_t at = (size_t)i * s.channels + c;
        convolve(padded.data(), in, offsets.data(), weights + c, s, z.data());
        pool_backward(z.data(), BLOCK, s, mean + at, scale + at, gamma + c, beta + c,
                      g + (size_t)i * s.rows() * s.columns() * s.channels + c, z.data(), BLOCK, at_gamma + at,
                      at_beta + at, active.data());
        if (at_images) all_tap_sums<N>(z.data(), transposed.data() + (size_t)c * N * L, s.pixels(), columns.data());
        if (at_weights)
          for (int k = 0; k < taps; k += 9)
            weight_sums(padded.data(), in, offsets.data() + k, s, z.data(),
                        at_weights + ((size_t)i * taps + k) * s.channels + c);
      }
      if (at_images) gather(columns.data(), N * L, in, offsets.data(), s, padded.data(), at_images + start);
    }
  }
}
