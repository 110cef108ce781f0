// The passes of a ConvNet that a general engine does badly: the first 3x3 convolution (few input channels), and
// instance norm, ReLU and 2x2 average pooling after every convolution. Each image stays in cache from the convolution
// to the pooled output, forward and back.
//
// Activations are [n, height, width, channels] ("channels last"), in float or bfloat16; a vector holds the channels of
// one pixel. Everything is computed in float. An image is computed by one thread in a fixed order, and sums over images
// run in order, so that results do not depend on the number of threads.

#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__AVX512F__)
constexpr int L = 16;
#else
constexpr int L = 8;
#endif
constexpr int BLOCK = 2 * L;  // channels computed together
constexpr int PIXELS = 8;     // neighbouring pixels computed together: 2 * 8 accumulators hide the latency

typedef float V __attribute__((vector_size(4 * L)));
typedef uint32_t U __attribute__((vector_size(4 * L)));
typedef int32_t I __attribute__((vector_size(4 * L)));
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
  U u; memcpy(&u, &v, sizeof u);
  u = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  H h = __builtin_convertvector(u, H); memcpy(p, &h, sizeof h);
}
static inline V zero() { return V{}; }
static inline V positive(V y, V x) {  // x where y > 0, else 0
  I kept = y > zero(), bits;
  memcpy(&bits, &x, sizeof bits);
  bits &= kept;
  V v; memcpy(&v, &bits, sizeof v); return v;
}
static inline V root(V x) { for (int i = 0; i < L; i++) x[i] = __builtin_sqrtf(x[i]); return x; }

constexpr float EPSILON = 1e-5f;

struct Shape {  // one image at the norm, and after pooling
  int height, width, channels;
  int pixels() const { return height * width; }
  int rows() const { return height / 2; }
  int columns() const { return width / 2; }
};

// ---- instance norm, ReLU, average pooling: BLOCK channels of one image; `z` has `stride` values from pixel to pixel

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
    V m = load(mean + v), r = load(scale + v), w = load(gamma + v), b = load(beta + v);
    V sum = zero(), product = zero();
    for (int y = 0; y < s.rows(); y++)
      for (int x = 0; x < s.columns(); x++) {
        V share = load(g + (size_t)(y * s.columns() + x) * s.channels + v) * 0.25f;
        for (int corner = 0; corner < 4; corner++) {
          V n = (load(z + ((size_t)(2 * y + corner / 2) * s.width + 2 * x + corner % 2) * stride + v) - m) * r;
          V passed = positive(n * w + b, share);
          sum += passed;
          product += passed * n;
        }
      }
    store(at_beta + v, sum);
    store(at_gamma + v, product);
    V part = sum / (float)s.pixels(), along = product / (float)s.pixels(), out = w * r;
    for (int y = 0; y < s.height; y++)
      for (int x = 0; x < s.width; x++) {
        size_t p = (size_t)y * s.width + x;
        V n = (load(z + p * stride + v) - m) * r, passed = zero();
        if (y / 2 < s.rows() && x / 2 < s.columns()) {  // an odd last row or column is not pooled
          V share = load(g + (size_t)(y / 2 * s.columns() + x / 2) * s.channels + v) * 0.25f;
          passed = positive(n * w + b, share);
        }
        store(gz + p * gz_stride + v, (passed - part - n * along) * out);
      }
  }
}

// ---- the first convolution: `taps` = 9 * colours weights for every channel, over an image with a border

