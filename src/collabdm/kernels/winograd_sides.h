// One side of each of Winograd's transforms for F(4x4, 3x3), at the points 0, 1, -1, 2, -2 and infinity; done along both
// sides they give a tile's. X: a vector of channels, so that nothing is shuffled.
#pragma once

constexpr int SIDE = 4, SPAN = SIDE + 2, PLACES = SPAN * SPAN;

template <class X> static inline void seen_side(const X* d, X* v, int step) {  // B': six pixels
  X a = d[4 * step] - 4.0f * d[2 * step], b = d[3 * step] - 4.0f * d[step];
  X c = d[4 * step] - d[2 * step], e = 2.0f * (d[3 * step] - d[step]);
  v[0] = 4.0f * d[0] - 5.0f * d[2 * step] + d[4 * step];
  v[step] = a + b, v[2 * step] = a - b;
  v[3 * step] = c + e, v[4 * step] = c - e;
  v[5 * step] = 4.0f * d[step] - 5.0f * d[3 * step] + d[5 * step];
}

template <class X> static inline void result_side(const X* m, int from, X* y, int to) {  // A': four results of six
  X a = m[from] + m[2 * from], b = m[from] - m[2 * from], c = m[3 * from] + m[4 * from], d = m[3 * from] - m[4 * from];
  y[0] = m[0] + a + c;
  y[to] = b + 2.0f * d;
  y[2 * to] = a + 4.0f * c;
  y[3 * to] = b + 8.0f * d + m[5 * from];
}

template <class X> static inline void spread_side(const X* g, int from, X* m, int to) {  // A: six of four gradients
  X even = g[0] + g[2 * from], odd = g[from] + g[3 * from];
  X even4 = g[0] + 4.0f * g[2 * from], odd4 = 2.0f * g[from] + 8.0f * g[3 * from];
  m[0] = g[0];
  m[to] = even + odd, m[2 * to] = even - odd;
  m[3 * to] = even4 + odd4, m[4 * to] = even4 - odd4;
  m[5 * to] = g[3 * from];
}

template <class X> static inline void weight_side(const X* w, int from, X* u, int to) {  // G: six of three weights
  X even = w[0] + w[2 * from], even4 = w[0] + 4.0f * w[2 * from], odd2 = 2.0f * w[from];
  u[0] = w[0] * 0.25f;
  u[to] = (even + w[from]) * (-1.0f / 6), u[2 * to] = (even - w[from]) * (-1.0f / 6);
  u[3 * to] = (even4 + odd2) * (1.0f / 24), u[4 * to] = (even4 - odd2) * (1.0f / 24);
  u[5 * to] = w[2 * from];
}

template <class X> static inline void weight_side_back(const X* u, int from, X* w, int to) {  // G': three of six
  X a = u[from] + u[2 * from], b = u[from] - u[2 * from], c = u[3 * from] + u[4 * from], d = u[3 * from] - u[4 * from];
  w[0] = u[0] * 0.25f - a * (1.0f / 6) + c * (1.0f / 24);
  w[to] = d * (1.0f / 12) - b * (1.0f / 6);
  w[2 * to] = (c - a) * (1.0f / 6) + u[5 * from];
}
