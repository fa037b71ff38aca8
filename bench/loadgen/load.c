// What the modes share.
#include "load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t delivered, measured_from;
bool measuring;
Histogram *latencies;

Mark mark(void) {
  return (Mark){.at = now_us(),
                .sent = traffic.sent,
                .delivered = delivered,
                .frames = traffic.frames,
                .bytes = traffic.bytes,
                .server_cpu = server_cpu_seconds(),
                .server_waited = server_waited_seconds(),
                .own_cpu = own_cpu_seconds()};
}

double seconds_between(Mark a, Mark b) { return (double)(b.at - a.at) / SECOND_US; }

void report_latency(const char *prefix, const Histogram *h) {
  static const struct { const char *name; double quantile; } wanted[] = {
      {"p50_ms", .5}, {"p90_ms", .9}, {"p99_ms", .99}, {"max_ms", 1.0}};
  char name[64];
  if (!histogram_count(h)) return;
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    snprintf(name, sizeof name, "%s%s", prefix, wanted[i].name);
    report(name, histogram_ms(h, wanted[i].quantile));
  }
}

void report_traffic(Mark a, Mark b, double scale) {
  double seconds = seconds_between(a, b), deliveries = (double)(b.delivered - a.delivered) * scale;
  report("seconds", seconds);
  report("sent_per_s", (double)(b.sent - a.sent) / seconds);
  report("delivered_per_s", deliveries / seconds);
  report("frames_per_s", (double)(b.frames - a.frames) / seconds);
  report("mb_per_s", (double)(b.bytes - a.bytes) / seconds / 1e6);
  report("server_cpu", (b.server_cpu - a.server_cpu) / seconds);
  report("server_waited", (b.server_waited - a.server_waited) / seconds);
  report("server_us_per_delivery", deliveries > 0 ? (b.server_cpu - a.server_cpu) * 1e6 / deliveries : 0);
  report("generator_cpu", (b.own_cpu - a.own_cpu) / seconds);
  report("not_sent", (double)traffic.not_sent);
  report("lost_connections", lost_count);
  report("join_retries", (double)traffic.join_retries);
  report_latency("", latencies);
}

void settle(void) {
  pump_for(SETTLE_SECONDS);
  fprintf(stderr, "joined\n");
  for (int i = options.clients - options.stalled; i < options.clients; i++) stop_reading(&clients[i]);
  delivered = 0;
}

uint64_t digits(const char *text, size_t n) {
  uint64_t value = 0;
  for (size_t i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++) value = value * 10 + (uint64_t)(text[i] - '0');
  return value;
}

void write_digits(char *place, uint64_t value, int n) {
  for (int i = n - 1; i >= 0; i--, value /= 10) place[i] = (char)('0' + value % 10);
}

void count_latency(uint64_t sent_at, uint64_t now) {
  if (measuring && sent_at >= measured_from) histogram_add(latencies, now > sent_at ? now - sent_at : 0);
}

void step(Schedule *s) {
  uint64_t due = (uint64_t)((double)(now_us() - s->began) / SECOND_US * s->rate);
  for (int burst = 0; s->done < due && burst < MAX_BURST; burst++) s->send_one(s->done++);
  double next = (double)s->began + (double)(s->done + 1) / s->rate * SECOND_US;
  pump((int64_t)fmin(next - (double)now_us(), 20000));
}

Mark start_measuring(void) {
  measuring = true;
  measured_from = now_us();
  return mark();
}

Mark run_schedule(Schedule *s, Mark *first) {
  uint64_t warm = s->began + (uint64_t)(options.warmup_seconds * SECOND_US);
  uint64_t end = warm + (uint64_t)(options.seconds * SECOND_US);
  first->at = 0;
  while (now_us() < end) {
    if (!first->at && now_us() >= warm) *first = start_measuring();
    step(s);
  }
  return mark();
}

// idle: what a connection costs that does nothing.

void run_idle(void) {
  connect_range(0, AT_ONCE, AT_ONCE);
  pump_for(1.0);
  double few = server_rss_mb();
  uint64_t began = now_us();
  connect_range(AT_ONCE, options.clients, AT_ONCE);
  report("connects_per_s", (options.clients - AT_ONCE) / ((double)(now_us() - began) / SECOND_US));
  pump_for(SETTLE_SECONDS);
  Mark first = mark();
  pump_for(options.seconds);
  Mark last = mark();
  double all = server_rss_mb();
  report("rss_mb", all);
  report("kb_per_connection", (all - few) * 1024 / (options.clients - AT_ONCE));
  report("server_cpu", (last.server_cpu - first.server_cpu) / seconds_between(first, last));
  report("lost_connections", lost_count);
}

void run_mode(void) {
  static const struct { const char *name; void (*run)(void); } modes[] = {
      {"fanout", run_fanout}, {"pose", run_pose}, {"idle", run_idle}, {"chat", run_chat}, {"joins", run_joins}};
  latencies = histogram_new();
  clients_begin();
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
    if (!strcmp(options.mode, modes[i].name)) {
      modes[i].run();
      return;
    }
  fail("no mode %s", options.mode);
}
