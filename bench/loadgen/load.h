// What the modes share: marks, the schedule of an open loop, counting.
#pragma once
#include "loadgen.h"

enum { AT_ONCE = 32, MAX_BURST = 64, TIME_DIGITS = 16 };
static const double SETTLE_SECONDS = 0.5;

// One moment of a run; two of them make the figures in between.
typedef struct {
  uint64_t at, sent, delivered, frames, bytes;
  double server_cpu, server_waited, own_cpu;
} Mark;

// Open loop: `send_one` is called for each message that is due; what comes late is made up for.
typedef struct {
  double rate;
  uint64_t began, done;
  void (*send_one)(uint64_t number);
} Schedule;

extern uint64_t delivered;  // messages or poses that arrived
extern bool measuring;      // after the warm-up
extern uint64_t measured_from;
extern Histogram *latencies;

void settle(void);  // after joining: let it become quiet, stall those that shall not read, count from zero
void step(Schedule *);
Mark run_schedule(Schedule *, Mark *first);  // warm up, measure; gives the mark at the end
Mark mark(void);
Mark start_measuring(void);
double seconds_between(Mark, Mark);
void count_latency(uint64_t sent_at, uint64_t now);
void report_latency(const char *prefix, const Histogram *);
void report_traffic(Mark, Mark, double scale);  // `scale`: how many deliveries one that was counted stands for
uint64_t digits(const char *text, size_t n);
void write_digits(char *place, uint64_t value, int n);

void run_fanout(void);
void run_pose(void);
void run_idle(void);
void run_chat(void);
void run_joins(void);