struct Padded {  // planes with a border of `pad` zeros
  int colours, height, width, pad;
  int rows() const { return height + 2 * pad; }
  int columns() const { return width + 2 * pad; }
  int size() const { return colours * rows() * columns(); }
  int taps() const { return 9 * colours; }
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

// `transposed`: weights as [channels, N * L] (taps filled up with zeros), needed with `at_images` only.
template <class T, int N> static void first_backward(
    const float* images, int n, Padded in, const float* weights, const float* transposed, Shape s, const float* gamma,
    const float* beta, const float* mean, const float* scale, const T* g, float* at_images, float* at_weights,
    float* at_gamma, float* at_beta, int threads) {
  std::vector<int> offsets = in.offsets();
  const int taps = in.taps();
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> padded(in.size()), z((size_t)s.pixels() * BLOCK), columns;
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
                      at_beta + at);
        if (at_images) all_tap_sums<N>(z.data(), transposed + (size_t)c * N * L, s.pixels(), columns.data());
        if (at_weights)
          for (int k = 0; k < taps; k += 9)
            weight_sums(padded.data(), in, offsets.data() + k, s, z.data(),
                        at_weights + ((size_t)i * taps + k) * s.channels + c);
      }
      if (!at_images) continue;
      memset(padded.data(), 0, sizeof(float) * in.size());
      for (int y = 0; y < s.height; y++)
        for (int x = 0; x < s.width; x++)
          for (int k = 0; k < taps; k++)
            padded[offsets[k] + y * in.columns() + x] += columns[((size_t)y * s.width + x) * N * L + k];
      for (int c = 0; c < in.colours; c++)
        for (int y = 0; y < in.height; y++)
          memcpy(at_images + start + (c * in.height + y) * in.width,
                 padded.data() + (c * in.rows() + y + in.pad) * in.columns() + in.pad, sizeof(float) * in.width);
    }
  }
}

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
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int i = 0; i < n; i++)
    for (int c = 0; c < s.channels; c += BLOCK) {
      size_t at = (size_t)i * s.channels + c, plane = (size_t)i * s.pixels() * s.channels + c;
      pool_backward(z + plane, s.channels, s, mean + at, scale + at, gamma + c, beta + c,
                    g + (size_t)i * s.rows() * s.columns() * s.channels + c, gz + plane, s.channels, at_gamma + at,
                    at_beta + at);
    }
}

#define EXPORT(T, SUFFIX)                                                                                             \
  extern "C" void first_forward_##SUFFIX(const float* images, int n, int colours, int height, int width, int pad,     \
                                         const float* weights, int channels, const float* gamma, const float* beta,   \
                                         T* out, float* mean, float* scale, int threads) {                            \
    Padded in{colours, height, width, pad};                                                                           \
    first_forward(images, n, in, weights, Shape{in.rows() - 2, in.columns() - 2, channels}, gamma, beta, out, mean,   \
                  scale, threads);                                                                                    \
  }                                                                                                                   \
  extern "C" void first_backward_##SUFFIX(const float* images, int n, int colours, int height, int width, int pad,    \
                                          const float* weights, const float* transposed, int channels,                \
                                          const float* gamma, const float* beta, const float* mean,                   \
                                          const float* scale, const T* g, float* at_images, float* at_weights,        \
                                          float* at_gamma, float* at_beta, int threads) {                             \
    Padded in{colours, height, width, pad};                                                                           \
    Shape s{in.rows() - 2, in.columns() - 2, channels};                                                               \
    auto run = in.taps() <= 16 ? first_backward<T, 16 / L> : first_backward<T, 32 / L>;                               \
    run(images, n, in, weights, transposed, s, gamma, beta, mean, scale, g, at_images, at_weights, at_gamma, at_beta, \
        threads);                                                                                                     \
  }                                                                                                                   \
  extern "C" void norm_forward_##SUFFIX(const T* z, int n, int height, int width, int channels, const float* gamma,   \
                                        const float* beta, T* out, float* mean, float* scale, int threads) {          \
    norm_forward(z, n, Shape{height, width, channels}, gamma, beta, out, mean, scale, threads);                       \
  }                                                                                                                   \
  extern "C" void norm_backward_##SUFFIX(const T* z, int n, int height, int width, int channels, const float* gamma,  \
                                         const float* beta, const float* mean, const float* scale, const T* g, T* gz, \
                                         float* at_gamma, float* at_beta, int threads) {                              \
    norm_backward(z, n, Shape{height, width, channels}, gamma, beta, mean, scale, g, gz, at_gamma, at_beta, threads); \
  }

EXPORT(float, float32)
EXPORT(bfloat16, bfloat16)
