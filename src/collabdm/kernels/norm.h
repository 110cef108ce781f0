// Instance norm, ReLU and 2x2 average pooling of BLOCK channels of one image, and the way back.
// `z` has `stride` values from pixel to pixel.
#pragma once
#include "vectors.h"

constexpr float EPSILON = 1e-5f;

struct Shape {  // one image at the norm, and after pooling
  int height, width, channels;
  int pixels() const { return height * width; }
  int rows() const { return height / 2; }
  int columns() const { return width / 2; }
  size_t corner(int x, int y, int which) const {  // pixel of a pooled one
    return (size_t)(2 * y + which / 2) * width + 2 * x + which % 2;
  }
};

// Sums run in CHAINS parts, so that an addition need not wait for the one before it.
constexpr int CHAINS = 4;

static inline V joined(const V* parts) { return (parts[0] + parts[1]) + (parts[2] + parts[3]); }

// Mean and scale of BLOCK channels from sums over their pixels, which may be added as they are made.
struct Moments {
  V first[2], sum[2][CHAINS] = {}, squares[2][CHAINS] = {};

  // Shifted by the first pixel: a flat plane has a variance of exactly 0.
  template <class T> void start(const T* pixel) { first[0] = load(pixel), first[1] = load(pixel + L); }

  template <class T> void add(const T* z, int stride, int pixels) {
    int p = 0;
    for (; p + CHAINS <= pixels; p += CHAINS)
#pragma GCC unroll 4
      for (int chain = 0; chain < CHAINS; chain++) add_pixel(z + (size_t)(p + chain) * stride, chain);
    for (; p < pixels; p++) add_pixel(z + (size_t)p * stride, 0);
  }

  template <class T> void add_pixel(const T* pixel, int chain) {
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
      V d = load(pixel + i * L) - first[i];
      sum[i][chain] += d;
      squares[i][chain] += d * d;
    }
  }

  void finish(int pixels, float* mean, float* scale) const {
    for (int i = 0; i < 2; i++) {
      V m = joined(sum[i]) / (float)pixels, variance = joined(squares[i]) / (float)pixels - m * m;
      store(mean + i * L, first[i] + m);
      store(scale + i * L, 1.0f / root(relu(variance) + EPSILON));
    }
  }
};

template <class T> static void statistics(const T* z, int stride, int pixels, float* mean, float* scale) {
  Moments moments;
  moments.start(z);
  moments.add(z, stride, pixels);
  moments.finish(pixels, mean, scale);
}

// What the norm does to two vectors of channels: (z - mean) * rate + beta, the difference first so that a flat plane
// stays flat.
struct Affine {
  V mean[2], rate[2], beta[2];
  Affine(const float* m, const float* scale, const float* gamma, const float* b) {
    for (int i = 0; i < 2; i++)
      mean[i] = load(m + i * L), rate[i] = load(gamma + i * L) * load(scale + i * L), beta[i] = load(b + i * L);
  }
};

template <class Z, class T> static void pool(const Z* z, int stride, Shape s, const float* mean, const float* scale,
                                             const float* gamma, const float* beta, T* out) {
  const Affine norm(mean, scale, gamma, beta);
  for (int y = 0; y < s.rows(); y++)
    for (int x = 0; x < s.columns(); x++) {
      V n[2][4];
#pragma GCC unroll 4
      for (int corner = 0; corner < 4; corner++)
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++)
          n[i][corner] = relu((load(z + s.corner(x, y, corner) * stride + i * L) - norm.mean[i]) * norm.rate[i] + norm.beta[i]);
      store(out + (size_t)(y * s.columns() + x) * s.channels, joined(n[0]) * 0.25f, joined(n[1]) * 0.25f);
    }
}

// The gradient at z, written over `gz`; sums of the gradients of gamma and beta to `at_gamma` and `at_beta`.
// `active`: scratch of 2 * pixels.
template <class Z, class T, class G> static void pool_backward(
    const Z* z, int stride, Shape s, const float* mean, const float* scale, const float* gamma, const float* beta,
    const T* g, G* gz, int gz_stride, float* at_gamma, float* at_beta, M* active) {
  const Affine norm(mean, scale, gamma, beta);
  V sums[2][4] = {}, products[2][4] = {};
  M* passed = active;
  for (int y = 0; y < s.rows(); y++)
    for (int x = 0; x < s.columns(); x++) {
      const T* share = g + (size_t)(y * s.columns() + x) * s.channels;
      const V shares[2] = {load(share), load(share + L)};
#pragma GCC unroll 4
      for (int corner = 0; corner < 4; corner++)
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
          V d = load(z + s.corner(x, y, corner) * stride + i * L) - norm.mean[i];
          M m = *passed++ = above_zero(d * norm.rate[i] + norm.beta[i]);
          sums[i][corner] = add_where(m, sums[i][corner], shares[i]);
          products[i][corner] = add_product_where(m, products[i][corner], shares[i], d);
        }
    }
  V part[2], along[2];
  for (int i = 0; i < 2; i++) {
    V r = load(scale + i * L), a = norm.rate[i];
    V sum = joined(sums[i]) * 0.25f, product = joined(products[i]) * r * 0.25f;
    store(at_beta + i * L, sum);
    store(at_gamma + i * L, product);
    along[i] = -a * r * product / (float)s.pixels();
    part[i] = -a * sum / (float)s.pixels();
  }
  auto at_norm = [&](size_t p, int i) { return (load(z + p * stride + i * L) - norm.mean[i]) * along[i] + part[i]; };
  const V rates[2] = {norm.rate[0] * 0.25f, norm.rate[1] * 0.25f};
  passed = active;
  for (int y = 0; y < s.rows(); y++)
    for (int x = 0; x < s.columns(); x++) {
      const T* share = g + (size_t)(y * s.columns() + x) * s.channels;
      const V shares[2] = {load(share) * rates[0], load(share + L) * rates[1]};
#pragma GCC unroll 4
      for (int corner = 0; corner < 4; corner++, passed += 2) {
        size_t p = s.corner(x, y, corner);
        store(gz + p * gz_stride, add_where(passed[0], at_norm(p, 0), shares[0]),
              add_where(passed[1], at_norm(p, 1), shares[1]));
      }
    }
  // An odd last row or column is not pooled.
  for (int y = 0; y < s.height; y++)
    for (int x = y < 2 * s.rows() ? 2 * s.columns() : 0; x < s.width; x++) {
      size_t p = (size_t)y * s.width + x;
      store(gz + p * gz_stride, at_norm(p, 0), at_norm(p, 1));
    }
}
