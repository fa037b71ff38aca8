// fanout: every message goes to everyone else in the space.
#include "load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double STALL_SECONDS = 5.0, FIND_SECONDS = 3.0;
static char *message;             // the packet, with room for the time
static size_t message_length, time_offset;
static double receivers;          // of one message
static bool stuck;
static double rss_peak;

static void make_message(void) {
  char text[4096];
  const char *open = options.raw ? "{\"data\":{\"t\":" : "42[\"entity-event\",{\"name\":\"bench\",\"data\":{\"t\":";
  const char *end = options.raw ? "\"}}" : "\"}}]";
  int n = snprintf(text, sizeof text, "%s%0*d,\"text\":\"", open, TIME_DIGITS, 0);
  while (n < options.message_bytes - (int)strlen(end) && n < 4000) text[n] = (char)('a' + n % 26), n++;
  n += snprintf(text + n, sizeof text - (size_t)n, "%s", end);
  message = strdup(text);
  message_length = (size_t)n;
  time_offset = strlen(open);
}

static void send_message(uint64_t number) {
  write_digits(message + time_offset, now_us(), TIME_DIGITS);
  send_text(&clients[number % (uint64_t)options.senders], message, message_length);
}

static void on_relayed(Client *c, const char *payload, size_t n, uint64_t now) {
  static size_t usual_place;  // most messages look alike
  (void)c;
  const char *found = payload + usual_place;
  if (n < usual_place + 4 + TIME_DIGITS || memcmp(found, "\"t\":", 4)) {
    found = memmem(payload, n, "\"t\":", 4);
    if (!found || found + 4 + TIME_DIGITS > payload + n) return;
    usual_place = (size_t)(found - payload);
  }
  delivered++;
  count_latency(digits(found + 4, TIME_DIGITS), now);
}

static double under_way(void) { return (double)traffic.sent * receivers - (double)delivered; }

static void step_closed(uint64_t *number) {
  static uint64_t progress, progress_at;
  for (int burst = 0; under_way() < options.window * receivers && burst < MAX_BURST; burst++) send_message((*number)++);
  pump(20000);
  uint64_t now = now_us();
  if (delivered != progress || !progress_at) progress = delivered, progress_at = now;
  stuck = (double)(now - progress_at) > STALL_SECONDS * SECOND_US;
}

static void track_memory(void) {
  static uint64_t next;
  if (now_us() < next) return;
  next = now_us() + 100000;
  rss_peak = fmax(rss_peak, server_rss_mb());
}

// Whoever is still connected answers nothing in this time; whoever was dropped finds the end of the stream.
static void find_dropped(void) {
  for (int i = options.clients - options.stalled; i < options.clients; i++) read_again(&clients[i]);
  pump_for(FIND_SECONDS);
}

void run_fanout(void) {
  listener.event = on_relayed;
  make_message();
  connect_range(0, options.clients, AT_ONCE);
  settle();
  receivers = options.clients - 1 - options.stalled;
  double rss = rss_peak = server_rss_mb();
  uint64_t number = 0, began = now_us();
  traffic.sent = 0;
  Schedule open = {options.rate, began, 0, send_message};
  uint64_t warm = began + (uint64_t)(options.warmup_seconds * SECOND_US);
  uint64_t end = warm + (uint64_t)(options.seconds * SECOND_US);
  Mark first = {0};
  while (now_us() < end && !stuck) {
    if (!first.at && now_us() >= warm) first = start_measuring();
    if (options.window > 0) step_closed(&number);
    else step(&open);
    track_memory();
  }
  Mark last = mark();
  measuring = false;
  if (options.stalled) find_dropped();
  if (!first.at) first = last, first.at--;
  report_traffic(first, last, 1);
  double expected = (double)(last.sent - first.sent) * receivers;
  report("delivered_ratio", expected > 0 ? (double)(last.delivered - first.delivered) / expected : 0);
  report("stuck", stuck);
  report("rss_mb", rss);
  report("rss_growth_mb", rss_peak - rss);
}
