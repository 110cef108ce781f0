// The passes of a ConvNet that a general engine does badly: the first 3x3 convolution (few input channels), and
// instance norm, ReLU and 2x2 average pooling after every convolution. Each image stays in cache from the convolution
// to the pooled output, forward and back. In float the later convolutions are here too (winograd.h).
//
// Activations are [n, height, width, channels] ("channels last"), in float or bfloat16; a vector holds the channels of
// one pixel. Everything is computed in float. An image is computed by one thread in a fixed order, and sums over images
// run in order, so that results do not depend on the number of threads.

#include "first.h"
#include "norm.h"
#include "tiles.h"
#include "winograd.h"

template <class T> static void norm_forward(const T* z, int n, Shape s, const float* gamma, const float* beta, T* out,
                                            float* mean, float* scale, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int i = 0; i < n; i++)
    for (int c = 0; c < s.channels; c += BLOCK) {
      size_t at = (size_t)i * s.channels + c;
      const T* plane = z + (size_t)i * s.pixels() * s.channels + c;
      statistics(plane, s.channels, s.pixels(), mean + at, scale + at);
      pool(plane, s.channels, s, mean + at, scale + at, gamma + c, beta + c,
           out + (size_t)i * s.rows() * s.columns() * s.channels + c);
    }
}

template <class T> static void norm_backward(const T* z, int n, Shape s, const float* gamma, const float* beta,
                                             const float* mean, const float* scale, const T* g, T* gz, float* at_gamma,
                                             float* at_beta, int threads) {
#pragma omp parallel num_threads(threads)
  {
    std::vector<M> active(2 * (size_t)s.pixels());
#pragma omp for schedule(static)
    for (int i = 0; i < n; i++)
    for (int c = 0; c < s.channels; c += BLOCK) {
      size_t at = (size_t)i * s.channels + c, plane = (size_t)i * s.pixels() * s.channels + c;
      pool_backward(z + plane, s.channels, s, mean + at, scale + at, gamma + c, beta + c,
                    g + (size_t)i * s.rows() * s.columns() * s.channels + c, gz + plane, s.channels, at_gamma + at,
                    at_beta + at, active.data());
    }
  }
}

extern "C" void first_forward_float32(const float* images, int n, int colours, int height, int width, int pad,
                                      const float* weights, int channels, const float* gamma, const float* beta,
                                      float* out, float* mean, float* scale, int threads) {
  Padded in{colours, height, width, pad};
  first_forward(images, n, in, weights, in.convolved(channels), gamma, beta, out, mean, scale, threads);
}

extern "C" void first_forward_bfloat16(const float* images, int n, int colours, int height, int width, int pad,
                                       const float* weights, int channels, const float* gamma, const float* beta,
                                       bfloat16* out, float* mean, float* scale, int threads) {
  Padded in{colours, height, width, pad};
  Shape s = in.convolved(channels);
#if defined(__AMX_BF16__)
  if (Tiles::allowed()) return first_forward_tiles(images, n, in, weights, s, gamma, beta, out, mean, scale, threads);
#endif
  first_forward(images, n, in, weights, s, gamma, beta, out, mean, scale, threads);
}

extern "C" void first_backward_float32(const float* images, int n, int colours, int height, int width, int pad,
                                       const float* weights, int channels, const float* gamma, const float* beta,
                                       const float* mean, const float* scale, const float* g, float* at_images,
                                       float* at_weights, float* at_gamma, float* at_beta, int threads) {
  Padded in{colours, height, width, pad};
  first_backward(images, n, in, weights, in.convolved(channels), gamma, beta, mean, scale, g, at_images, at_weights,
                 at_gamma, at_beta, threads);
}

extern "C" void first_backward_bfloat16(const float* images, int n, int colours, int height, int width, int pad,
                                        const float* weights, int channels, const float* gamma, const float* beta,
                                        const float* mean, const float* scale, const bfloat16* g, float* at_images,
                                        float* at_weights, float* at_gamma, float* at_beta, int threads) {
  Padded in{colours, height, width, pad};
  Shape s = in.convolved(channels);
#if defined(__AMX_BF16__)
  if (Tiles::allowed())
    return first_backward_tiles(images, n, in, weights, s, gamma, beta, mean, scale, g, at_images, at_weights,
                                at_gamma, at_beta, threads);
#endif
  first_backward(images, n, in, weights, s, gamma, beta, mean, scale, g, at_images, at_weights, at_gamma, at_beta,
                 threads);
}

#define EXPORT_NORM(T, SUFFIX)                                                                                        \
  extern "C" void norm_forward_##SUFFIX(const T* z, int n, int height, int width, int channels, const float* gamma,   \
                                        const float* beta, T* out, float* mean, float* scale, int threads) {          \
    norm_forward(z, n, Shape{height, width, channels}, gamma, beta, out, mean, scale, threads);                       \
  }                                                                                                                   \
  extern "C" void norm_backward_##SUFFIX(const T* z, int n, int height, int width, int channels, const float* gamma,  \
                                         const float* beta, const float* mean, const float* scale, const T* g, T* gz, \
                                         float* at_gamma, float* at_beta, int threads) {                              \
    norm_backward(z, n, Shape{height, width, channels}, gamma, beta, mean, scale, g, gz, at_gamma, at_beta, threads); \
  }

EXPORT_NORM(float, float32)
EXPORT_NORM(bfloat16, bfloat16)

extern "C" void winograd_places_float32(const float* weights, int in, int out, int turned, float* u, int threads) {
  place_weights(weights, in, out, turned, u, threads);
}

extern "C" void winograd_forward_float32(const float* images, int n, int height, int width, int in, const float* u,
                                         int out, float* results, int threads) {
  winograd(images, n, Tiling{height, width}, in, u, out, results, threads);
}

extern "C" void winograd_at_weights_float32(const float* images, int n, int height, int width, int in,
                                            const float* grads, int out, float* at_weights, int threads) {
  winograd_at_weights(images, n, Tiling{height, width}, in, grads, out, at_weights, threads);
}
