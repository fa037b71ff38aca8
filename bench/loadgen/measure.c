// Clock, latency histogram, and what the kernel says of the server's processes.
#include "loadgen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

// Logarithmic buckets, each split into 64 equal parts: an error of at most 1.6 %.
enum { PARTS = 64, BUCKETS = PARTS * 60 };

struct Histogram {
  uint64_t counts[BUCKETS], total, greatest;
};

Histogram *histogram_new(void) { return calloc(1, sizeof(Histogram)); }

static int bucket_of(uint64_t us) {
  if (us < 2 * PARTS) return (int)us;
  int shift = 57 - __builtin_clzll(us);  // leaves a number from 64 to 127
  return shift * PARTS + (int)(us >> shift);
}

static uint64_t start_of(int bucket) {
  if (bucket < 2 * PARTS) return (uint64_t)bucket;
  int shift = bucket / PARTS - 1;
  return (uint64_t)(bucket - shift * PARTS) << shift;
}

void histogram_add(Histogram *h, uint64_t us) {
  h->counts[bucket_of(us)]++;
  h->total++;
  if (us > h->greatest) h->greatest = us;
}

double histogram_ms(const Histogram *h, double quantile) {
  if (quantile >= 1.0) return (double)h->greatest / 1e3;
  uint64_t wanted = (uint64_t)((double)h->total * quantile), seen = 0;
  for (int bucket = 0; bucket < BUCKETS; bucket++) {
    seen += h->counts[bucket];
    if (seen > wanted) return (double)start_of(bucket) / 1e3;
  }
  return 0;
}

uint64_t histogram_count(const Histogram *h) { return h->total; }

static size_t read_proc(int pid, const char *file, char *text, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
  FILE *stream = fopen(path, "r");
  if (!stream) return 0;
  size_t n = fread(text, 1, size - 1, stream);
  fclose(stream);
  text[n] = 0;
  return n;
}

static double cpu_seconds_of(int pid) {
  char text[2048];
  unsigned long user, kernel;
  if (!read_proc(pid, "stat", text, sizeof text)) return 0;
  const char *fields = strrchr(text, ')');
  const char *form = ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu";
  if (!fields || sscanf(fields, form, &user, &kernel) != 2) return 0;
  return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static double rss_kb_of(int pid) {
  char text[8192];
  long kb;
  if (!read_proc(pid, "status", text, sizeof text)) return 0;
  const char *line = strstr(text, "VmRSS:");
  return line && sscanf(line, "VmRSS: %ld", &kb) == 1 ? (double)kb : 0;
}

double server_cpu_seconds(void) {
  double sum = 0;
  for (int i = 0; i < options.pid_count; i++) sum += cpu_seconds_of(options.pids[i]);
  return sum;
}

static double waited_seconds_of(int pid) {
  char text[128];
  unsigned long long waited;
  if (!read_proc(pid, "schedstat", text, sizeof text)) return 0;
  return sscanf(text, "%*u %llu", &waited) == 1 ? (double)waited / 1e9 : 0;
}

double server_waited_seconds(void) {
  double sum = 0;
  for (int i = 0; i < options.pid_count; i++) sum += waited_seconds_of(options.pids[i]);
  return sum;
}

double server_rss_mb(void) {
  double sum = 0;
  for (int i = 0; i < options.pid_count; i++) sum += rss_kb_of(options.pids[i]);
  return sum / 1024;
}

double own_cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}
