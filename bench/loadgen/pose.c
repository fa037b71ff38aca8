// pose: everyone moves. The place carries the time: x is the clock in seconds, modulo LAP, in metres.
#include "load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t LAP_US = 32 * 1000000u;
static const double LATE_SECONDS = 1.0;  // what comes later than this after the end counts as not delivered
static uint64_t sampled_clients, sent_in_time, came;
static uint64_t window_end = UINT64_MAX;

static void send_pose(uint64_t number) {
  char text[256];
  uint64_t index = number % (uint64_t)options.clients;
  double x = (double)(now_us() % LAP_US) / SECOND_US, z = (double)index * 32.0 / options.clients;
  bool counts = measuring && now_us() < window_end;
  int n = snprintf(text, sizeof text,
                   "42[\"aframe-update\",{\"position\":{\"x\":%.6f,\"y\":1.6,\"z\":%.3f},"
                   "\"rotation\":{\"x\":%.2f,\"y\":%.2f,\"z\":0.5}}]",
                   x, z, fmod(x * 7, 60) - 30, fmod(x * 31 + z, 360));
  send_text(&clients[index], text, (size_t)n);
  sent_in_time += counts;
}

static void count_pose(double x, uint64_t now) {
  delivered++;
  if (!measuring) return;
  int64_t age = (int64_t)(now % LAP_US) - (int64_t)(x * SECOND_US);
  if (age < 0) age += (int64_t)LAP_US;
  if (age > (int64_t)(LAP_US - 500000)) age = 0;  // a format that rounds may put it into the future
  uint64_t posed_at = now - (uint64_t)age;
  came += posed_at >= measured_from && posed_at < window_end;
  if (now < window_end) histogram_add(latencies, (uint64_t)age);
}

static void on_poses(Client *c, const char *payload, size_t n, uint64_t now) {
  static const char start[] = "\"position\":{\"x\":";
  const size_t length = sizeof start - 1;
  if (!c->sampled) return;
  for (const char *end = payload + n; payload < end;) {
    const char *found = memmem(payload, (size_t)(end - payload), start, length);
    if (!found) return;
    count_pose(strtod(found + length, NULL), now);
    payload = found + length;
  }
}

// services/realtime/poses/compact.py: 16 bytes a pose, x in mm at byte 2.
static void on_compact(Client *c, const char *payload, size_t n, uint64_t now) {
  if (!c->sampled) return;
  for (size_t at = 0; at + 16 <= n; at += 16) {
    const uint8_t *b = (const uint8_t *)payload + at + 2;
    count_pose((double)(b[0] | b[1] << 8 | b[2] << 16) / 1000, now);
  }
}

void run_pose(void) {
  listener.event = on_poses;
  listener.binary = on_compact;
  connect_range(0, options.clients, AT_ONCE);
  settle();
  for (int i = 0; i < options.clients; i++) sampled_clients += clients[i].sampled;
  Schedule schedule = {options.pose_hertz * options.clients, now_us(), 0, send_pose};
  Mark first, last = run_schedule(&schedule, &first);
  window_end = last.at;
  while (now_us() < last.at + (uint64_t)(LATE_SECONDS * SECOND_US)) step(&schedule);
  double scale = (double)options.clients / (double)sampled_clients;
  double expected = (double)sent_in_time * (options.clients - 1);
  report_traffic(first, last, scale);
  report("delivered_ratio", (double)came * scale / expected);
  report("rss_mb", server_rss_mb());
}
