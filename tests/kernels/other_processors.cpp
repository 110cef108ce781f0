// Every kernel once on what standard input gives, for a processor that the tests do not run on; to standard output.
#include <cstdio>

#include "convnet.cpp"

constexpr int N = 3, COLOURS = 3, IMAGE = 15, CHANNELS = 32, OUT = 64, PAD = 1, HALF = IMAGE / 2;

static std::vector<float> read(size_t count) {
  std::vector<float> values(count);
  if (fread(values.data(), sizeof(float), count, stdin) != count) exit(1);
  return values;
}

static void write(const std::vector<float>& values) { fwrite(values.data(), sizeof(float), values.size(), stdout); }

int main() {
  auto images = read(N * COLOURS * IMAGE * IMAGE), weights = read(9 * COLOURS * CHANNELS), gamma = read(CHANNELS),
       beta = read(CHANNELS), later = read(CHANNELS * 9 * OUT), turned = read(OUT * 9 * CHANNELS);
  const size_t pooled = (size_t)N * HALF * HALF;
  std::vector<float> first(pooled * CHANNELS), mean(N * CHANNELS), scale(N * CHANNELS), u(PLACES * CHANNELS * OUT);
  std::vector<float> out(pooled * OUT), back(pooled * CHANNELS), at_images(images.size()), at_later(later.size());
  std::vector<float> at_weights(N * weights.size()), at_gamma(N * CHANNELS), at_beta(N * CHANNELS);
  first_forward_float32(images.data(), N, COLOURS, IMAGE, IMAGE, PAD, weights.data(), CHANNELS, gamma.data(),
                        beta.data(), first.data(), mean.data(), scale.data(), 1);
  winograd_places_float32(later.data(), CHANNELS, OUT, 0, u.data(), 1);
  winograd_forward_float32(first.data(), N, HALF, HALF, CHANNELS, u.data(), OUT, out.data(), 1);
  winograd_at_weights_float32(first.data(), N, HALF, HALF, CHANNELS, out.data(), OUT, at_later.data(), 1);
  winograd_places_float32(turned.data(), OUT, CHANNELS, 1, u.data(), 1);
  winograd_forward_float32(out.data(), N, HALF, HALF, OUT, u.data(), CHANNELS, back.data(), 1);
  first_backward_float32(images.data(), N, COLOURS, IMAGE, IMAGE, PAD, weights.data(), CHANNELS, gamma.data(),
                         beta.data(), mean.data(), scale.data(), back.data(), at_images.data(), at_weights.data(),
                         at_gamma.data(), at_beta.data(), 1);
  write(first), write(out), write(at_later), write(back), write(at_images), write(at_weights), write(at_gamma);
  // The norm by itself: as forward from the later convolution, and its way back from ones.
  std::vector<float> norm_gamma(OUT, 1.5f), norm_beta(OUT, 0.1f), small(N * (HALF / 2) * (HALF / 2) * OUT);
  std::vector<float> norm_mean(N * OUT), norm_scale(N * OUT), ones(small.size(), 1.0f), at_out(out.size());
  std::vector<float> at_norm_gamma(N * OUT), at_norm_beta(N * OUT);
  norm_forward_float32(out.data(), N, HALF, HALF, OUT, norm_gamma.data(), norm_beta.data(), small.data(),
                       norm_mean.data(), norm_scale.data(), 1);
  norm_backward_float32(out.data(), N, HALF, HALF, OUT, norm_gamma.data(), norm_beta.data(), norm_mean.data(),
                        norm_scale.data(), ones.data(), at_out.data(), at_norm_gamma.data(), at_norm_beta.data(), 1);
  write(small), write(at_out), write(at_norm_gamma), write(at_norm_beta);
}
