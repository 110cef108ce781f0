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
};

template <class T> static void statistics(const T* z, int stride, int pixels, float* mean, float* scale) {
  for (int v = 0; v < BLOCK; v += L) {
    // Shifted by the first pixel: a flat plane has a variance of exactly 0.
    V first = load(z + v), sum = zero(), squares = zero();
    for (int p = 0; p < pixels; p++) {
      V d = load(z + (size_t)p * stride + v) - first;
      sum += d;
      squares += d * d;
    }
    V m = sum / (float)pixels, variance = squares / (float)pixels - m * m;
    variance = positive(variance, variance);
    store(mean + v, first + m);
    store(scale + v, 1.0f / root(variance + EPSILON));
  }
}

template <class Z, class T> static void pool(const Z* z, int stride, Shape s, const float* mean, const float* scale,
                                             const float* gamma, const float* beta, T* out) {
  for (int v = 0; v < BLOCK; v += L) {
    V m = load(mean + v), a = load(gamma + v) * load(scale + v), b = load(beta + v);
    for (int y = 0; y < s.rows(); y++)
      for (int x = 0; x < s.columns(); x++) {
        V total = zero();
        for (int corner = 0; corner < 4; corner++) {
          V n = (load(z + ((size_t)(2 * y + corner / 2) * s.width + 2 * x + corner % 2) * stride + v) - m) * a + b;
          total += positive(n, n);
        }
        store(out + (size_t)(y * s.columns() + x) * s.channels + v, total * 0.25f);
      }
  }
}

// The gradient at z, written over `gz`; sums of the gradients of gamma and beta to `at_gamma` and `at_beta`.
template <class Z, class T, class G> static void pool_backward(
    const Z* z, int stride, Shape s, const float* mean, const float* scale, const float* gamma, const float* beta,
    const T* g, G* gz, int gz_stride, float* at_gamma, float* at_beta) {
  for (int v = 0; v < BLOCK; v += L) {
    V m = load(mean + v), r = load(scale + v), w = load(gamma + v), b = load(beta + v), a = w * r;
    V sum = zero(), product = zero();
    for (int y = 0; y < s.rows(); y++)
      for (int x = 0; x < s.columns(); x++) {
        V share = load(g + (size_t)(y * s.columns() + x) * s.channels + v) * 0.25f;
        for (int corner = 0; corner < 4; corner++) {
          V d = load(z + ((size_t)(2 * y + corner / 2) * s.width + 2 * x + corner % 2) * stride + v) - m;
          V passed = positive(d * a + b, share);
          sum += passed;
          product += passed * d;
        }
      }
    product *= r;
    store(at_beta + v, sum);
    store(at_gamma + v, product);
    V part = -a * sum / (float)s.pixels(), along = -a * r * product / (float)s.pixels();
    for (int y = 0; y < s.height; y += 2)
      for (int x = 0; x < s.width; x += 2) {
        bool pooled = y / 2 < s.rows() && x / 2 < s.columns();  // an odd last row or column is not
        V share = pooled ? load(g + (size_t)(y / 2 * s.columns() + x / 2) * s.channels + v) * 0.25f : zero();
        for (int corner = 0; corner < 4; corner++) {
          int row = y + corner / 2, column = x + corner % 2;
          if (row >= s.height || column >= s.width) continue;
          size_t p = (size_t)row * s.width + column;
          V d = load(z + p * stride + v) - m;
          store(gz + p * gz_stride + v, positive(d * a + b, share) * a + (d * along + part));
        }
      }
  }
}
