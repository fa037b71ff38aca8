// Options in, one JSON line out.
#include "loadgen.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

Options options = {
    .mode = "fanout", .label = "", .space_type = "event", .space_id = "bench", .features = "", .clients = 100,
    .senders = 1, .sample = 1, .message_bytes = 150, .rate = 100, .pose_hertz = 10, .warmup_seconds = 1, .seconds = 5,
    .connect_seconds = 120, .join = true};

static char line[8192];

void report(const char *name, double value) {
  size_t n = strlen(line);
  snprintf(line + n, sizeof line - n, ",\"%s\":%.10g", name, value);
}

void fail(const char *format, ...) {
  va_list values;
  va_start(values, format);
  vfprintf(stderr, format, values);
  va_end(values);
  fputc('\n', stderr);
  exit(1);
}

static int read_numbers(char *text, int *numbers) {
  int n = 0;
  for (char *word = strtok(text, ","); word && n < MAX_SERVERS; word = strtok(NULL, ",")) numbers[n++] = atoi(word);
  return n;
}

static void read_tokens(const char *path) {
  char text[4096];
  FILE *file = fopen(path, "r");
  if (!file) fail("no file %s", path);
  while (fgets(text, sizeof text, file)) {
    text[strcspn(text, "\n")] = 0;
    options.tokens = realloc(options.tokens, sizeof(char *) * (size_t)(options.token_count + 1));
    options.tokens[options.token_count++] = strdup(text);
  }
  fclose(file);
}

static const struct option NAMES[] = {
    {"mode", 1, 0, 'm'},    {"label", 1, 0, 'l'},   {"space-type", 1, 0, 'y'}, {"space-id", 1, 0, 'i'},
    {"features", 1, 0, 'f'}, {"ports", 1, 0, 'p'},  {"pids", 1, 0, 'P'},       {"tokens", 1, 0, 't'},
    {"clients", 1, 0, 'n'}, {"senders", 1, 0, 'k'}, {"stalled", 1, 0, 'z'},    {"others", 1, 0, 'o'},
    {"sample", 1, 0, 's'},  {"bytes", 1, 0, 'b'},   {"window", 1, 0, 'W'},     {"rate", 1, 0, 'r'},
    {"hertz", 1, 0, 'H'},   {"warmup", 1, 0, 'w'},  {"seconds", 1, 0, 'd'},    {"connect-seconds", 1, 0, 'c'},
    {"deflate", 0, 0, 'D'}, {"raw", 0, 0, 'R'},     {"no-join", 0, 0, 'J'},    {0, 0, 0, 0}};

static void read_option(int name) {
  switch (name) {
    case 'm': options.mode = optarg; break;
    case 'l': options.label = optarg; break;
    case 'y': options.space_type = optarg; break;
    case 'i': options.space_id = optarg; break;
    case 'f': options.features = optarg; break;
    case 'p': options.port_count = read_numbers(optarg, options.ports); break;
    case 'P': options.pid_count = read_numbers(optarg, options.pids); break;
    case 't': read_tokens(optarg); break;
    case 'n': options.clients = atoi(optarg); break;
    case 'k': options.senders = atoi(optarg); break;
    case 'z': options.stalled = atoi(optarg); break;
    case 'o': options.others = atoi(optarg); break;
    case 's': options.sample = atoi(optarg); break;
    case 'b': options.message_bytes = atoi(optarg); break;
    case 'W': options.window = atof(optarg); break;
    case 'r': options.rate = atof(optarg); break;
    case 'H': options.pose_hertz = atof(optarg); break;
    case 'w': options.warmup_seconds = atof(optarg); break;
    case 'd': options.seconds = atof(optarg); break;
    case 'c': options.connect_seconds = atof(optarg); break;
    case 'D': options.deflate = true; break;
    case 'R': options.raw = true; break;
    case 'J': options.join = false; break;
    default: fail("unknown option");
  }
}

static void check(void) {
  bool sane = options.port_count && options.clients > 1 && options.sample > 0 && options.senders > 0 &&
              options.senders <= options.clients - options.stalled && options.others <= options.clients;
  if (!sane) fail("--ports and sensible numbers of clients are needed");
}

// Whatever happens, it ends: with its parent, or when it takes far too long.
static void end_some_day(void) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  alarm((unsigned)(2 * options.connect_seconds + options.warmup_seconds + options.seconds + 60));
}

static void raise_file_limit(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int count, char **words) {
  for (int name; (name = getopt_long(count, words, "", NAMES, NULL)) != -1;) read_option(name);
  check();
  end_some_day();
  raise_file_limit();
  run_mode();
  printf("{\"label\":\"%s\",\"mode\":\"%s\",\"clients\":%d%s}\n", options.label, options.mode, options.clients, line);
  return 0;
}
