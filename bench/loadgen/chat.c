// chat: durable messages, each numbered, so that what is lost, doubled or out of order is known exactly.
#include "load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double PATIENCE_SECONDS = 12.0;  // without anything new, what is missing is lost
enum { NUMBER_DIGITS = 8 };
static uint8_t *acked;            // one bit for each number
static uint64_t capacity, refused, doubled, disordered, acks;
static int audience;              // the first clients: those whose messages are counted
static Histogram *ack_latencies;
static uint64_t *sent_at;

static bool set_bit(uint8_t *bits, uint64_t i) {
  bool was = bits[i / 8] >> i % 8 & 1;
  bits[i / 8] |= (uint8_t)(1 << i % 8);
  return !was;
}

static void begin_chat(int listeners, double seconds) {
  audience = listeners;
  capacity = (uint64_t)(options.rate * seconds) + 1000;
  acked = calloc(capacity / 8 + 1, 1);
  sent_at = calloc(capacity, sizeof *sent_at);
  ack_latencies = histogram_new();
  for (int i = 0; i < audience; i++) clients[i].heard = calloc(capacity / 8 + 1, 1);
}

static void send_chat(uint64_t number) {
  char text[512];
  if (number >= capacity) return;
  sent_at[number] = now_us();
  int n = snprintf(text, sizeof text, "42%lu[\"chat-message\",{\"content\":\"bench %016lu %08lu %s\"}]", number + 1,
                   sent_at[number], number, "A sentence of about the length that people write in a chat, no more.");
  send_text(&clients[number % (uint64_t)options.senders], text, (size_t)n);
}

static void on_chat_ack(Client *c, long id, bool ok, uint64_t now) {
  (void)c;
  uint64_t number = (uint64_t)id - 1;
  if (number >= capacity) return;
  acks++;
  if (!ok) refused++;
  else if (set_bit(acked, number) && measuring) histogram_add(ack_latencies, now - sent_at[number]);
}

static void check_order(Client *c, const char *payload, size_t n) {
  const char *found = memmem(payload, n, "\"seq\":", 6);
  if (!found) return;
  uint64_t seq = digits(found + 6, (size_t)(payload + n - found - 6));
  if (seq < c->last_seq) disordered++;
  c->last_seq = seq;
}

static void on_chat(Client *c, const char *payload, size_t n, uint64_t now) {
  static const char name[] = "[\"chat-message\"";
  if (c->index >= audience || n < sizeof name || memcmp(payload, name, sizeof name - 1)) return;
  const char *found = memmem(payload, n, "\"bench ", 7);
  if (!found || found + 7 + TIME_DIGITS + 1 + NUMBER_DIGITS > payload + n) return;
  uint64_t number = digits(found + 7 + TIME_DIGITS + 1, NUMBER_DIGITS);
  if (number >= capacity) return;
  check_order(c, payload, n);
  if (set_bit(c->heard, number)) {
    delivered++;
    count_latency(digits(found + 7, TIME_DIGITS), now);
  } else {
    doubled++;
  }
}

// Acknowledged messages that somebody in the audience did not get.
static uint64_t count_missing(uint64_t sent) {
  uint64_t missing = 0;
  for (int i = 0; i < audience; i++)
    for (uint64_t number = 0; number < sent && number < capacity; number++)
      missing += (acked[number / 8] >> number % 8 & 1) && !(clients[i].heard[number / 8] >> number % 8 & 1);
  return missing;
}

// Wait for what is under way, as long as something still comes.
static void drain(uint64_t sent) {
  uint64_t seen = 0, quiet_since = now_us();
  while (acks < sent || delivered < (sent - refused) * (uint64_t)audience) {
    pump(50000);
    uint64_t now = now_us();
    if (acks + delivered != seen) seen = acks + delivered, quiet_since = now;
    if ((double)(now - quiet_since) > PATIENCE_SECONDS * SECOND_US) return;
  }
}

static void report_chat(uint64_t sent) {
  report("messages", (double)sent);
  report("refused", (double)refused);
  report("not_accepted", (double)(sent - acks + refused));
  report("lost_deliveries", (double)count_missing(sent));
  report("doubled_deliveries", (double)doubled);
  report("disordered_deliveries", (double)disordered);
  report_latency("ack_", ack_latencies);
}

void run_chat(void) {
  listener.event = on_chat;
  listener.ack = on_chat_ack;
  begin_chat(options.clients, options.warmup_seconds + options.seconds);
  connect_range(0, options.clients, AT_ONCE);
  settle();
  Schedule schedule = {options.rate, now_us(), 0, send_chat};
  Mark first, last = run_schedule(&schedule, &first);
  drain(schedule.done);
  report_traffic(first, last, 1);
  report_chat(schedule.done);
}

// joins: a crowd enters at once, while those who are there go on talking.

void run_joins(void) {
  Histogram *joins = histogram_new();
  listener.event = on_chat;
  listener.ack = on_chat_ack;
  begin_chat(options.others, options.warmup_seconds + options.connect_seconds + 5);
  connect_range(0, options.others, AT_ONCE);
  settle();
  Schedule schedule = {options.rate, now_us(), 0, send_chat};
  uint64_t start = schedule.began + (uint64_t)(options.warmup_seconds * SECOND_US);
  while (now_us() < start) step(&schedule);
  Mark first = start_measuring();
  connect_start(options.others, options.clients);
  uint64_t deadline = now_us() + (uint64_t)(options.connect_seconds * SECOND_US);
  while (ready_count + lost_count < options.clients && now_us() < deadline) step(&schedule);
  Mark last = mark();
  drain(schedule.done);
  for (int i = options.others; i < options.clients; i++)
    if (clients[i].joined_us) histogram_add(joins, clients[i].joined_us - first.at);
  report_traffic(first, last, 1);
  report_chat(schedule.done);
  report("joined", (double)histogram_count(joins));
  report("snapshot_kb", (double)traffic.largest_ack / 1024);
  report_latency("join_", joins);
}
